"""How offline RL trains the prompt-conditioned policy, and how it answers prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maa_bench.method import Context, TrainingSet, prompt_of_candidate
from maa_bench.policy import Float32
from maa_bench.prompts import PromptSet

from ..shared.config import FinetuneConfig
from ..shared.finetuning import finetuned
from ..shared.iql import IQLConfig, learn
from ..shared.prompted_policy import PromptConfig, PromptedPolicy
from ..shared.prompting import task_stream
from ..shared.rewarded import rewarded_steps
from ..shared.steps import prompt_features, shown_steps
from ..shared.training import first_weights

BATCH = 16
"""Candidates are finetuned so many at a time, the last batch filled up, so that candidate i does not depend on n."""
FIRST_WEIGHTS, TRAINING, FINETUNING = range(3)
"""Streams of the context."""


@dataclass(frozen=True)
class AnswerConfig:
    """What it takes to answer prompts with a fitted model."""

    prompt: PromptConfig
    finetune: FinetuneConfig


@dataclass(frozen=True)
class Config(AnswerConfig):
    """A scale of `config.toml`."""

    iql: IQLConfig


class Prompts:
    """The training tasks' prompts: what checkpoints of a task showed, to draw one of each task from.

    Args:
        model: its encoder is fitted to them.
        noise: as `PromptConfig`.
    """

    def __init__(self, model: PromptedPolicy, training_set: TrainingSet, noise: float, device: str) -> None:
        features = prompt_features(training_set.behaviors, device)
        model.encoder.scaler.fit(features)
        rows = [torch.from_numpy(np.flatnonzero(training_set.task == task)) for task in training_set.train_tasks]
        self._encoder, self._noise, self._features, self._rows = model.encoder, noise, features, rows

    def told(self, chance: torch.Generator) -> Tensor:
        """Encode a prompt of each task, drawn with a CPU generator: z (n_tasks, z_dim), with its gradient."""
        which = torch.stack([own[torch.randint(len(own), (), generator=chance)] for own in self._rows])
        z: Tensor = self._encoder(self._features[which.to(self._features.device)], self._noise, chance)
        return z


def fit_offline(method: str, training_set: TrainingSet, config: Config, context: Context) -> PromptedPolicy:
    """Train encoder and policy by IQL on the transitions of all training tasks.

    Raises:
        MethodError: a task without transitions, or a training that diverged.
    """
    steps = rewarded_steps(method, training_set, context.device)
    with first_weights(int(context.rng(FIRST_WEIGHTS).integers(2**62))):
        model = PromptedPolicy(training_set.spec, config.prompt)
    model.to(context.device)
    model.policy.scaler.fit(steps.observations)
    prompts = Prompts(model, training_set, config.prompt.noise, context.device)
    chance = context.torch_generator(TRAINING)
    learn(steps, model.policy, lambda: prompts.told(chance), model.encoder.parameters(), config.iql, context, chance)
    return model.requires_grad_(False)


def answered(model: PromptedPolicy, prompts: PromptSet, n: int, finetune: FinetuneConfig, context: Context) -> Float32:
    """n flat policies (n, n_params): candidate i is told prompt i mod len(prompts), then clones the steps of them all.

    Candidate i is the same for every n.
    """
    device, spec = context.device, model.policy.spec
    model.to(device)
    observations, actions = (torch.tensor(x, device=device) for x in shown_steps(prompts.behaviors))
    with torch.no_grad():
        z = model.encoder(prompt_features(prompts.behaviors, device))
    made = []
    for start in range(0, n, BATCH):
        chosen = prompt_of_candidate(start + BATCH, len(prompts))[start:]
        flat = model.policy.folded(z[torch.from_numpy(chosen).to(device)])
        chance = context.torch_generator(FINETUNING, task_stream(prompts), start)
        made.append(finetuned(spec, flat, observations, actions, finetune, context, chance).cpu().numpy())
    return np.concatenate(made)[:n]
