"""Least squares from the condition to the latent."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from ..latent.generator import LatentMap, perceptron
from . import RegressionSettings


class Regression(LatentMap):
    """The conditional mean of the latent, by a perceptron: where a condition fits several latents, it lies between.

    Not the denoiser's U-Net: of that one's inputs the noisy latent and the step would be constants.

    Args:
        settings: the sizes.
        latent_shape: (2, width).
        condition: length of the condition.
        condition_noise: standard deviation of the noise that conditions have in training.
    """

    quiet_first = True

    def __init__(
        self, settings: RegressionSettings, latent_shape: tuple[int, int], condition: int, condition_noise: float
    ) -> None:
        super().__init__()
        self.latent_shape, self.noise_shape, self.condition_noise = latent_shape, (condition,), condition_noise
        self.network = perceptron(condition, settings.hidden, latent_shape[0] * latent_shape[1])

    def forward(self, condition: Tensor) -> Tensor:
        """(n, condition) -> (n, 2, width)."""
        return cast(Tensor, self.network(condition)).unflatten(1, self.latent_shape)

    def loss(self, latent: Tensor, condition: Tensor, chance: torch.Generator) -> Tensor:
        """Mean squared error, as the denoiser's."""
        return functional.mse_loss(self(condition), latent)

    @torch.no_grad()
    def sample(self, condition: Tensor, noise: Tensor) -> Tensor:
        """`forward` of conditions with noise (n, condition) as strong as in training."""
        return cast(Tensor, self(condition + self.condition_noise * noise))
