"""Meta-World's own environment classes, without gymnasium's wrappers.

Traps of Meta-World 3.1.1 that this file steps around (each has a regression test): `reset(seed=)` is ignored, so the
layout is set as the frozen `rand_vec`; the goal must be made visible; `step` raises after 500 steps; success is a
flag of one step, and an episode succeeds at the first of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.policies import ENV_POLICY_MAP

from maa_bench.errors import SuiteError, did_you_mean
from maa_bench.method import Agent
from maa_bench.simulators import Float64
from maa_bench.simulators.metaworld.dynamics import ModelDynamics
from maa_bench.simulators.mujoco_drawing import View
from maa_bench.simulators.mujoco_task import MujocoTask, silence
from maa_bench.suite import Task

VIEW = View("corner4", upside_down=True)
"""By the nearest of Meta-World's cameras that has arm, object and goal of every task in view."""
POSITION_BOUND = 10.0
"""Metres. Objects have no bounds upstream; they stand on a table or hang on a hinge about a metre from the robot."""
QUATERNION_BOUND = 1.0 + 1e-9
"""MuJoCo leaves a quaternion as it is while its length is 1 but for rounding, so an entry may pass 1 by as much."""


def check_task(task: Task) -> None:
    """Refuse a task that Meta-World has not, without making an environment.

    Raises:
        SuiteError: the line gives the nearest right names.
    """
    if task.env not in ALL_V3_ENVIRONMENTS:
        raise SuiteError(
            f"task {task.name!r}: Meta-World has no {task.env!r}.{did_you_mean(task.env, ALL_V3_ENVIRONMENTS)}"
        )


class StockTask(MujocoTask):
    """One Meta-World environment; observations (39,) float64 with the goal visible, actions (4,) in [-1, 1].

    The reward is Meta-World's own, shaped, between 0 and 10 a step.
    """

    action_dim = 4

    def __init__(self, task: Task) -> None:
        check_task(task)
        silence()
        self._env_id = task.env
        self.env: Any = ALL_V3_ENVIRONMENTS[task.env]()
        # What `set_task` does, minus the pickled Task: the goal becomes visible and the layout frozen.
        # The observation space is cached with the goal hidden, and `step` clips observations to it.
        self.env._partially_observable = False
        self.env.__dict__.pop("sawyer_observation_space", None)
        self.env._freeze_rand_vec = True
        self.env._set_task_called = True
        super().__init__(self.env.model, self.env.data, ModelDynamics(self.env), VIEW)

    def reset(self, layout: Float64) -> Float64:
        """`layout`: the environment's `rand_vec`, (3,) or (6,)."""
        self.reward = 0.0
        self.env._last_rand_vec = np.array(layout)
        obs, _ = self.env.reset()
        self._steps = 0
        return np.array(obs)

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Float64, bool]:
        """One `env.step`: five physics steps of 2.5 ms."""
        with self._a_step():
            obs, reward, _, _, info = self.env.step(action)
        self.reward = float(reward)
        return obs, bool(info["success"])

    def observation_bounds(self) -> tuple[Float64, Float64]:
        """Meta-World's own, to which it clips every step, made finite for the objects: two (39,) float64.

        An observation is two frames (hand 3, gripper 1, two objects of position 3 and quaternion 4) and the goal 3.
        """
        space = self.env.sawyer_observation_space
        an_object = [POSITION_BOUND] * 3 + [QUATERNION_BOUND] * 4
        frame = [np.inf] * 4 + an_object * 2
        finite = np.array([*frame, *frame, *[np.inf] * 3])
        low, high = np.maximum(space.low, -finite), np.minimum(space.high, finite)
        # The height of plate-slide's goal is always 0; Gymnasium warns about a range without extent.
        extent = np.where(low == high, 0.01, 0.0)
        return low - extent, high + extent

    def expert(self) -> Agent:
        """The scripted policy that Meta-World ships for this task."""
        policy: Any = ENV_POLICY_MAP[self._env_id]  # typed as the abstract base, though each is a concrete class
        return _Expert(policy())


class _Expert:
    """Works on a copy: the scripts of door-open and door-close move the door in the observation that they are given."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy

    def reset(self) -> None:
        """Scripted policies keep no state."""

    def act(self, obs: Float64) -> Float64:
        return np.clip(self._policy.get_action(obs.copy()), -1.0, 1.0)
