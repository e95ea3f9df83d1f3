"""robosuite under perturbed dynamics: the compiled step is stock's with a model scaled by hand; its own come back."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from maa_bench.simulators.dynamics import NOMINAL, SETTINGS, Dynamics
from maa_bench.suite import load_suite

pytest.importorskip("robosuite")

import mujoco
from tiers import mostly_heavy

from maa_bench.simulators import robosuite as ours
from maa_bench.simulators.robosuite.stock import StockTask

pytestmark = [pytest.mark.simulator]

SUITE = load_suite("robosuite-v1")
FINGERS = {"door-panda": 2, "lift-panda": 2, "stack-ur5e": 2, "lift-jaco": 3}
"""Tasks tried, and servos of their grippers. A layout puts the door into the model itself, from which MuJoCo
derives."""

QUICK = ("door-panda",)
PERTURBED = Dynamics(mass=1.7, friction=0.4, damping=3.1, gain=1.3)
ONE_BY_ONE = [Dynamics(**{name: 2.0}) for name in SETTINGS]
ACTIONS = np.random.default_rng(2).uniform(-1, 1, (10, 7))
CASES = [
    pytest.param(task, dynamics, marks=() if (task in QUICK and dynamics is PERTURBED) else pytest.mark.heavy)
    for task in FINGERS
    for dynamics in (PERTURBED, *ONE_BY_ONE)
]


@cache
def opened(task: str) -> StockTask:
    """By the compiled step, and with the dynamics of its own, which every test gives back."""
    return ours.open_task(SUITE.task(task))


def scaled_by_hand(task: str, dynamics: Dynamics) -> StockTask:
    """A stock environment whose fresh model is scaled as MuJoCo's manual says, without this package's code for it."""
    simulator = StockTask(SUITE.task(task))
    model = simulator.env.sim.model._model
    model.body_mass *= dynamics.mass
    model.body_inertia *= dynamics.mass
    model.geom_friction *= dynamics.friction
    model.dof_frictionloss *= dynamics.friction
    model.dof_damping *= dynamics.damping
    fingers = [i for i in range(model.nu) if "gripper" in mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_ACTUATOR, i)]
    assert len(fingers) == FINGERS[task]
    model.actuator_gainprm[fingers] *= dynamics.gain
    model.actuator_biasprm[fingers] *= dynamics.gain
    part = simulator.env.robots[0].composite_controller_config["body_parts"]["right"]
    part["output_max"] = [x * dynamics.gain for x in (0.05, 0.05, 0.05, 0.5, 0.5, 0.5)]
    part["output_min"] = [-x for x in part["output_max"]]
    if dynamics.mass != 1:  # else what MuJoCo has derived at compiling stays
        mujoco.mj_setConst(model, mujoco.MjData(model))
    return simulator


def seen(simulator: StockTask, layout: int) -> bytes:
    """The observations of a reset and ten steps."""
    start = simulator.reset(SUITE.layouts(simulator.task.name, "train")[layout])
    return np.array([start, *(simulator.step(action)[0] for action in ACTIONS)]).tobytes()


def model_bytes(simulator: StockTask) -> bytes:
    """The whole model as MuJoCo writes it into a file."""
    buffer = np.zeros(mujoco.mj_sizeModel(simulator.model), np.uint8)
    mujoco.mj_saveModel(simulator.model, None, buffer)
    return buffer.tobytes()


@pytest.mark.parametrize(("task", "dynamics"), CASES, ids=str)
def test_perturbed_dynamics_are_those_of_a_model_scaled_by_hand(task: str, dynamics: Dynamics) -> None:
    simulator, by_hand = opened(task), scaled_by_hand(task, dynamics)
    expected = seen(by_hand, 0)
    assert seen(simulator, 0) != expected
    seen(simulator, 1)  # where a layout puts bodies must leave no trace in what is derived from the masses
    simulator.set_dynamics(dynamics)
    try:
        assert seen(simulator, 0) == expected
        assert model_bytes(simulator) == model_bytes(by_hand)
    finally:
        simulator.set_dynamics(NOMINAL)


@pytest.mark.parametrize("task", mostly_heavy(QUICK, tuple(FINGERS)))
def test_dynamics_of_its_own_come_back_to_the_byte(task: str) -> None:
    simulator = opened(task)
    expected = seen(simulator, 0)
    model = model_bytes(simulator)
    for dynamics in (PERTURBED, *ONE_BY_ONE):
        seen(simulator, 1)
        simulator.set_dynamics(dynamics)
        seen(simulator, 0)
        assert model_bytes(simulator) != model
        simulator.set_dynamics(NOMINAL)
        seen(simulator, 2)
        assert seen(simulator, 0) == expected
        assert model_bytes(simulator) == model


def test_a_layout_puts_the_door_into_the_model() -> None:
    """Else no layout could leave a trace there, and the tests above would show little."""
    simulator = opened("door-panda")
    models = []
    for layout in (0, 1):
        seen(simulator, layout)
        models.append(model_bytes(simulator))
    assert models[0] != models[1]
