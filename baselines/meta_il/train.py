"""The outer loop, and the inner loop on a test task's prompts."""

from __future__ import annotations

import torch
from torch import Tensor

from maa_bench.errors import MethodError
from maa_bench.method import Context, TrainingSet, prompt_of_candidate
from maa_bench.policy import initial_params
from maa_bench.prompts import SEGMENT, PromptSet

from ..shared.prompted_steps import PromptedSteps
from ..shared.prompting import task_stream
from ..shared.steps import labelled_steps
from ..shared.training import minimize
from .config import Config
from .maml import MetaPolicy, cloning_loss

INIT, TRAINING, REPEATS = range(3)
"""Streams of the context."""


def fit_meta_policy(training_set: TrainingSet, config: Config, context: Context) -> MetaPolicy:
    """Learn first weights and step sizes such that inner steps on prompts clone their task's labelled steps."""
    device, spec, shown = context.device, training_set.spec, training_set.behaviors
    steps = PromptedSteps(labelled_steps(training_set, device), len(shown))
    observations, actions = torch.tensor(shown.observations, device=device), torch.tensor(shown.actions, device=device)
    first = torch.from_numpy(initial_params(spec, context.rng(INIT)))
    policy = MetaPolicy(spec, first, config.first_step_size).to(device)
    chance = context.torch_generator(TRAINING)

    def loss(rows: Tensor) -> Tensor:
        inner = rows.expand(config.inner_steps, -1)
        if config.adapt_on == "all":
            inner = torch.cat([rows[None], steps.peers(rows, config.inner_steps - 1, chance).T])
        which = torch.randint(SEGMENT, (*inner.shape, config.inner_batch), generator=chance).to(device)
        inner = inner[:, :, None]
        made = policy(observations[inner, which], actions[inner, which], config.first_order)
        return cloning_loss(spec, made, *steps.draw(rows, config.outer_batch, chance)).mean()

    minimize("meta-policy", policy.parameters(), loss, len(shown), config.training, context, chance)
    return policy


@torch.no_grad()
def adapted_candidates(
    policy: MetaPolicy, prompts: PromptSet, start: int, n: int, config: Config, context: Context
) -> Tensor:
    """Candidates `start` to `start + n - 1` after their inner steps: (n, n_params) float32.

    From the second round on candidates draw 60 of a prompt's 60 steps with repeats, or they would repeat the first.

    Raises:
        MethodError: the inner steps diverged.
    """
    device, shown = context.device, prompts.behaviors
    observations, actions = torch.tensor(shown.observations, device=device), torch.tensor(shown.actions, device=device)
    own = torch.from_numpy(prompt_of_candidate(start + n, len(prompts))[start:])
    turn = torch.arange(config.test_steps)[:, None] if config.adapt_on == "all" else torch.zeros(config.test_steps, 1)
    which = ((own + turn.long()) % len(prompts))[:, :, None]
    steps = torch.arange(SEGMENT).expand(config.test_steps, n, -1).clone()
    for row in range(max(0, len(prompts) - start), n):
        chance = context.torch_generator(REPEATS, task_stream(prompts), start + row)
        steps[:, row] = torch.randint(SEGMENT, (config.test_steps, SEGMENT), generator=chance)
    which, steps = which.to(device), steps.to(device)
    made: Tensor = policy(observations[which, steps], actions[which, steps], first_order=True)
    if not torch.isfinite(made).all():
        raise MethodError("meta_il diverged on the prompts: lower test_steps")
    return made
