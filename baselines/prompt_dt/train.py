"""Fitting the transformer: it clones the expert's labels, prompted by behaviours of the same task."""

from __future__ import annotations

import torch
from torch import Tensor

from maa_bench.method import Context, TrainingSet

from ..shared.training import minimize
from .config import Config
from .data import drawn_steps, histories, shown
from .network import PromptTransformer

# Streams of `Context.torch_generator`.
INIT, TRAINING = range(2)


def fit_transformer(training_set: TrainingSet, config: Config, context: Context) -> PromptTransformer:
    """Train on all steps of all tasks; the network is left on `context.device`."""
    data, behaviors = histories(training_set, context.device), shown(training_set.behaviors, context.device)
    network = PromptTransformer(config, training_set.spec, context.torch_generator(INIT).initial_seed())
    network.scaler.fit(data.steps.observations)
    network.to(context.device)
    chance = context.torch_generator(TRAINING)

    def draw(high: int, n: int) -> Tensor:
        return torch.randint(high, (n,), generator=chance)

    def loss(last: Tensor) -> Tensor:
        asked = torch.cat([own[draw(len(own), config.prompts)] for own in data.steps.prompts])
        steps = drawn_steps(len(asked), config.prompt_steps, chance)
        memory = network.remember(*behaviors.prompts(asked.to(context.device), steps.to(context.device)))
        # Every chunk is given one of its own task's prompts.
        which = data.steps.task[last] * config.prompts + draw(config.prompts, len(last)).to(context.device)
        rows, real = data.chunks(last, config.chunk)
        made = network([(k[which], v[which]) for k, v in memory], data.steps.observations[rows], data.actions[rows])
        return (made - data.steps.actions[rows]).square().mean(dim=2)[real].mean()

    minimize("transformer", network.parameters(), loss, len(data), config.training, context, chance)
    return network.eval()
