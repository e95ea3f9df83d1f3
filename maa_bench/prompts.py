"""What a method is shown of a task: trajectories, never parameters.

A prompt is one trajectory of the test task: its first `SEGMENT` steps and the `OUTCOME` states right after the
first success (arXiv 2407.10973, sec. 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maa_bench.errors import DataError
from maa_bench.policy import Float32

SEGMENT = 60
"""Steps of a trajectory that a prompt shows."""
OUTCOME = 3
"""States after the first success that a prompt shows."""
STRIDE = 3
"""The release keeps one state and three actions of every three steps."""


@dataclass(frozen=True)
class Behaviors:
    """n pieces of behaviour, as arrays that cannot be written to.

    Attributes:
        observations: (n, 60, obs_dim) float32, the states before each action.
        actions: (n, 60, action_dim) float32, in [-1, 1].
        outcome: (n, 3, obs_dim) float32, the states right after the first success (in order of time).
    """

    observations: Float32
    actions: Float32
    outcome: Float32

    def __post_init__(self) -> None:
        n = len(self.observations)
        if self.observations.shape[1:2] != (SEGMENT,) or self.actions.shape[:2] != (n, SEGMENT):
            raise DataError(
                f"behaviour needs {SEGMENT} steps: observations {self.observations.shape}, actions {self.actions.shape}"
            )
        if self.outcome.shape != (n, OUTCOME, self.observations.shape[2]):
            raise DataError(f"behaviour outcome has shape {self.outcome.shape}")
        for array in (self.observations, self.actions, self.outcome):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.observations)

    def take(self, rows: npt.NDArray[np.integer] | slice) -> Behaviors:
        """The behaviours of `rows`, in that order."""
        return Behaviors(self.observations[rows], self.actions[rows], self.outcome[rows])

    def trajectory_vectors(self) -> Float32:
        """The release's `traj` rows: (n, 20 * (obs_dim + 3 * action_dim)) float32; 1,020 numbers for Meta-World.

        Order: s_0, a_0, a_1, a_2, s_3, a_3, a_4, a_5, ... (the release keeps every third state).
        """
        n = len(self)
        states = self.observations[:, ::STRIDE]
        actions = self.actions.reshape(n, SEGMENT // STRIDE, STRIDE * self.actions.shape[2])
        return np.concatenate([states, actions], axis=2).reshape(n, -1).astype(np.float32)

    def outcome_vectors(self) -> Float32:
        """The release's `task` rows: (n, 3 * obs_dim) float32; 117 numbers for Meta-World."""
        return self.outcome.reshape(len(self), -1).astype(np.float32)


@dataclass(frozen=True)
class PromptSet:
    """The prompts of one test task, and where each came from.

    Attributes:
        suite: suite name, e.g. `metaworld-v1`, or the path of its TOML file.
        task: the test task's name.
        behaviors: the trajectories.
        sources: one string a prompt: dataset row id of the policy that made it.
    """

    suite: str
    task: str
    behaviors: Behaviors
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.behaviors)
