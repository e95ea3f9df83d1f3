"""The agent: a context encoder and a policy told a draw of z; how data train both, and how it answers prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from maa_bench.method import Context, TrainingSet, prompt_of_candidate
from maa_bench.policy import Float32, PolicySpec
from maa_bench.prompts import PromptSet

from ..shared.conditioned import ConditionedPolicy
from ..shared.iql import IQLConfig, learn
from ..shared.prompting import task_stream
from ..shared.rewarded import rewarded_steps
from ..shared.training import first_weights
from .contexts import Contexts, context_width, prompt_contexts
from .encoder import ContextConfig, ContextEncoder, sampled, train_encoder

BATCH = 16
"""Candidates are made so many at a time, the last batch filled up, so that their bits do not depend on n."""
FIRST_WEIGHTS, CONTEXTS, TRAINING, POSTERIOR = range(4)
"""Streams of the context."""


@dataclass(frozen=True)
class Config:
    """A scale of `config.toml`."""

    context: ContextConfig
    iql: IQLConfig


class MetaAgent(nn.Module):
    """One policy for all tasks, and the encoder of rewarded transitions that tells it which."""

    def __init__(self, spec: PolicySpec, config: ContextConfig) -> None:
        super().__init__()
        width = context_width(spec.obs_dim, spec.action_dim)
        self.encoder = ContextEncoder(width, config.hidden, config.z_dim)
        self.policy = ConditionedPolicy(spec, config.z_dim)


def fit_offline(method: str, training_set: TrainingSet, config: Config, context: Context) -> MetaAgent:
    """Train the encoder by its metric loss; then the policy by IQL, told draws of the encoder's posteriors.

    Raises:
        MethodError: a task without transitions, or a training that diverged.
    """
    steps = rewarded_steps(method, training_set, context.device)
    contexts = Contexts(training_set, config.context.max_noise, context.device)
    with first_weights(int(context.rng(FIRST_WEIGHTS).integers(2**62))):
        agent = MetaAgent(training_set.spec, config.context)
    agent.to(context.device)
    train_encoder(agent.encoder, contexts, config.context, context, context.torch_generator(CONTEXTS))
    agent.encoder.requires_grad_(False)
    agent.policy.scaler.fit(steps.observations)
    chance = context.torch_generator(TRAINING)

    def told() -> Tensor:
        return sampled(agent.encoder(contexts.draw(1, config.context.batch, chance)), chance).squeeze(1)

    learn(steps, agent.policy, told, (), config.iql, context, chance)
    return agent.requires_grad_(False)


def answered(agent: MetaAgent, prompts: PromptSet, rewards: Float32, n: int, context: Context) -> Float32:
    """n flat policies (n, n_params): candidate i is told a draw of the posterior after prompt i mod len(prompts).

    Candidate i is the same for every n: its draw is the i-th of a generator seeded by the context and the task.
    """
    device = context.device
    agent.to(device)
    mean, variance = agent.encoder(torch.tensor(prompt_contexts(prompts.behaviors, rewards), device=device))
    chance = context.torch_generator(POSTERIOR, task_stream(prompts))
    made = []
    for start in range(0, n, BATCH):
        chosen = torch.from_numpy(prompt_of_candidate(start + BATCH, len(prompts))[start:]).to(device)
        # Drawn one candidate at a time: torch fills a larger array in another order.
        z = torch.stack([sampled((mean[i], variance[i]), chance) for i in chosen])
        made.append(agent.policy.folded(z).cpu().numpy())
    return np.concatenate(made)[:n]
