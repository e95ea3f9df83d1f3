"""Batches of prompts, each with steps of its task: what is learned from when a row of the data is a prompt."""

from __future__ import annotations

import torch
from torch import Tensor

from .steps import Steps


class PromptedSteps:
    """For prompts, given as rows of the training set's behaviours: steps and other prompts of the same task.

    Args:
        steps: all labelled steps.
        n_prompts: rows of the behaviours.
    """

    def __init__(self, steps: Steps, n_prompts: int) -> None:
        self._steps = steps
        self._order = torch.cat(steps.prompts)
        self._own_steps = torch.zeros(n_prompts, 2, dtype=torch.int64)
        self._own_prompts = torch.zeros(n_prompts, 2, dtype=torch.int64)
        begin = 0
        for rows, bounds in zip(steps.prompts, steps.bounds, strict=True):
            self._own_steps[rows] = torch.tensor(bounds)
            self._own_prompts[rows] = torch.tensor([begin, begin + len(rows)])
            begin += len(rows)

    def draw(self, rows: Tensor, per_prompt: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Steps of the tasks of prompts `rows` (n,), uniformly with repeats.

        Returns:
            observations (n, per_prompt, obs_dim), actions (n, per_prompt, action_dim).
        """
        drawn = _drawn(self._own_steps[rows.cpu()], per_prompt, chance).to(self._steps.observations.device)
        return self._steps.observations[drawn], self._steps.actions[drawn]

    def peers(self, rows: Tensor, n: int, chance: torch.Generator) -> Tensor:
        """For each of the prompts `rows` (m,), n prompts of its task, uniformly with repeats: (m, n) int64."""
        return self._order[_drawn(self._own_prompts[rows.cpu()], n, chance)].to(rows.device)


def _drawn(bounds: Tensor, n: int, chance: torch.Generator) -> Tensor:
    """n whole numbers of each range (m, 2), uniformly: (m, n) int64."""
    start, stop = bounds[:, :1], bounds[:, 1:]
    part = torch.rand(len(bounds), n, generator=chance, dtype=torch.float64)  # Never rounded up to 1, as float32 is.
    return start + (part * (stop - start)).long()
