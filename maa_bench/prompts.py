"""What a method is shown of a task; how much of it follows from what its card says that it uses.

A prompt is one trajectory of the test task: its first `SEGMENT` steps and the `OUTCOME` states right after the
first success (arXiv 2407.10973, sec. 4.2). The rewards of its steps, and the parameters of the task's checkpoints, are
not hidden in it: they are fields of other types, of which only those methods are given one that declare it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maa_bench.errors import DataError
from maa_bench.policy import Float32
from maa_bench.protocol import PROMPT_STEPS

SEGMENT = PROMPT_STEPS
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
        n = self._at_least_one()
        states = self.observations[:, ::STRIDE]
        actions = self.actions.reshape(n, SEGMENT // STRIDE, STRIDE * self.actions.shape[2])
        return np.concatenate([states, actions], axis=2).reshape(n, -1).astype(np.float32)

    def outcome_vectors(self) -> Float32:
        """The release's `task` rows: (n, 3 * obs_dim) float32; 117 numbers for Meta-World."""
        return self.outcome.reshape(self._at_least_one(), -1).astype(np.float32)

    def _at_least_one(self) -> int:
        if not len(self):
            raise DataError(
                "no behaviours are shown here: a method that reads prompts must say uses='prompts' in its card"
            )
        return len(self)


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

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Only for what is not there: say which methods are shown it."""
            uses = _DECLARED.get(name)
            if uses is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            raise AttributeError(f"a {type(self).__name__} shows no {name}: the method's card must say uses={uses!r}")


_DECLARED = {"rewards": "prompts+rewards", **dict.fromkeys(("params", "success", "run"), "test_checkpoints")}
"""What a card must say for a method to be shown this."""


@dataclass(frozen=True)
class RewardedPromptSet(PromptSet):
    """Prompts with the rewards of their steps: for methods whose card says `uses="prompts+rewards"`.

    Attributes:
        rewards: (n, 60) float32, the simulator's own reward of each action of `behaviors`.

    Raises:
        DataError: rewards of another shape.
    """

    rewards: Float32

    def __post_init__(self) -> None:
        if self.rewards.shape != (len(self), SEGMENT):
            raise DataError(
                f"{len(self)} prompts of {self.task} need ({len(self)}, {SEGMENT}) rewards, not {self.rewards.shape}"
            )
        self.rewards.setflags(write=False)


@dataclass(frozen=True)
class CheckpointPromptSet(PromptSet):
    """Prompts with the test task's own checkpoints: for methods whose card says `uses="test_checkpoints"`.

    The checkpoints are all those of success 1 of the task's prompt runs, those that the prompts were drawn from, in the
    order of the dataset.

    Attributes:
        params: (m, n_params) float32.
        success: (m,) float32, measured success rate, 1 in every row.
        run: (m,) training run of each row.

    Raises:
        DataError: columns of different lengths.
    """

    params: Float32
    success: Float32
    run: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        if not len(self.params) == len(self.success) == len(self.run):
            raise DataError(f"checkpoints of {self.task} have columns of different lengths")
        for array in (self.params, self.success, self.run):
            array.setflags(write=False)


def no_behaviors(obs_dim: int, action_dim: int) -> Behaviors:
    """What methods see that use nothing of a test task: no behaviour at all."""
    observations, actions = np.zeros((0, SEGMENT, obs_dim), np.float32), np.zeros((0, SEGMENT, action_dim), np.float32)
    return Behaviors(observations, actions, np.zeros((0, OUTCOME, obs_dim), np.float32))
