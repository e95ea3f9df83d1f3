"""The agent: a context encoder and a policy told a draw of z; how data train both, and how it answers prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from maa_bench.method import Context, TrainingSet
from maa_bench.policy import Float32, PolicySpec
from maa_bench.prompts import PromptSet

from ..shared.conditioned import ConditionedPolicy
from ..shared.config import FinetuneConfig
from ..shared.finetuning import finetuned
from ..shared.iql import IQLConfig, learn
from ..shared.prompting import task_stream
from ..shared.rewarded import rewarded_steps
from ..shared.steps import shown_steps
from ..shared.training import first_weights
from .contexts import Contexts, context_width, prompt_contexts
from .encoder import ContextConfig, ContextEncoder, sampled, train_encoder

BATCH = 16
"""Candidates are made so many at a time, the last batch filled up, so that their bits do not depend on n."""
FIRST_WEIGHTS, CONTEXTS, TRAINING, POSTERIOR, FINETUNING = range(5)
"""Streams of the context."""


@dataclass(frozen=True)
class Config:
    """A scale of `config.toml`; `finetune` is of `meta_rl_finetuned` only."""

    context: ContextConfig
    iql: IQLConfig
    finetune: FinetuneConfig


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


def answered(
    agent: MetaAgent,
    prompts: PromptSet,
    rewards: Float32,
    n: int,
    finetune: FinetuneConfig | None,
    context: Context,
) -> Float32:
    """n flat policies (n, n_params), told draws of one posterior, after all prompts; then finetuned, if it is wanted.

    Candidate i is the same for every n: its draw is the i-th of a generator seeded by the context and the task.
    """
    device, spec = context.device, agent.policy.spec
    agent.to(device)
    posterior = agent.encoder(torch.tensor(prompt_contexts(prompts.behaviors, rewards), device=device).flatten(0, 1))
    observations, actions = (torch.tensor(part, device=device) for part in shown_steps(prompts.behaviors))
    chance, made = context.torch_generator(POSTERIOR, task_stream(prompts)), []
    for start in range(0, n, BATCH):
        # Drawn one candidate at a time: torch fills a larger array in another order.
        flat = agent.policy.folded(torch.stack([sampled(posterior, chance) for _ in range(BATCH)]))
        if finetune:
            own = context.torch_generator(FINETUNING, task_stream(prompts), start)
            flat = finetuned(spec, flat, observations, actions, finetune, context, own)
        made.append(flat.cpu().numpy())
    return np.concatenate(made)[:n]
