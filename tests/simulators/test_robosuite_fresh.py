"""An episode of ours is that of an environment of robosuite's own that was just made: to the byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maa_bench.simulators import simulator_of
from maa_bench.suite import Task, load_suite

pytest.importorskip("robosuite")

from tiers import mostly_heavy

from maa_bench.simulators.robosuite import upstream

SUITE = load_suite("robosuite-v1")
QUICK = ("lift-ur5e", "door-iiwa", "stack-panda")
"""Each task once; two of the arms whose fingers close loops, so that the solver's warm start decides last bits."""

pytestmark = [pytest.mark.simulator]
every_task = pytest.mark.parametrize("task", mostly_heavy(QUICK, tuple(SUITE.tasks)))


def made(task: Task) -> Any:
    """robosuite's own environment: its placements and joint noise, and every reset makes the model anew."""
    environment = upstream.ROBOSUITE.make(
        task.env,
        robots=task.options["arm"],
        controller_configs=upstream.controller(),
        has_renderer=False,
        has_offscreen_renderer=False,
        use_camera_obs=False,
        control_freq=20,
        ignore_done=True,
        reward_shaping=True,
    )
    if task.options["arm"] == "Sawyer":  # whose model differs from stock's: docs/robosuite.md
        make_simulation = environment._initialize_sim

        def freed() -> None:
            make_simulation()
            upstream._free_the_base(environment.sim.model)

        environment._initialize_sim = freed
    environment.rng = np.random.default_rng(upstream.MODEL_SEED)  # the first that Lift draws is the size of its cube
    environment.reset()
    return environment


def layout_of(environment: Any) -> Any:
    """Where the arm and the objects stand, read off the state: a layout of the suite."""
    model, data, robot = environment.sim.model, environment.sim.data, environment.robots[0]
    parts = [data.qpos[robot._ref_joint_pos_indexes]]
    for thing in environment.placement_initializer.mujoco_objects:
        if thing.joints and model.jnt_type[model.joint_name2id(thing.joints[0])] == 0:  # free
            parts.append(data.get_joint_qpos(thing.joints[0]))
        else:
            body = model.body_name2id(thing.root_body)
            parts += [model.body_pos[body], model.body_quat[body]]
    return np.concatenate(parts)


@every_task
def test_steps_are_those_of_an_environment_that_was_just_made(task: str) -> None:
    theirs = made(SUITE.task(task))
    ours = simulator_of(SUITE).open_task(SUITE.task(task))
    rng = np.random.default_rng(3)
    ours.reset(SUITE.layouts(task, "test")[1])  # what was before must not matter
    for _ in range(3):
        ours.step(rng.uniform(-1, 1, 7))
    ours.reset(layout_of(theirs))
    state = theirs.sim.data
    assert ours.data.qpos.tobytes() == state.qpos.tobytes()
    for step in range(40):
        action = rng.uniform(-1, 1, 7)
        theirs.step(action)
        ours.step(action)
        assert ours.data.qpos.tobytes() == state.qpos.tobytes(), f"positions part in step {step + 1}"
        assert ours.data.qvel.tobytes() == state.qvel.tobytes(), f"velocities part in step {step + 1}"
