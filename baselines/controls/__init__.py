"""Trivial controls: rows that stand beside every method, so that a number can mean something.

`random_seen` and `nearest_checkpoint` show what the seen checkpoints give away for free, `random_weights` is the
floor and `expert` the ceiling.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maa_bench.errors import MethodError
from maa_bench.method import Agent, Agents, Context, FlatPolicies, MethodCard, Scale, TrainingSet, prompt_of_candidate
from maa_bench.policy import Float32, initial_params
from maa_bench.prompts import PromptSet

from ..shared.nearest import behaviour_distances


class _Fitted:
    """A control that only remembers the training set."""

    def __init__(self, scale: Scale = "small") -> None:
        self._training_set: TrainingSet | None = None

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Remember the checkpoints."""
        self._training_set = training_set

    def save(self, folder: Path) -> None:
        """Nothing but the training set is needed, and `load` is given that."""

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Remember the checkpoints."""
        self._training_set = training_set

    @property
    def training_set(self) -> TrainingSet:
        """What `fit` was given."""
        if self._training_set is None:
            raise MethodError(f"{type(self).__name__}: call fit or load before generate")
        return self._training_set


class RandomSeen(_Fitted):
    """Draws checkpoints of the training tasks, whatever the prompts say: uniform over tasks, then over rows."""

    card = MethodCard(
        name="random_seen",
        family="control",
        summary="Random checkpoints of the training tasks; ignores the prompts.",
        uses="nothing",
    )

    def generate(self, prompts: PromptSet, n: int, context: Context) -> Agents:
        """n checkpoints, without repeats within a task as far as they reach."""
        data = self.training_set
        # The task's name enters, so that two test tasks do not get the same draw.
        rng = context.rng(*prompts.task.encode())
        orders = [rng.permutation(np.flatnonzero(data.task == task)) for task in data.train_tasks]
        rows: list[int] = []
        while len(rows) < n:
            which = rng.integers(len(orders))
            rows.append(orders[which][0])
            orders[which] = np.roll(orders[which], -1)
        return FlatPolicies(data.spec, data.params[np.array(rows)])


class NearestCheckpoint(_Fitted):
    """Answers each prompt with the seen checkpoint that behaves most like it: retrieval instead of generation."""

    card = MethodCard(
        name="nearest_checkpoint",
        family="control",
        summary="The training checkpoint whose behaviour is nearest to the prompt's.",
        uses="prompts",
    )

    def generate(self, prompts: PromptSet, n: int, context: Context) -> Agents:
        """Candidate i is the (i // n_prompts)-th nearest checkpoint to prompt i mod n_prompts."""
        data = self.training_set
        distances = behaviour_distances(prompts.behaviors, data.behaviors)
        order = np.argsort(distances, axis=1, kind="stable")
        which = prompt_of_candidate(n, len(prompts))
        rank = np.arange(n) // len(prompts) % len(data)
        return FlatPolicies(data.spec, data.params[order[which, rank]])


class RandomWeights(_Fitted):
    """Freshly initialised policies: the floor."""

    card = MethodCard(
        name="random_weights",
        family="control",
        summary="Untrained policies with Xavier-uniform weights.",
        trained_on="nothing",
        uses="nothing",
    )

    def generate(self, prompts: PromptSet, n: int, context: Context) -> Agents:
        """n policies, initialised as before training."""
        rng, spec = context.rng(*prompts.task.encode()), self.training_set.spec
        params: Float32 = np.stack([initial_params(spec, rng) for _ in range(n)])
        return FlatPolicies(spec, params)


class Expert(_Fitted):
    """The simulator's scripted expert: the ceiling. Not a contender, it knows the test task."""

    card = MethodCard(
        name="expert",
        family="ceiling",
        summary="The simulator's scripted policy for the test task.",
        trained_on="nothing",
        uses="scripted_expert",
        deterministic_candidates=True,
    )

    def generate(self, prompts: PromptSet, n: int, context: Context) -> Agents:
        """n times the same scripted policy."""
        return _Experts(self.training_set.suite, prompts.task, n)


@dataclass(frozen=True)
class _Experts:
    """Scripted experts by name, opened where they act."""

    suite: str
    task: str
    n: int

    def __len__(self) -> int:
        return self.n

    def agent(self, index: int) -> Agent:
        from maa_bench.simulators import simulator_of
        from maa_bench.suite import load_suite

        suite = load_suite(self.suite)
        return simulator_of(suite).open_task(suite.task(self.task)).expert()
