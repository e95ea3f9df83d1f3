"""What tasks of Meta-World and of robosuite have in common, both being MuJoCo models stepped by their own package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mujoco
import numpy as np

from maa_bench.forward import PackedPolicy
from maa_bench.simulators import (
    STEPS,
    EpisodeError,
    Float64,
    Pixels,
    TaskSimulator,
    Trajectory,
    step_trajectory,
    step_until_success,
)
from maa_bench.simulators.dynamics import Dynamics
from maa_bench.simulators.mujoco_drawing import Drawing, View
from maa_bench.simulators.mujoco_dynamics import MujocoDynamics

BAD = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1)
"""The warnings after which MuJoCo resets a simulation to its model's first state: positions, velocities or
accelerations that are NaN or huge."""


def silence() -> None:
    """Let a simulation that becomes unstable be an `EpisodeError` alone.

    MuJoCo would say so on standard error, too, and write MUJOCO_LOG.TXT into the user's folder.
    """
    mujoco.set_mju_user_warning(_ignore)


def _ignore(message: str) -> None:
    """Say nothing."""


class MujocoTask(TaskSimulator):
    """A `TaskSimulator` but for `action_dim`, `reset`, `step`, `observation_bounds` and `expert`.

    Args:
        model, data: of the environment, which its resets keep.
        dynamics: sets what the model's dynamics are.
        view: how it is looked at.
    """

    def __init__(self, model: Any, data: Any, dynamics: MujocoDynamics, view: View) -> None:
        self.reward = 0.0
        self._viewed, self._view = (model, data), view
        self._dynamics = dynamics
        self._unstable = data.warning.number  # a view: counts since the reset, by kind of warning
        self._steps = 0
        self._drawing: Drawing | None = None

    def set_dynamics(self, dynamics: Dynamics) -> None:
        """See `TaskSimulator`; what the factors scale is said in `maa_bench.simulators.mujoco_dynamics`."""
        self._dynamics.set(dynamics)

    def first_success(self, policy: PackedPolicy, layout: Float64, horizon: int) -> tuple[int, int]:
        """See `TaskSimulator`."""
        return step_until_success(self, policy, layout, horizon)

    def trajectory(self, policy: PackedPolicy, layout: Float64, horizon: int, after: int, least: int) -> Trajectory:
        """See `TaskSimulator`."""
        return step_trajectory(self, policy, layout, horizon, after, least)

    def frame(self, width: int, height: int) -> Pixels:
        """See `TaskSimulator`."""
        model, data = self._viewed
        if self._drawing is None:
            self._drawing = Drawing(model, self._view)
        return self._drawing.frame(data, width, height)

    @contextmanager
    def _a_step(self) -> Iterator[None]:
        """Around what the package does in a step.

        Raises:
            EpisodeError: the simulation became unstable; then rewards and controllers may choke on what is left of the
                state, and what they raise is not told.
        """
        self._steps += 1
        STEPS.taken += 1
        try:
            yield
        except (ValueError, np.linalg.LinAlgError):
            if self._unstable[BAD].any():
                raise EpisodeError.of_simulation(self._steps) from None
            raise
        if self._unstable[BAD].any():
            raise EpisodeError.of_simulation(self._steps)
