"""A policy that is told its task by a vector z: one network for all tasks.

z enters beside the observation. With z fixed, its share of the first layer is a constant, so that the network *is* a
plain policy with another first bias: `folded` gives it as a flat vector, and the evaluator's fast path runs it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from maa_bench.policy import PolicySpec

from .activations import activation
from .scaling import Standardizer


class ConditionedPolicy(nn.Module):
    """Actions tanh(mean) of a policy of the suite's own architecture, told z (n, z_dim).

    Args:
        spec: the policy that it becomes once z is fixed.
        z_dim: size of z.

    The observation is standardised, unclamped, which `folded` undoes in the first layer: fit `scaler` before training.
    """

    def __init__(self, spec: PolicySpec, z_dim: int) -> None:
        super().__init__()
        self.spec, self.z_dim = spec, z_dim
        self.scaler = Standardizer(spec.obs_dim, limit=float("inf"))
        self.told = nn.Linear(z_dim, spec.hidden[0], bias=False)
        sizes = (spec.obs_dim, *spec.hidden, spec.action_dim)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.activations = [activation(name) for name in spec.activations]

    def forward(self, obs: Tensor, z: Tensor) -> Tensor:
        """Observations (n, b, obs_dim) of n tasks, z (n, z_dim) -> actions (n, b, action_dim) in [-1, 1]."""
        mean: Tensor = self.layers[-1](self.features(obs, z))
        return mean.tanh()

    def features(self, obs: Tensor, z: Tensor) -> Tensor:
        """What the last hidden layer gives: (n, b, hidden[-1])."""
        x: Tensor = self.layers[0](self.scaler(obs)) + self.told(z).unsqueeze(1)
        for function, layer in zip(self.activations, self.layers[1:-1], strict=False):
            x = layer(function(x))
        return self.activations[-1](x)

    @torch.no_grad()
    def folded(self, z: Tensor) -> Tensor:
        """The plain policies that this is for each z: (n, z_dim) -> (n, n_params) float32; log_std is 0."""
        values: dict[str, Tensor] = {}
        for i, layer in enumerate(self.layers, start=1):
            name = "mean" if i == len(self.layers) else f"linear{i}"
            values |= {f"{name}.weight": cast(Tensor, layer.weight), f"{name}.bias": cast(Tensor, layer.bias)}
        values["linear1.weight"] = weight = values["linear1.weight"] / self.scaler.spread
        values["linear1.bias"] = values["linear1.bias"] - weight @ self.scaler.mean + self.told(z)
        flat = torch.zeros(len(z), self.spec.n_params, device=z.device)
        for tensor in self.spec.tensors:
            if tensor.name in values:
                value = values[tensor.name]
                per_row = value.ndim > len(tensor.shape)
                flat[:, tensor.start : tensor.stop] = value if per_row else value.reshape(-1)
        return flat
