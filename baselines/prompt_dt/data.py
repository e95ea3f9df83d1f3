"""What is trained on: chunks of the seen tasks' episodes, and prompts of the same tasks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maa_bench.method import TrainingSet
from maa_bench.prompts import OUTCOME, SEGMENT, Behaviors

from ..shared.steps import Steps, labelled_steps


@dataclass(frozen=True)
class Histories:
    """Steps of all training tasks with the episodes that they belong to.

    Attributes:
        steps: observations, what to do there, tasks, and the rows of each task's prompts.
        actions: (n, action_dim) float32, what was done there; with noise, and by checkpoints too.
        first: (n,) int64, the first step of each step's episode.
        stop: (n,) int64, one past its last.
    """

    steps: Steps
    actions: Tensor
    first: Tensor
    stop: Tensor

    def __len__(self) -> int:
        return len(self.actions)

    def chunks(self, last: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """The `length` steps up to each `last` (n,); where an episode has fewer until then, its first `length`.

        Returns:
            rows (n, length) int64; whether each is a step, (n, length) bool: an episode may be shorter than that.
        """
        start = torch.maximum(self.first[last], last - length + 1)
        rows = start[:, None] + torch.arange(length, device=last.device)
        stop = self.stop[last, None]
        return rows.minimum(stop - 1), rows < stop


def histories(training_set: TrainingSet, device: str = "cpu") -> Histories:
    """Every episode of the training tasks; of a task without transitions (the official data) its behaviours."""
    actions, lengths = [], []
    for task in training_set.train_tasks:
        transitions = training_set.transitions.get(task)
        if transitions is not None and len(transitions):
            actions.append(torch.tensor(transitions.actions))
            lengths += [stop - start for start, stop in transitions.bounds()]
        else:
            shown = torch.tensor(training_set.behaviors.actions[training_set.task == task])
            actions.append(shown.flatten(0, 1))
            lengths += [SEGMENT] * len(shown)
    repeats = torch.tensor(lengths)
    stops = repeats.cumsum(0)
    first, stop = ((ends).repeat_interleave(repeats).to(device) for ends in (stops - repeats, stops))
    return Histories(labelled_steps(training_set, device), torch.cat(actions).to(device), first, stop)


@dataclass(frozen=True)
class Shown:
    """Behaviours as tensors, from which prompts are drawn.

    Attributes:
        observations: (n, 63, obs_dim) float32, the first 60 states and the 3 of the outcome.
        actions: (n, 60, action_dim) float32.
    """

    observations: Tensor
    actions: Tensor

    def prompts(self, rows: Tensor, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Show of each of m rows the steps (m, h) and the outcome: the arguments of `PromptTransformer.remember`."""
        outcome = torch.arange(SEGMENT, SEGMENT + OUTCOME, device=rows.device).expand(len(rows), -1)
        times = torch.cat([steps, outcome], dim=1)
        return self.observations[rows[:, None], times], self.actions[rows[:, None], steps], times


def shown(behaviors: Behaviors, device: str = "cpu") -> Shown:
    """n behaviours on a device."""
    observations, actions, outcome = (
        torch.tensor(array, device=device) for array in (behaviors.observations, behaviors.actions, behaviors.outcome)
    )
    return Shown(torch.cat([observations, outcome], dim=1), actions)


def drawn_steps(n: int, h: int, chance: torch.Generator) -> Tensor:
    """h of the 60 steps for each of n prompts, in order: one drawn from each h-th part of them. (n, h) int64."""
    return ((torch.arange(h) + torch.rand(n, h, generator=chance)) * (SEGMENT / h)).long().clamp(max=SEGMENT - 1)
