"""A variational autoencoder of latents, encoder and decoder told the condition."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from ..latent.generator import LatentMap, perceptron
from ..make_an_agent.generator import normal
from . import VAESettings

SMALLEST_VARIANCE = 1e-6
"""The decoder's variance is not taken for less, so that the loss stays finite where latents are rebuilt exactly."""


class ConditionalVAE(LatentMap):
    """p(latent | condition) = integral of N(decoder(z, condition), variance) over z from N(0, 1).

    Source: Sohn et al. 2015, with a prior that does not depend on the condition. The decoder's variance is one number,
    in closed form the batch's mean squared error (Rybkin et al. 2021, the "optimal sigma-VAE"), so that no weight
    between rebuilding and KL divergence is left to tune.

    Args:
        settings: the sizes.
        latent_shape: (2, width).
        condition: length of the condition.
    """

    def __init__(self, settings: VAESettings, latent_shape: tuple[int, int], condition: int) -> None:
        super().__init__()
        self.latent_shape, self.noise_shape = latent_shape, (settings.z_dim,)
        size = latent_shape[0] * latent_shape[1]
        self.encoder = perceptron(size + condition, settings.hidden, 2 * settings.z_dim)
        self.decoder = perceptron(settings.z_dim + condition, settings.hidden, size)

    def encode(self, latent: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 2, width), (n, condition) -> mean and log variance of z given both, each (n, z_dim)."""
        mean, log_variance = self.encoder(torch.cat([latent.flatten(1), condition], dim=1)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor, condition: Tensor) -> Tensor:
        """(n, z_dim), (n, condition) -> (n, 2, width)."""
        return cast(Tensor, self.decoder(torch.cat([z, condition], dim=1))).unflatten(1, self.latent_shape)

    def loss(self, latent: Tensor, condition: Tensor, chance: torch.Generator) -> Tensor:
        """The negative evidence lower bound in nats, divided by the latent's size; one draw of z a row."""
        mean, log_variance = self.encode(latent, condition)
        z = mean + (0.5 * log_variance).exp() * normal(mean.shape, chance, mean)
        variance = (self.decode(z, condition) - latent).square().mean().clamp_min(SMALLEST_VARIANCE)
        rebuilding = 0.5 * (math.log(2 * math.pi) + variance.log() + 1)
        return rebuilding + kl_to_prior(mean, log_variance).mean() / latent[0].numel()

    @torch.no_grad()
    def sample(self, condition: Tensor, noise: Tensor) -> Tensor:
        """The decoder's mean for z = `noise` (n, z_dim)."""
        return self.decode(noise, condition)

    def sampling(self) -> Iterator[nn.Parameter]:
        """The decoder's."""
        return self.decoder.parameters()


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, exp(log_variance)), diagonal, from N(0, 1): (n, z_dim) each -> (n,) nats."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
