"""Meta-World under perturbed dynamics: the compiled loop is stock to the byte, and its own dynamics come back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maa_bench.suite import load_suite

pytest.importorskip("metaworld")

import mujoco
from tiers import mostly_heavy

from maa_bench.forward import PackedPolicy
from maa_bench.policy import initial_params
from maa_bench.simulators import step_trajectory, step_until_success
from maa_bench.simulators.dynamics import NOMINAL, SETTINGS, Dynamics
from maa_bench.simulators.metaworld.fast import FastTask
from maa_bench.simulators.metaworld.stock import StockTask

pytestmark = [
    pytest.mark.simulator,
    pytest.mark.filterwarnings("ignore:Constant"),
    pytest.mark.usefixtures("needs_the_fast_path"),
]

SUITE = load_suite("metaworld-v2")
QUICK = ("drawer-open", "pick-place")
TASKS = mostly_heavy(QUICK, tuple(SUITE.tasks))
PERTURBED = Dynamics(mass=1.7, friction=0.4, damping=3.1, gain=1.3)
ONE_BY_ONE = [Dynamics(**{name: 2.0}) for name in SETTINGS]
STEPS = 60


def policies() -> list[PackedPolicy]:
    drawn = [(seed, scale) for seed, scale in ((0, 1.0), (1, 3.0), (2, 10.0))]
    return [
        PackedPolicy(SUITE.policy, (scale * initial_params(SUITE.policy, np.random.default_rng(seed))).astype("f4"))
        for seed, scale in drawn
    ]


def scaled_by_hand(task: str, dynamics: Dynamics) -> StockTask:
    """A stock environment whose fresh model is scaled as MuJoCo's manual says, without this package's code for it."""
    simulator = StockTask(SUITE.task(task))
    model = simulator.env.model
    model.body_mass *= dynamics.mass
    model.body_inertia *= dynamics.mass
    model.geom_friction *= dynamics.friction
    model.dof_damping *= dynamics.damping
    model.actuator_gainprm *= dynamics.gain
    model.actuator_biasprm *= dynamics.gain
    simulator.env.action_scale *= dynamics.gain
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return simulator


def rolled(simulator: StockTask, policy: PackedPolicy, layout: Any) -> bytes:
    """All observations and actions of an episode, by the simulator's own way."""
    trajectory = simulator.trajectory(policy, layout, STEPS, STEPS, STEPS)
    assert len(trajectory.actions) == STEPS
    return trajectory.observations.tobytes() + trajectory.actions.tobytes()


def stepped(simulator: StockTask, policy: PackedPolicy, layout: Any) -> bytes:
    trajectory = step_trajectory(simulator, policy, layout, STEPS, STEPS, STEPS)
    return trajectory.observations.tobytes() + trajectory.actions.tobytes()


def model_bytes(simulator: StockTask) -> bytes:
    """The whole model as MuJoCo writes it into a file."""
    model = simulator.env.model
    buffer = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


@pytest.mark.parametrize("task", TASKS)
def test_perturbed_the_compiled_loop_is_stock_to_the_byte(task: str) -> None:
    quick, slow = FastTask(SUITE.task(task)), scaled_by_hand(task, PERTURBED)
    layouts = SUITE.layouts(task, "test")
    quick.first_success(policies()[0], layouts[5], 3)  # a layout's places of bodies must leave no trace in the masses
    quick.set_dynamics(PERTURBED)
    for policy, layout in zip(policies(), layouts, strict=False):
        expected = rolled(slow, policy, layout)
        assert rolled(quick, policy, layout) == expected
        assert rolled(quick, policy, layout) == expected, "from the kept state of the reset"
        assert stepped(quick, policy, layout) == expected


@pytest.mark.parametrize("task", TASKS)
def test_dynamics_of_its_own_come_back_to_the_byte(task: str) -> None:
    quick, fresh = FastTask(SUITE.task(task)), StockTask(SUITE.task(task))
    layouts, (policy, *_) = SUITE.layouts(task, "test")[:2], policies()
    before = model_bytes(quick)
    expected = [rolled(fresh, policy, layout) for layout in layouts]
    assert [rolled(quick, policy, layout) for layout in layouts] == expected
    seen = set()
    for dynamics in (PERTURBED, *ONE_BY_ONE):
        quick.set_dynamics(dynamics)
        seen.add(rolled(quick, policy, layouts[0]))
        quick.set_dynamics(NOMINAL)
        assert [rolled(quick, policy, layout) for layout in layouts] == expected
    assert len(seen - {expected[0]}) >= 4, "all but friction, which needs a contact, is noticed by any episode"
    untouched = StockTask(SUITE.task(task)).env.model
    quick.env.model.body_pos[:], quick.env.model.site_pos[:] = untouched.body_pos, untouched.site_pos
    assert model_bytes(quick) == before, "but for where layouts put bodies and sites"


def test_every_setting_is_noticed_where_it_should_be() -> None:
    """One at a time on a task with an object on a joint: each moves the expert's path."""
    task = "plate-slide"
    simulator, layout = StockTask(SUITE.task(task)), SUITE.layouts(task, "test")[0]

    def path() -> bytes:
        expert, seen = simulator.expert(), [simulator.reset(layout)]
        for _ in range(80):
            seen.append(simulator.step(expert.act(seen[-1]))[0])
        return np.array(seen).tobytes()

    paths = [path()]
    for dynamics in ONE_BY_ONE:
        simulator.set_dynamics(dynamics)
        paths.append(path())
    assert len(set(paths)) == 5


def test_experts_act_under_perturbed_dynamics() -> None:
    """A gain of 2 sends the hand twice as far an action, and the expert, who looks, still gets there."""
    task = "button-press"
    simulator, layout = FastTask(SUITE.task(task)), SUITE.layouts(task, "test")[0]
    usual = step_until_success(simulator, simulator.expert(), layout, SUITE.horizon)[0]
    simulator.set_dynamics(Dynamics(gain=2.0))
    simulator.reset(layout)
    start = simulator.env.data.mocap_pos[0].copy()
    simulator.step(np.array([0.0, 0.5, 0.0, 0.0], np.float32))
    np.testing.assert_allclose(simulator.env.data.mocap_pos[0] - start, [0.0, 0.01, 0.0], atol=1e-9)
    doubled = step_until_success(simulator, simulator.expert(), layout, SUITE.horizon)[0]
    assert usual > 0
    assert doubled not in (-1, usual)
