"""Rewarded transitions (s, a, r, s') as evidence of which task it is: of training episodes, and of prompts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from maa_bench.errors import MethodError
from maa_bench.method import TrainingSet
from maa_bench.policy import Float32
from maa_bench.prompts import SEGMENT, Behaviors


def context_width(obs_dim: int, action_dim: int) -> int:
    """Numbers of a transition."""
    return 2 * obs_dim + action_dim + 1


def prompt_contexts(behaviors: Behaviors, rewards: Float32) -> Float32:
    """The transitions that prompts show: (n, 59, width) float32. The state after the last of 60 actions is not shown.

    Args:
        behaviors: n prompts.
        rewards: (n, 60) float32, of each action.
    """
    states = behaviors.observations
    parts = (states[:, :-1], behaviors.actions[:, :-1], rewards[:, :-1, None], states[:, 1:])
    return np.concatenate(parts, axis=2, dtype=np.float32)


class Contexts:
    """Beginnings of training episodes that look like prompts, to draw contexts from.

    Prompts are the first 60 steps of good policies, without noise. So are these: of an episode only as many steps, and
    only of checkpoints and of experts with little noise.

    Args:
        training_set: with transitions of every task.
        max_noise: standard deviation of the experts' action noise, at most.
        device: of all tensors.

    Raises:
        MethodError: a task with fewer than one such episode.
    """

    def __init__(self, training_set: TrainingSet, max_noise: float, device: str) -> None:
        rows, bounds, first, counts = [], [], [0], []
        total = 0
        for task in training_set.train_tasks:
            steps = training_set.transitions[task]
            chosen = [(a, min(b, a + SEGMENT - 1)) for a, b in steps.bounds() if steps.noise_std[a] <= max_noise]
            if not chosen:
                raise MethodError(f"meta_rl: {task} has no episodes with action noise of at most {max_noise}")
            columns = (steps.observations, steps.actions, steps.rewards[:, None], steps.next_observations)
            table = np.concatenate(columns, axis=1, dtype=np.float32)
            for a, b in chosen:
                rows.append(table[a:b])
                bounds.append((total, total + b - a))
                total += b - a
            counts.append(len(chosen))
            first.append(first[-1] + len(chosen))
        self.rows = torch.tensor(np.concatenate(rows), device=device)
        self._bounds = torch.tensor(bounds)
        self._first, self._counts = torch.tensor(first[:-1]), torch.tensor(counts)

    def draw(self, per_task: int, size: int, chance: torch.Generator) -> Tensor:
        """`per_task` contexts of every task: (n_tasks, per_task, size, width).

        Each is of one episode, drawn uniformly, and its transitions are drawn from that one, with repeats.
        """
        n = len(self._counts)
        uniform = torch.rand(n, per_task, 1 + size, dtype=torch.float64, generator=chance)
        episode = self._first[:, None] + (uniform[..., 0] * self._counts[:, None]).long()
        start, stop = self._bounds[episode].unbind(-1)
        index = start[..., None] + (uniform[..., 1:] * (stop - start)[..., None]).long()
        return self.rows[index.to(self.rows.device)]
