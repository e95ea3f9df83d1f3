"""Meta-World's own environment classes, without gymnasium's wrappers.

Traps of Meta-World 3.1.1 that this file steps around (each has a regression test): `reset(seed=)` is ignored, so the
layout is set as the frozen `rand_vec`; the goal must be made visible; `step` raises after 500 steps; success is a
flag of one step, and an episode succeeds at the first of them.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.policies import ENV_POLICY_MAP

from maa_bench.errors import SuiteError, did_you_mean
from maa_bench.forward import PackedPolicy
from maa_bench.method import Agent
from maa_bench.simulators import (
    STEPS,
    EpisodeError,
    Float64,
    Pixels,
    Trajectory,
    step_trajectory,
    step_until_success,
)
from maa_bench.simulators.dynamics import Dynamics
from maa_bench.simulators.metaworld.drawing import Drawing
from maa_bench.simulators.metaworld.dynamics import ModelDynamics
from maa_bench.suite import Task

BAD = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1)
"""The warnings after which MuJoCo resets a simulation to its model's first state: positions, velocities or
accelerations that are NaN or huge."""
POSITION_BOUND = 10.0
"""Metres. Objects have no bounds upstream; they stand on a table or hang on a hinge about a metre from the robot."""
QUATERNION_BOUND = 1.0 + 1e-9
"""MuJoCo leaves a quaternion as it is while its length is 1 but for rounding, so an entry may pass 1 by as much."""


class StockTask:
    """One Meta-World environment; observations (39,) float64 with the goal visible, actions (4,) in [-1, 1].

    The reward is Meta-World's own, shaped, between 0 and 10 a step.
    """

    def __init__(self, task: Task) -> None:
        if task.env not in ALL_V3_ENVIRONMENTS:
            raise SuiteError(
                f"task {task.name!r}: Meta-World has no {task.env!r}.{did_you_mean(task.env, ALL_V3_ENVIRONMENTS)}"
            )
        # When a simulation becomes unstable, MuJoCo resets it, says so on standard error and writes MUJOCO_LOG.TXT
        # into the user's folder; here it is an `EpisodeError`.
        mujoco.set_mju_user_warning(_ignore)
        self.reward = 0.0
        self._env_id = task.env
        self.env: Any = ALL_V3_ENVIRONMENTS[task.env]()
        # What `set_task` does, minus the pickled Task: the goal becomes visible and the layout frozen.
        # The observation space is cached with the goal hidden, and `step` clips observations to it.
        self.env._partially_observable = False
        self.env.__dict__.pop("sawyer_observation_space", None)
        self.env._freeze_rand_vec = True
        self.env._set_task_called = True
        self._dynamics = ModelDynamics(self.env)
        self._unstable = self.env.data.warning.number  # a view: counts since the reset, by kind of warning
        self._steps = 0
        self._drawing: Drawing | None = None

    def set_dynamics(self, dynamics: Dynamics) -> None:
        """See `TaskSimulator`; what the factors scale is said in `maa_bench.simulators.metaworld.dynamics`."""
        self._dynamics.set(dynamics)

    def reset(self, layout: Float64) -> Float64:
        """`layout`: the environment's `rand_vec`, (3,) or (6,)."""
        self.reward = 0.0
        self.env._last_rand_vec = np.array(layout)
        obs, _ = self.env.reset()
        self._steps = 0
        return np.array(obs)

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Float64, bool]:
        """One `env.step`: five physics steps of 2.5 ms."""
        self._steps += 1
        STEPS.taken += 1
        try:
            obs, reward, _, _, info = self.env.step(action)
        except ValueError:
            if self._unstable[BAD].any():  # some tasks' rewards choke on what is left of the state
                raise EpisodeError.of_simulation(self._steps) from None
            raise
        if self._unstable[BAD].any():
            raise EpisodeError.of_simulation(self._steps)
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

    def first_success(self, policy: PackedPolicy, layout: Float64, horizon: int) -> tuple[int, int]:
        """See `TaskSimulator`."""
        return step_until_success(self, policy, layout, horizon)

    def trajectory(self, policy: PackedPolicy, layout: Float64, horizon: int, after: int, least: int) -> Trajectory:
        """See `TaskSimulator`."""
        return step_trajectory(self, policy, layout, horizon, after, least)

    def frame(self, width: int, height: int) -> Pixels:
        """See `TaskSimulator`."""
        if self._drawing is None:
            self._drawing = Drawing(self.env.model)
        return self._drawing.frame(self.env.data, width, height)


def _ignore(message: str) -> None:
    """Say nothing."""


class _Expert:
    """Works on a copy: the scripts of door-open and door-close move the door in the observation that they are given."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy

    def reset(self) -> None:
        """Scripted policies keep no state."""

    def act(self, obs: Float64) -> Float64:
        return np.clip(self._policy.get_action(obs.copy()), -1.0, 1.0)
