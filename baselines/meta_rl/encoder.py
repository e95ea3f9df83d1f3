"""The posterior over tasks: PEARL's product of Gaussian factors, trained by FOCAL's metric loss.

PEARL: Rakelly et al., ICML 2019, arXiv 1903.08254. FOCAL: Li, Yang, Luo, ICLR 2021, arXiv 2010.01112.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from maa_bench.method import Context

from ..shared.scaling import Standardizer
from ..shared.training import PROGRESS_EVERY
from .contexts import Contexts

SMALLEST_VARIANCE = 1e-7
"""Of a factor; as in PEARL's code."""
CLOSEST = 0.1
"""Added to distances before they are divided by; epsilon of FOCAL's loss."""


@dataclass(frozen=True)
class ContextConfig:
    """Attributes:
    hidden: hidden layers of the encoder.
    z_dim: size of z.
    max_noise: contexts come from experts of at most this action noise, and from checkpoints.
    separation: weight of pushing tasks apart; FOCAL's beta.
    power: distances are raised to it before they are divided by; FOCAL's n.
    kl: weight of the divergence of the posterior from a standard normal; PEARL's beta.
    updates: gradient steps.
    contexts: contexts of each task a step.
    batch: transitions of a context.
    lr: Adam's learning rate.
    """

    hidden: tuple[int, ...]
    z_dim: int
    max_noise: float
    separation: float
    power: float
    kl: float
    updates: int
    contexts: int
    batch: int
    lr: float


def product_of_gaussians(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """The Gaussian that is proportional to a product of Gaussians, number by number.

    Args:
        mean, variance: (..., n_factors, z_dim).

    Returns:
        mean and variance (..., z_dim).
    """
    precision = 1 / variance
    total = 1 / precision.sum(-2)
    return total * (precision * mean).sum(-2), total


def kl_from_standard_normal(mean: Tensor, variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)), summed over the last axis."""
    return 0.5 * (variance + mean.square() - 1 - variance.log()).sum(-1)


def metric_loss(z: Tensor, separation: float, power: float) -> Tensor:
    """FOCAL's distance metric loss: its mean over the pairs of one task, plus its mean over the pairs of two tasks.

    Of a pair of one task it is their squared distance, of a pair of two tasks separation / (distance^power + 0.1). The
    two kinds are averaged apart, as in FOCAL's code: pairs of one task are few among all pairs.

    Args:
        z: (n_tasks, n_contexts, z_dim).
    """
    tasks, contexts, _ = z.shape
    flat = z.flatten(0, 1)
    squared = (flat[:, None] - flat).square().sum(-1)
    task = torch.arange(tasks, device=z.device).repeat_interleave(contexts)
    same = task[:, None] == task
    close = torch.where(same, squared, 0.0).sum() / max(1, tasks * contexts * (contexts - 1))
    # Distances within a task are masked before the power too: at 0 a fractional one would have no gradient.
    apart = torch.where(same, 0.0, separation / (torch.where(same, 1.0, squared) ** (power / 2) + CLOSEST))
    return close + apart.sum() / max(1, tasks * (tasks - 1) * contexts**2)


class ContextEncoder(nn.Module):
    """Transitions -> posterior over z: each transition is a Gaussian factor, their product is the posterior.

    Args:
        width: numbers of a transition.
        hidden: hidden layers (ReLU).
        z_dim: size of z.

    Fit `scaler` to the training tasks' transitions before training.
    """

    def __init__(self, width: int, hidden: tuple[int, ...], z_dim: int) -> None:
        super().__init__()
        self.scaler = Standardizer(width)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise((width, *hidden)):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear((width, *hidden)[-1], 2 * z_dim))

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Contexts (..., n_transitions, width) -> the posterior's mean and variance (..., z_dim)."""
        mean, raw = self.layers(self.scaler(context)).chunk(2, -1)
        return product_of_gaussians(mean, nn.functional.softplus(raw).clamp(min=SMALLEST_VARIANCE))


def sampled(posterior: tuple[Tensor, Tensor], chance: torch.Generator) -> Tensor:
    """A draw (..., z_dim) of a posterior, with its gradient; `chance` is a CPU generator."""
    mean, variance = posterior
    return mean + variance.sqrt() * torch.randn(mean.shape, generator=chance).to(mean.device)


def train_encoder(
    encoder: ContextEncoder, contexts: Contexts, config: ContextConfig, context: Context, chance: torch.Generator
) -> None:
    """Train on contexts of all tasks: metric loss between draws of posteriors, and their divergence from N(0, 1)."""
    encoder.scaler.fit(contexts.rows)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=config.lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.updates)
    context.progress("context encoder", 0, config.updates)
    for update in range(1, config.updates + 1):
        posterior = encoder(contexts.draw(config.contexts, config.batch, chance))
        loss = metric_loss(sampled(posterior, chance), config.separation, config.power)
        loss = loss + config.kl * kl_from_standard_normal(*posterior).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if update % PROGRESS_EVERY == 0 or update == config.updates:
            context.progress("context encoder", update, config.updates)
