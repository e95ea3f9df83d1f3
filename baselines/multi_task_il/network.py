"""Training of encoder and policy, and the plain policies that they become for a prompt."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maa_bench.method import Context, TrainingSet, prompt_of_candidate
from maa_bench.policy import PolicySpec
from maa_bench.prompts import PromptSet

from ..shared.config import FinetuneConfig
from ..shared.finetuning import finetuned
from ..shared.prompted_policy import PromptConfig, PromptedPolicy
from ..shared.prompted_steps import PromptedSteps
from ..shared.prompting import task_stream
from ..shared.steps import labelled_steps, prompt_features, shown_steps
from ..shared.training import first_weights, minimize
from .config import Config

INIT, TRAINING, NOISE, FINETUNING = range(4)
"""Streams of `Context.torch_generator`."""


def new_policy(spec: PolicySpec, config: Config, seed: int) -> PromptedPolicy:
    """Untrained, with first weights of `seed`."""
    with first_weights(seed):
        return PromptedPolicy(spec, PromptConfig(config.encoder_hidden, config.z_dim, config.prompt_noise))


def fit_policy(training_set: TrainingSet, config: Config, context: Context) -> PromptedPolicy:
    """Clone by squared error: for each prompt of a batch, steps drawn from all of its task's; on `context.device`."""
    device = context.device
    steps = labelled_steps(training_set, device)
    features = prompt_features(training_set.behaviors, device)
    prompted = PromptedSteps(steps, len(features))
    network = new_policy(training_set.spec, config, context.torch_generator(INIT).initial_seed())
    network.encoder.scaler.fit(features.cpu())
    network.policy.scaler.fit(steps.observations.cpu())
    network.to(device)
    chance = context.torch_generator(TRAINING)

    def loss(rows: Tensor) -> Tensor:
        z = network.encoder(features[rows], config.prompt_noise, chance)
        observations, actions = prompted.draw(rows, config.steps_per_prompt, chance)
        return nn.functional.mse_loss(network.policy(observations, z), actions)

    minimize("policy", network.parameters(), loss, len(features), config.training, context, chance)
    return network


@torch.no_grad()
def told_policies(
    network: PromptedPolicy, prompts: PromptSet, start: int, n: int, noise: float, context: Context
) -> Tensor:
    """The policies of candidates `start` to `start + n - 1`: (n, n_params) float32.

    Candidate i is told prompt i mod len(prompts); from i = len(prompts) on, with `noise` on its features.
    """
    features = prompt_features(prompts.behaviors)
    chosen = network.encoder.scaler(features.to(context.device))[prompt_of_candidate(start + n, len(prompts))[start:]]
    task = task_stream(prompts)
    for row in range(max(0, len(prompts) - start), n):
        chance = context.torch_generator(NOISE, task, start + row)
        chosen[row] += noise * torch.randn(chosen.shape[1], generator=chance).to(chosen.device)
    return network.policy.folded(network.encoder.encode(chosen))


def finetuned_on(
    prompts: PromptSet, policies: Tensor, spec: PolicySpec, start: int, settings: FinetuneConfig, context: Context
) -> Tensor:
    """Each policy cloned further on the steps of all prompts."""
    observations, actions = (torch.tensor(part, device=policies.device) for part in shown_steps(prompts.behaviors))
    chance = context.torch_generator(FINETUNING, task_stream(prompts), start)
    return finetuned(spec, policies, observations, actions, settings, context, chance)
