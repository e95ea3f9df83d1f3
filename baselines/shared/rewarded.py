"""The training tasks' transitions with rewards that tasks share a scale of: what offline reinforcement learns from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from maa_bench.errors import MethodError
from maa_bench.method import TrainingSet


class Batch(NamedTuple):
    """Transitions of every task, b of each.

    Attributes:
        observations: (n_tasks, b, obs_dim).
        actions: (n_tasks, b, action_dim), what was done.
        following: (n_tasks, b, obs_dim), the observations after.
        rewards: (n_tasks, b), in [-1, 0].
        ended: (n_tasks, b), 1 where the step was a success, else 0.
    """

    observations: Tensor
    actions: Tensor
    following: Tensor
    rewards: Tensor
    ended: Tensor


@dataclass(frozen=True)
class RewardedSteps:
    """Transitions of all training tasks, task after task.

    Attributes:
        rows: (n, 2 * obs_dim + action_dim + 2) float32: the fields of `Batch` side by side.
        bounds: (start, stop) of each task's rows.
        obs_dim, action_dim: sizes.
    """

    rows: Tensor
    bounds: tuple[tuple[int, int], ...]
    obs_dim: int
    action_dim: int

    @property
    def observations(self) -> Tensor:
        """(n, obs_dim)."""
        return self.rows[:, : self.obs_dim]

    def draw(self, per_task: int, chance: torch.Generator) -> Batch:
        """Draw `per_task` transitions of every task, uniformly; `chance` is a CPU generator."""
        uniform = torch.rand(len(self.bounds), per_task, dtype=torch.float64, generator=chance)
        starts, stops = torch.tensor(self.bounds).T.unsqueeze(-1)
        index = (starts + uniform * (stops - starts)).long().to(self.rows.device)
        o, a = self.obs_dim, self.action_dim
        observations, actions, following, rest = self.rows[index].split((o, a, o, 2), -1)
        return Batch(observations, actions, following, rest[..., 0], rest[..., 1])


def rewarded_steps(method: str, training_set: TrainingSet, device: str = "cpu") -> RewardedSteps:
    """Every transition of the training tasks up to its episode's first success, which ends it.

    Rewards are scaled for each task to (reward - highest) / (highest - lowest), so they are costs in [-1, 0]. An
    episode that succeeds has no cost to come: the sooner the better, which is what the benchmark measures (success at
    any step), whereas unscaled positive rewards would make it pay to hover before the goal. The steps after a success
    do not count. An episode that was cut off without success does not end: what comes after its last step is
    estimated as after any other.

    Raises:
        MethodError: a training task has no transitions.
    """
    lacking = [t for t in training_set.train_tasks if not len(training_set.transitions.get(t, ()))]
    if lacking:
        raise MethodError(
            f"{method} learns from transitions with rewards, and the dataset has none of {', '.join(lacking)}: "
            "take one that `maa-bench data build` made"
        )
    parts = []
    for task in training_set.train_tasks:
        steps = training_set.transitions[task]
        counted = [np.arange(a, _end(steps.success, a, b)) for a, b in steps.bounds()]
        steps = steps.take(np.concatenate(counted))
        low, high = float(steps.rewards.min()), float(steps.rewards.max())
        costs = (steps.rewards - high) / max(high - low, 1e-6)
        columns = (steps.observations, steps.actions, steps.next_observations, costs[:, None], steps.success[:, None])
        parts.append(np.concatenate(columns, axis=1, dtype=np.float32))
    stops = np.cumsum([len(part) for part in parts]).tolist()
    spec = training_set.spec
    return RewardedSteps(
        torch.tensor(np.concatenate(parts), device=device),
        tuple(zip([0, *stops[:-1]], stops, strict=True)),
        spec.obs_dim,
        spec.action_dim,
    )


def _end(success: np.ndarray, start: int, stop: int) -> int:
    """Where an episode's rows end that count: after its first success."""
    wins = np.flatnonzero(success[start:stop])
    return start + int(wins[0]) + 1 if len(wins) else stop
