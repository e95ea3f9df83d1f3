"""The 'limits' normaliser: every feature mapped to [-1, 1] by its smallest and largest value in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMALLEST_RANGE = 1e-4
"""A feature that varies less than this counts as constant: it is shifted to 0 and not stretched."""


class LimitsNormalizer(nn.Module):
    """`x * scale + offset`, one pair of numbers a feature (the last axis of the data).

    All axes but the last are rows: the two tokens of a latent (n, 2, width) share one scale a feature.
    Nothing is clipped, so values outside the training range leave [-1, 1].

    Source: the released code's 'limits' mode with output range [-1, 1]. `mean` and `std` are kept because
    the release keeps them (its state has the same six tensors); nothing reads them.

    Args:
        n_features: size of the last axis.
    """

    scale: Tensor
    offset: Tensor
    min: Tensor
    max: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        # A fresh normaliser is the identity.
        for name, value in (("scale", 1), ("offset", 0), ("min", -1), ("max", 1), ("mean", 0), ("std", 1)):
            self.register_buffer(name, torch.full((n_features,), float(value)))

    def fit(self, data: Tensor) -> LimitsNormalizer:
        """Take the limits of `data` (..., n_features), any float type, in float32. Returns itself."""
        rows = data.detach().to(torch.float32).reshape(-1, len(self.scale))
        self.min, self.max = rows.amin(dim=0), rows.amax(dim=0)
        self.mean = rows.mean(dim=0)
        # One row has no spread; torch would say NaN, which JSON and comparisons dislike.
        self.std = rows.std(dim=0) if len(rows) > 1 else torch.zeros_like(self.min)
        span = self.max - self.min
        constant = span < SMALLEST_RANGE
        self.scale = torch.where(constant, 1.0, 2.0 / span.where(~constant, torch.ones_like(span)))
        self.offset = torch.where(constant, -self.min, -1.0 - self.scale * self.min)
        return self

    def forward(self, data: Tensor) -> Tensor:
        """Normalise (..., n_features), any float type -> float32."""
        return data.to(torch.float32) * self.scale + self.offset

    def invert(self, normalized: Tensor) -> Tensor:
        """Undo `forward`: (..., n_features) float32 -> float32."""
        return (normalized - self.offset) / self.scale
