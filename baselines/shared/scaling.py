"""Standardising features by what the training tasks show of them, with a limit for what they never showed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST_SPREAD = 1e-3
"""A feature that varies less than this in training is not stretched: an unseen task may move it by 1,000 spreads."""

LIMIT = 5.0
"""Standardised values are clamped to [-LIMIT, LIMIT]."""


class Standardizer(nn.Module):
    """`(x - mean) / spread`, clamped; one pair of numbers a feature (the last axis).

    Args:
        n_features: size of the last axis. A fresh one only clamps.
        limit: of the clamp; infinity for none.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, n_features: int, limit: float = LIMIT) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))

    def fit(self, data: Tensor) -> Standardizer:
        """Take mean and standard deviation of `data` (..., n_features), two rows or more. Returns itself."""
        rows = data.detach().to(torch.float32).reshape(-1, len(self.mean))
        self.mean, spread = rows.mean(dim=0), rows.std(dim=0)
        self.spread = torch.where(spread < SMALLEST_SPREAD, 1.0, spread)
        return self

    def forward(self, data: Tensor) -> Tensor:
        """Standardise (..., n_features), any float type -> float32."""
        scaled = (data.to(torch.float32) - self.mean) / self.spread
        return scaled.clamp(-self.limit, self.limit)
