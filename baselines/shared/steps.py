"""The training tasks' steps as tensors, and what a prompt shows as features: what networks are trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maa_bench.method import TrainingSet
from maa_bench.prompts import Behaviors


@dataclass(frozen=True)
class Steps:
    """Steps of all training tasks, task after task, and the behaviours that may prompt for each.

    Attributes:
        observations: (n, obs_dim) float32.
        actions: (n, action_dim) float32, what to do there: the expert's action, or the checkpoint's own where the
            dataset has no transitions.
        task: (n,) int64, index of the step's task in `TrainingSet.train_tasks`.
        bounds: (start, stop) of each task's steps.
        prompts: of each task, rows of the training set's behaviours.
    """

    observations: Tensor
    actions: Tensor
    task: Tensor
    bounds: tuple[tuple[int, int], ...]
    prompts: tuple[Tensor, ...]


def labelled_steps(training_set: TrainingSet, device: str = "cpu") -> Steps:
    """Every step of the training tasks' episodes, labelled with the expert's action; without transitions (the
    official data have none) the steps that behaviours show, with the checkpoints' own actions."""
    observations, actions, prompts = [], [], []
    for task in training_set.train_tasks:
        rows = np.flatnonzero(training_set.task == task)
        prompts.append(torch.from_numpy(rows))
        transitions = training_set.transitions.get(task)
        if transitions is not None and len(transitions):
            observations.append(transitions.observations)
            actions.append(transitions.labels)
        else:
            shown_obs, shown_actions = shown_steps(training_set.behaviors.take(rows))
            observations.append(shown_obs)
            actions.append(shown_actions)
    stops = np.cumsum([len(part) for part in observations]).tolist()
    return Steps(
        torch.tensor(np.concatenate(observations), device=device),
        torch.tensor(np.concatenate(actions), device=device),
        torch.cat([torch.full((len(part),), i) for i, part in enumerate(observations)]).to(device),
        tuple(zip([0, *stops[:-1]], stops, strict=True)),
        tuple(prompts),
    )


def shown_steps(behaviors: Behaviors) -> tuple[np.ndarray, np.ndarray]:
    """All steps that n behaviours show: observations (n * 60, obs_dim), actions (n * 60, action_dim), float32."""
    obs, actions = behaviors.observations, behaviors.actions
    return obs.reshape(-1, obs.shape[-1]), actions.reshape(-1, actions.shape[-1])


def prompt_features(behaviors: Behaviors, device: str = "cpu") -> Tensor:
    """What Make-An-Agent is prompted by, side by side: (n, traj + task) float32; 1,137 numbers for Meta-World."""
    both = np.concatenate([behaviors.trajectory_vectors(), behaviors.outcome_vectors()], axis=1)
    return torch.tensor(both, device=device)
