"""What a prompt shows, as a small vector z: a multi-layer perceptron on its standardised features."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from maa_bench.prompts import OUTCOME, SEGMENT, STRIDE

from .scaling import Standardizer


class PromptEncoder(nn.Module):
    """`steps.prompt_features` (n, n_features) -> z (n, z_dim), every entry in (-1, 1).

    Bounded, so that a prompt unlike all training tasks cannot drive what z conditions far out of its range.

    Args:
        n_features: numbers of a prompt, e.g. `n_prompt_features(spec.obs_dim, spec.action_dim)`.
        hidden: widths of the hidden layers (ReLU).
        z_dim: size of z.

    Fit `scaler` to the training tasks' features before training.
    """

    def __init__(self, n_features: int, hidden: tuple[int, ...], z_dim: int) -> None:
        super().__init__()
        self.scaler = Standardizer(n_features)
        sizes = (n_features, *hidden, z_dim)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, features: Tensor, noise: float = 0.0, chance: torch.Generator | None = None) -> Tensor:
        """Encode (n, n_features); in training `noise` is the standard deviation of what `chance`, a CPU generator,
        adds to the standardised features, which keeps the rows from being learned by heart."""
        x: Tensor = self.scaler(features)
        if noise:
            x = x + noise * torch.randn(x.shape, generator=chance).to(x.device)
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        z: Tensor = self.layers[-1](x)
        return z.tanh()


def n_prompt_features(obs_dim: int, action_dim: int) -> int:
    """Length of a row of `steps.prompt_features`."""
    return SEGMENT // STRIDE * (obs_dim + STRIDE * action_dim) + OUTCOME * obs_dim
