"""Implicit Q-learning (Kostrikov, Nair, Levine, ICLR 2022, arXiv 2110.06169) on many tasks at once.

Values are learned from the actions of the data alone: V regresses to a high expectile of Q over them, and Q to the
reward plus the next state's V. The policy then clones the data's actions, each weighted by exp(beta * advantage).
No action that the data do not hold is ever valued.

Every training task has critics of its own, stacked into one network: rewards of different tasks do not disturb each
other, and after training critics are not needed. The policy is one for all tasks, told its task by a vector z.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maa_bench.errors import MethodError
from maa_bench.method import Context

from .conditioned import ConditionedPolicy
from .rewarded import Batch, RewardedSteps
from .scaling import Standardizer
from .stacked import StackedMLP
from .training import PROGRESS_EVERY, first_weights


@dataclass(frozen=True)
class IQLConfig:
    """Attributes:
    updates: gradient steps of critics and policy.
    batch: transitions of each task a step.
    critic_hidden: hidden layers of Q and V.
    gamma: discount.
    tau: share of Q that its target takes over at every step.
    expectile: of Q that V is; 0.5 is its mean, towards 1 its maximum over the data's actions.
    beta: inverse temperature of the policy's weights; 0 clones everything alike.
    max_weight: weights are clipped to it.
    lr: Adam's learning rate at the start; a cosine takes it to 0.
    """

    updates: int
    batch: int
    critic_hidden: tuple[int, ...]
    gamma: float
    tau: float
    expectile: float
    beta: float
    max_weight: float
    lr: float


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """|expectile - 1(difference < 0)| * difference^2, element by element.

    Its mean over `samples - v` is least where v is the expectile of the samples.
    """
    return (expectile - (difference < 0).to(difference.dtype)).abs() * difference.square()


def advantage_weights(advantage: Tensor, beta: float, max_weight: float) -> Tensor:
    """exp(beta * advantage), at most `max_weight`; no gradient."""
    return (beta * advantage.detach()).exp().clamp(max=max_weight)


class Critics(nn.Module):
    """Twin Q with their targets, and V, of each task.

    Args:
        steps: what they will learn from; sizes and the scale of observations are taken from it.
        hidden: hidden layers.
    """

    def __init__(self, steps: RewardedSteps, hidden: tuple[int, ...]) -> None:
        super().__init__()
        n, o, a = len(steps.bounds), steps.obs_dim, steps.action_dim
        self.n = n
        self.scaler = Standardizer(o).fit(steps.observations.cpu())
        self.q = StackedMLP(2 * n, (o + a, *hidden, 1))  # all first ones, then all second ones
        self.target = StackedMLP(2 * n, (o + a, *hidden, 1)).requires_grad_(False)
        self.target.load_state_dict(self.q.state_dict())
        self.v = StackedMLP(n, (o, *hidden, 1))

    def losses(self, batch: Batch, config: IQLConfig) -> tuple[Tensor, Tensor]:
        """The critics' loss (), summed over tasks and networks, and the advantages (n_tasks, b) of the actions."""
        b = batch.rewards.shape[1]
        obs, following = self.scaler(batch.observations), self.scaler(batch.following)
        value, next_value = self.v(torch.cat([obs, following], 1)).squeeze(-1).split(b, 1)
        done = torch.cat([obs, batch.actions], -1).repeat(2, 1, 1)
        advantage = self.target(done).view(2, self.n, b).amin(0) - value
        wanted = batch.rewards + config.gamma * (1 - batch.ended) * next_value.detach()
        q_loss = (self.q(done).view(2, self.n, b) - wanted).square().mean(-1).sum()
        return q_loss + expectile_loss(advantage, config.expectile).mean(-1).sum(), advantage

    @torch.no_grad()
    def follow(self, tau: float) -> None:
        """Move the target Q by `tau` of its way."""
        torch._foreach_lerp_(list(self.target.parameters()), list(self.q.parameters()), tau)


def learn(
    steps: RewardedSteps,
    policy: ConditionedPolicy,
    tell: Callable[[], Tensor],
    told_by: Iterable[nn.Parameter],
    config: IQLConfig,
    context: Context,
    chance: torch.Generator,
) -> Critics:
    """Train critics and policy together, in place.

    Args:
        steps: the data.
        policy: on `context.device`, its scaler fitted.
        tell: gives z (n_tasks, z_dim) for the next step, of each task; gradients may pass through.
        told_by: what `tell` computes with, trained by the policy's loss.
        config: settings.
        context: device and progress.
        chance: a CPU generator; draws the batches. The critics' first weights come from its seed.

    Returns:
        The critics.

    Raises:
        MethodError: it diverged.
    """
    with first_weights(chance.initial_seed() % 2**63):
        critics = Critics(steps, config.critic_hidden)
    critics.to(context.device)
    trained = [p for p in (*critics.parameters(), *policy.parameters(), *told_by) if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=config.lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.updates)
    context.progress("offline RL", 0, config.updates)
    for update in range(1, config.updates + 1):
        batch = steps.draw(config.batch, chance)
        loss, advantage = critics.losses(batch, config)
        errors = (policy(batch.observations, tell()) - batch.actions).square().sum(-1)
        weights = advantage_weights(advantage, config.beta, config.max_weight)
        loss = loss + (weights * errors).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        critics.follow(config.tau)
        if update % PROGRESS_EVERY == 0 or update == config.updates:
            context.progress("offline RL", update, config.updates)
    if not all(p.isfinite().all() for p in trained):
        raise MethodError("offline RL diverged: lower its learning rate")
    return critics
