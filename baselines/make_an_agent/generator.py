"""The whole generator, fitted or not: autoencoder, behaviour embedding, normalisers and denoiser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ..shared.config import TrainingConfig
from ..shared.training import first_weights
from .autoencoder import ParameterAutoencoder
from .behavior_embedding import BehaviorEmbedding
from .config import Config
from .diffusion import Diffusion
from .normalizer import LimitsNormalizer
from .unet import ConditionalUNet


class LatentGenerator(nn.Module, ABC):
    """Behaviour in, policy parameters out, by way of a latent.

    trajectory, outcome -> limits -> embedding -> limits = condition
    noise, condition -> the map, which a subclass gives -> limits inverted -> decoder = parameters

    Its state dict is all that a fit leaves behind. A fresh one has random weights and identity normalisers.

    Args:
        config: the sizes.
        chunks: layer groups of the flat parameters (`PolicySpec.chunks`).
        traj_dim: length of a trajectory vector.
        task_dim: length of an outcome vector.
        seed: decides the first weights (PyTorch's default initialisation, as in the release).

    Attributes:
        latent_shape: (n_chunks, width) of a latent.
        noise_shape: of what the map turns into a latent.
        map_name: what the map's training is reported as.
    """

    map_name: str

    def __init__(
        self, config: Config, chunks: Sequence[tuple[int, int]], traj_dim: int, task_dim: int, seed: int
    ) -> None:
        super().__init__()
        self.config = config
        width, embedded = config.autoencoder.width, config.embedding.width
        self.latent_shape = (len(chunks), width)
        self.noise_shape: tuple[int, ...] = self.latent_shape
        self.traj_dim, self.task_dim = traj_dim, task_dim
        # The map last: whatever it is, the two others start from the same weights.
        with first_weights(seed):
            self.autoencoder = ParameterAutoencoder(chunks, width, config.autoencoder.layer_norm)
            self.embedding = BehaviorEmbedding(traj_dim, task_dim, config.embedding.hidden, embedded)
            self._build_map()
        self.traj_limits = LimitsNormalizer(traj_dim)
        self.task_limits = LimitsNormalizer(task_dim)
        self.traj_embedding_limits = LimitsNormalizer(embedded)
        self.task_embedding_limits = LimitsNormalizer(embedded)
        self.latent_limits = LimitsNormalizer(width)

    @abstractmethod
    def _build_map(self) -> None:
        """Make the map's networks; set `noise_shape` if the noise is not shaped like a latent."""

    @property
    @abstractmethod
    def map_training(self) -> TrainingConfig:
        """How the map is trained."""

    @abstractmethod
    def map_parameters(self) -> Iterator[nn.Parameter]:
        """What is trained of the map."""

    @abstractmethod
    def map_loss(self, latent: Tensor, condition: Tensor, chance: torch.Generator) -> Tensor:
        """Mean training loss of the map for raw latents (n, 2, width) and their conditions (n, condition)."""

    @abstractmethod
    def sample_latent(self, condition: Tensor, noise: Tensor) -> Tensor:
        """A latent for each condition: `noise` (n, *noise_shape) -> raw latents (n, 2, width) float32."""

    def start_noise(self, repeated: bool, chance: torch.Generator) -> Tensor:
        """What one candidate is made of, beside its prompt: (*noise_shape,) drawn from a CPU generator.

        Args:
            repeated: an earlier candidate answers the same prompt.
            chance: drawn from once a candidate, as torch fills a larger array in another order.
        """
        return torch.randn(self.noise_shape, generator=chance)

    @property
    def n_parameters(self) -> int:
        """Fitted numbers that `forward` reads."""
        ends = (self.autoencoder.decoders, self.embedding.trajectory, self.embedding.task)
        return sum(p.numel() for end in ends for p in end.parameters()) + self._n_map_parameters()

    def _n_map_parameters(self) -> int:
        return sum(p.numel() for p in self.map_parameters())

    def embed(self, traj: Tensor, task: Tensor) -> tuple[Tensor, Tensor]:
        """Behaviour (n, traj_dim), (n, task_dim) -> two embeddings (n, embedded) float32.

        Inputs are normalised here, thus in training and in use alike; the release does so in training only.
        """
        traj_embedding, task_embedding = self.embedding(self.traj_limits(traj), self.task_limits(task))
        return traj_embedding, task_embedding

    def condition(self, traj_embedding: Tensor, task_embedding: Tensor) -> Tensor:
        """Two embeddings (n, embedded) -> the map's condition (n, 2 * embedded), trajectory first."""
        return torch.cat(
            [self.traj_embedding_limits(traj_embedding), self.task_embedding_limits(task_embedding)], dim=1
        )

    def disturbed(self, condition: Tensor, chance: torch.Generator) -> Tensor:
        """Conditions (n, condition) with the noise of training, which keeps the map from learning each by heart."""
        spread = self.config.diffusion.condition_noise
        return condition + spread * normal(condition.shape, chance, condition) if spread else condition

    @torch.no_grad()
    def forward(self, traj: Tensor, task: Tensor, noise: Tensor) -> Tensor:
        """A policy for each row: behaviour and start noise -> flat parameters (n, n_params) float32."""
        condition = self.condition(*self.embed(traj, task))
        return self.autoencoder.decode(self.sample_latent(condition, noise))


class PolicyGenerator(LatentGenerator):
    """Make-An-Agent's own: the map is a diffusion, a U-Net sampled by DDIM."""

    map_name = "diffusion"

    def _build_map(self) -> None:
        config = self.config.diffusion
        condition = 2 * self.config.embedding.width
        self.unet = ConditionalUNet(
            self.latent_shape[1], condition, config.widths, config.kernel, config.groups, config.step_width
        )
        self.diffusion = Diffusion(config.train_steps, config.inference_steps)

    @property
    def map_training(self) -> TrainingConfig:
        """As `config.toml` says under `diffusion`."""
        return self.config.diffusion.training

    def map_parameters(self) -> Iterator[nn.Parameter]:
        """The U-Net's."""
        return self.unet.parameters()

    def map_loss(self, latent: Tensor, condition: Tensor, chance: torch.Generator) -> Tensor:
        """`diffusion_loss` with noise and steps drawn from `chance`."""
        noise = normal(latent.shape, chance, latent)
        steps = torch.randint(self.config.diffusion.train_steps, (len(latent),), generator=chance).to(latent.device)
        return self.diffusion_loss(latent, self.disturbed(condition, chance), noise, steps)

    def diffusion_loss(self, latent: Tensor, condition: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """Training loss of the denoiser for raw latents (n, 2, width); `noise` alike, `steps` (n,) int64."""
        return self.diffusion.loss(self.unet, self.latent_limits(latent), condition, noise, steps)

    @torch.no_grad()
    def sample_latent(self, condition: Tensor, noise: Tensor) -> Tensor:
        """A latent for each condition: `noise` (n, 2, width) -> raw latents (n, 2, width) float32."""
        return self.latent_limits.invert(self.diffusion.sample(self.unet, noise, condition))


def normal(shape: Sequence[int], chance: torch.Generator, like: Tensor) -> Tensor:
    """Standard normal numbers of a CPU generator, on the device of `like`: every device sees the same noise."""
    return torch.randn(tuple(shape), generator=chance).to(like.device)
