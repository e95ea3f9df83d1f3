"""What training on the test task itself gives: its own trained checkpoints. A ceiling, not a contender."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from maa_bench.errors import MethodError
from maa_bench.method import Context, FlatPolicies, MethodCard, Scale, TrainingSet
from maa_bench.policy import PolicySpec
from maa_bench.prompts import CheckpointPromptSet, PromptSet


class SingleTask:
    """Gives the checkpoints of the test task's prompt runs, those whose behaviour the prompts show."""

    card = MethodCard(
        name="single_task",
        family="ceiling",
        summary="The test task's own trained checkpoints: what training there would give.",
        trained_on="nothing",
        uses="test_checkpoints",
    )

    def __init__(self, scale: Scale = "small") -> None:
        self._spec: PolicySpec | None = None

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Nothing is learned of other tasks."""
        self._spec = training_set.spec

    def save(self, folder: Path) -> None:
        """Nothing is needed but what policies are, and `load` is told that."""

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Remember what policies are."""
        self._spec = training_set.spec

    def generate(self, prompts: PromptSet, n: int, context: Context) -> FlatPolicies:
        """n checkpoints, from all runs in turn, shuffled by the seed; repeated only when there are fewer than n.

        Raises:
            MethodError: not fitted, or no checkpoints.
        """
        if self._spec is None:
            raise MethodError("single_task: call fit or load before generate")
        if not isinstance(prompts, CheckpointPromptSet) or not len(prompts.params):
            raise MethodError(f"single_task needs checkpoints of {prompts.task}, and was shown none")
        rows = spread(prompts.run, context.rng(*prompts.task.encode()))
        return FlatPolicies(self._spec, prompts.params[np.resize(rows, n)])


def spread(run: npt.NDArray[np.str_], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """An order of all rows in which the first of every run come before the second of any: (m,) int64.

    Args:
        run: (m,) run of each row.
        rng: shuffles the runs, and the rows of each.
    """
    names = rng.permutation(np.unique(run))
    shuffled = [rng.permutation(np.flatnonzero(run == name)) for name in names]
    turns = max(len(rows) for rows in shuffled)
    return np.array([rows[turn] for turn in range(turns) for rows in shuffled if turn < len(rows)], np.int64)
