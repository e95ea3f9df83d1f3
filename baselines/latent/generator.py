"""A generator whose map from the condition to the latent is a module of its own."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..make_an_agent.generator import LatentGenerator
from ..shared.config import TrainingConfig
from . import LatentConfig


class LatentMap(nn.Module, ABC):
    """Makes a normalised latent (nearly all within [-1, 1]) of a condition and of noise.

    Attributes:
        noise_shape: of the noise that a latent is made of.
        quiet_first: that noise is 0 in the first candidate of each prompt.
    """

    noise_shape: tuple[int, ...]
    quiet_first = False

    @abstractmethod
    def loss(self, latent: Tensor, condition: Tensor, chance: torch.Generator) -> Tensor:
        """Mean training loss for latents (n, 2, width) and their conditions (n, condition)."""

    @abstractmethod
    def sample(self, condition: Tensor, noise: Tensor) -> Tensor:
        """Latents (n, 2, width) of conditions (n, condition) and noise (n, *noise_shape), standard normal or 0."""

    def sampling(self) -> Iterator[nn.Parameter]:
        """Those parameters that `sample` reads."""
        return self.parameters()


class MappedGenerator(LatentGenerator):
    """Make-An-Agent's generator with a `LatentMap` in the place of its diffusion.

    Args:
        new_map: makes the map of the latent's shape and the condition's length.
        config, chunks, traj_dim, task_dim, seed: as of `LatentGenerator`.
    """

    config: LatentConfig
    map_name = "latent map"

    def __init__(
        self,
        new_map: Callable[[tuple[int, int], int], LatentMap],
        config: LatentConfig,
        chunks: Sequence[tuple[int, int]],
        traj_dim: int,
        task_dim: int,
        seed: int,
    ) -> None:
        self._new_map = new_map
        super().__init__(config, chunks, traj_dim, task_dim, seed)

    def _build_map(self) -> None:
        self.map = self._new_map(self.latent_shape, 2 * self.config.embedding.width)
        self.noise_shape = self.map.noise_shape

    @property
    def map_training(self) -> TrainingConfig:
        """The denoiser's, but for the learning rate."""
        return dataclasses.replace(self.config.diffusion.training, lr=self.config.map.lr)

    def map_parameters(self) -> Iterator[nn.Parameter]:
        """The map's."""
        return self.map.parameters()

    def _n_map_parameters(self) -> int:
        return sum(p.numel() for p in self.map.sampling())

    def map_loss(self, latent: Tensor, condition: Tensor, chance: torch.Generator) -> Tensor:
        """The map's loss, its condition disturbed as the denoiser's is."""
        return self.map.loss(self.latent_limits(latent), self.disturbed(condition, chance), chance)

    def start_noise(self, repeated: bool, chance: torch.Generator) -> Tensor:
        """Standard normal; 0 where the map is to answer a prompt as it is."""
        if self.map.quiet_first and not repeated:
            return torch.zeros(self.noise_shape)
        return super().start_noise(repeated, chance)

    @torch.no_grad()
    def sample_latent(self, condition: Tensor, noise: Tensor) -> Tensor:
        """A latent for each condition, within the training latents' limits, as DDIM's clipping keeps the denoiser's."""
        return self.latent_limits.invert(self.map.sample(condition, noise).clamp(-1.0, 1.0))


def perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with Mish between them, as in the denoiser's residual blocks; a linear map if `hidden` is empty."""
    layers: list[nn.Module] = []
    for before, after in pairwise((inputs, *hidden, outputs)):
        layers += [nn.Linear(before, after), nn.Mish()]
    return nn.Sequential(*layers[:-1])
