"""Model-agnostic meta-learning (Finn et al., ICML 2017): first weights from which a few gradient steps go far."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor, nn

from maa_bench.differentiable import batched_mean
from maa_bench.policy import PolicySpec

PACE = 10.0
"""Logarithms of step sizes are learned so many times as fast as weights, or a short training would not move them."""


def cloning_loss(spec: PolicySpec, flat: Tensor, observations: Tensor, actions: Tensor) -> Tensor:
    """Mean squared error of each policy's actions on its own steps.

    Args:
        spec: the policy.
        flat: (n, n_params).
        observations: (n, b, obs_dim).
        actions: (n, b, action_dim).

    Returns:
        (n,).
    """
    # One split in place of a slice a tensor: its gradient is one `cat`, which is most of a training step's time.
    parts = flat.split([t.stop - t.start for t in spec.tensors], dim=1)
    tensors = {t.name: part.view(len(flat), *t.shape) for t, part in zip(spec.tensors, parts, strict=True)}
    return (batched_mean(spec, tensors, observations).tanh() - actions).square().mean(dim=(1, 2))


def adapted(
    spec: PolicySpec,
    flat: Tensor,
    step_sizes: Tensor,
    observations: Tensor,
    actions: Tensor,
    first_order: bool = False,
) -> Tensor:
    """Inner loop: k gradient steps of n policies, each on steps of its own; differentiable in the first two tensors.

    Args:
        spec: the policy.
        flat: (n, n_params), where to start.
        step_sizes: (n_params,).
        observations: (k, n, b, obs_dim), what each gradient step sees.
        actions: (k, n, b, action_dim).
        first_order: pass no derivative through the inner gradients.

    Returns:
        (n, n_params).
    """

    def total(policies: Tensor, shown: Tensor, done: Tensor) -> Tensor:
        # Policies share nothing, so that the sum's gradient holds each one's own.
        return cloning_loss(spec, policies, shown, done).sum()

    for shown, done in zip(observations, actions, strict=True):
        gradient = torch.func.grad(total)(flat, shown, done)
        flat = flat - step_sizes * (gradient.detach() if first_order else gradient)
    return flat


class MetaPolicy(nn.Module):
    """What is learned: first weights, and a step size for each tensor of the policy (Meta-SGD, Li et al. 2017, with one
    number a tensor in place of one a weight).

    Args:
        spec: the policy.
        first: (n_params,) float32, first weights before training.
        step_size: the first step size of all tensors.
    """

    def __init__(self, spec: PolicySpec, first: Tensor, step_size: float) -> None:
        super().__init__()
        self.spec = spec
        self.flat = nn.Parameter(first.clone())
        self.stretch = nn.Parameter(torch.full((len(spec.tensors),), log(step_size) / PACE))
        self.register_buffer("lengths", torch.tensor([t.stop - t.start for t in spec.tensors]), persistent=False)

    lengths: Tensor

    def forward(self, observations: Tensor, actions: Tensor, first_order: bool = False) -> Tensor:
        """n policies adapted to their own steps (k, n, b, ...), see `adapted`: (n, n_params)."""
        start = self.flat.expand(observations.shape[1], -1)
        step_sizes = self.step_sizes().repeat_interleave(self.lengths)
        return adapted(self.spec, start, step_sizes, observations, actions, first_order)

    def step_sizes(self) -> Tensor:
        """The step size of each tensor in `spec.tensors`: (n_tensors,)."""
        return (PACE * self.stretch).exp()
