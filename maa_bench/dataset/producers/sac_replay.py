"""What n runs have lived through, and what experts did before them, as one table of transitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from maa_bench.dataset.transitions import Transitions
from maa_bench.policy import Float32


def transitions(episodes: Transitions) -> Float32:
    """Rows as `Learner.update` takes them: observation, action, next observation, reward."""
    parts = (episodes.observations, episodes.actions, episodes.next_observations, episodes.rewards[:, None])
    return np.concatenate(parts, 1, dtype=np.float32)


class Replay:
    """One ring of transitions a run, all filled in step, and the experts' transitions in front of them.

    One table, so that a batch of all runs is gathered in one call. Memory is only taken as it is filled.

    Args:
        runs: number of runs.
        capacity: transitions a ring holds.
        width: numbers a transition has.
        prior: of each run, which of `experts` it may draw from; empty: none.
        experts: (any, width) float32, their transitions.
        device: of the table.
    """

    def __init__(
        self,
        runs: int,
        capacity: int,
        width: int,
        prior: Sequence[int] = (),
        experts: Sequence[Float32] = (),
        device: str = "cpu",
    ) -> None:
        self.count = 0
        self._capacity = capacity
        ends = np.cumsum([0, *map(len, experts)])
        self._table = torch.empty((int(ends[-1]) + runs * capacity, width), device=device)
        for start, rows in zip(ends, experts, strict=False):
            self._table[start : start + len(rows)] = torch.from_numpy(rows)
        self._starts = torch.arange(runs) * capacity + int(ends[-1])
        self._expert_starts = torch.tensor([int(ends[i]) for i in prior])
        self._expert_counts = torch.tensor([len(experts[i]) for i in prior], dtype=torch.float64)

    def add(self, runs: Tensor, rows: Float32) -> None:
        """One transition (len(runs), width) of each of these runs; an older one gives way when a ring is full."""
        index = self._starts[runs] + self.count % self._capacity
        self._table[index.to(self._table.device)] = torch.from_numpy(rows).to(self._table.device)
        self.count += 1

    def sample(self, runs: Tensor, uniform: Tensor) -> Tensor:
        """A batch of each of these runs: (len(runs), b, width).

        Args:
            runs: their indices.
            uniform: (len(runs), b) float64 in [0, 1), what decides. Where there are experts, the first half of a batch
                is theirs.
        """
        n, b = uniform.shape
        half = b // 2 if len(self._expert_starts) else 0
        own = (uniform[:, half:] * min(self.count, self._capacity)).long() + self._starts[runs].unsqueeze(1)
        if half:
            theirs = (uniform[:, :half] * self._expert_counts[runs].unsqueeze(1)).long()
            own = torch.cat([theirs + self._expert_starts[runs].unsqueeze(1), own], 1)
        return self._table.index_select(0, own.view(-1).to(self._table.device)).view(n, b, -1)

    def last(self, runs: Sequence[int], count: int) -> Tensor:
        """The newest `count` transitions of these runs, or as many as a ring holds: (len(runs), count, width)."""
        count = min(count, self._capacity)
        return self._table[self._ring(torch.tensor(runs), self.count - count, count)].cpu()

    def refill(self, runs: Tensor, rows: Tensor, count: int) -> None:
        """What `last` gave of the newest `count` transitions, after those that are there."""
        kept = rows.shape[1]
        self._table[self._ring(runs, self.count + count - kept, kept)] = rows.to(self._table.device)
        self.count += count

    def _ring(self, runs: Tensor, first: int, count: int) -> Tensor:
        """Where transitions number `first` and on of these runs lie: (len(runs), count)."""
        steps = torch.arange(first, first + count) % self._capacity
        return (self._starts[runs].unsqueeze(1) + steps).to(self._table.device)
