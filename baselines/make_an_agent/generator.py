"""The whole generator, fitted or not: autoencoder, behaviour embedding, normalisers and denoiser."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..shared.training import first_weights
from .autoencoder import ParameterAutoencoder
from .behavior_embedding import BehaviorEmbedding
from .config import Config
from .diffusion import Diffusion
from .normalizer import LimitsNormalizer
from .unet import ConditionalUNet


class PolicyGenerator(nn.Module):
    """Behaviour in, policy parameters out.

    trajectory, outcome -> limits -> embedding -> limits = condition
    noise, condition -> U-Net and DDIM -> limits inverted -> decoder = parameters

    Its state dict is all that a fit leaves behind. A fresh one has random weights and identity normalisers.

    Args:
        config: the sizes.
        chunks: layer groups of the flat parameters (`PolicySpec.chunks`).
        traj_dim: length of a trajectory vector.
        task_dim: length of an outcome vector.
        seed: decides the first weights (PyTorch's default initialisation, as in the release).
    """

    def __init__(
        self, config: Config, chunks: Sequence[tuple[int, int]], traj_dim: int, task_dim: int, seed: int
    ) -> None:
        super().__init__()
        with first_weights(seed):
            self._build(config, chunks, traj_dim, task_dim)

    def _build(self, config: Config, chunks: Sequence[tuple[int, int]], traj_dim: int, task_dim: int) -> None:
        width, embedded, diffusion = config.autoencoder.width, config.embedding.width, config.diffusion
        self.latent_shape = (len(chunks), width)
        self.traj_dim, self.task_dim = traj_dim, task_dim
        self.autoencoder = ParameterAutoencoder(chunks, width, config.autoencoder.layer_norm)
        self.embedding = BehaviorEmbedding(traj_dim, task_dim, config.embedding.hidden, embedded)
        self.unet = ConditionalUNet(
            width, 2 * embedded, diffusion.widths, diffusion.kernel, diffusion.groups, diffusion.step_width
        )
        self.diffusion = Diffusion(diffusion.train_steps, diffusion.inference_steps)
        self.traj_limits = LimitsNormalizer(traj_dim)
        self.task_limits = LimitsNormalizer(task_dim)
        self.traj_embedding_limits = LimitsNormalizer(embedded)
        self.task_embedding_limits = LimitsNormalizer(embedded)
        self.latent_limits = LimitsNormalizer(width)

    def embed(self, traj: Tensor, task: Tensor) -> tuple[Tensor, Tensor]:
        """Behaviour (n, traj_dim), (n, task_dim) -> two embeddings (n, embedded) float32.

        Inputs are normalised here, thus in training and in use alike; the release does so in training only.
        """
        traj_embedding, task_embedding = self.embedding(self.traj_limits(traj), self.task_limits(task))
        return traj_embedding, task_embedding

    def condition(self, traj_embedding: Tensor, task_embedding: Tensor) -> Tensor:
        """Two embeddings (n, embedded) -> the denoiser's condition (n, 2 * embedded), trajectory first."""
        return torch.cat(
            [self.traj_embedding_limits(traj_embedding), self.task_embedding_limits(task_embedding)], dim=1
        )

    def diffusion_loss(self, latent: Tensor, condition: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """Training loss of the denoiser for raw latents (n, 2, width); `noise` alike, `steps` (n,) int64."""
        return self.diffusion.loss(self.unet, self.latent_limits(latent), condition, noise, steps)

    @torch.no_grad()
    def sample_latent(self, condition: Tensor, noise: Tensor) -> Tensor:
        """A latent for each condition: `noise` (n, 2, width) -> raw latents (n, 2, width) float32."""
        return self.latent_limits.invert(self.diffusion.sample(self.unet, noise, condition))

    @torch.no_grad()
    def forward(self, traj: Tensor, task: Tensor, noise: Tensor) -> Tensor:
        """A policy for each row: behaviour and start noise -> flat parameters (n, n_params) float32."""
        condition = self.condition(*self.embed(traj, task))
        return self.autoencoder.decode(self.sample_latent(condition, noise))
