"""Conditional flow matching along straight lines: an ordinary differential equation from noise to latents."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..latent.generator import LatentMap
from ..make_an_agent.config import DiffusionConfig
from ..make_an_agent.generator import normal
from ..make_an_agent.unet import ConditionalUNet


class Flow(LatentMap):
    """The velocity that x = (1 - t) noise + t latent has on average, learned by the denoiser's own U-Net and followed.

    Source: Lipman et al. 2023 with smallest spread 0, which is the rectified flow of Liu et al. 2023 without reflow.
    As in Make-An-Agent the network predicts the latent, and its error there is the loss; the velocity follows as
    (latent - x) / (1 - t). A U-Net that must give the velocity itself has to carry the noise to its output, too.
    The time t in [0, 1] is told as `train_steps` * t, so that the U-Net's sines see the range of the diffusion's steps.

    Args:
        settings: the denoiser's sizes and steps.
        latent_shape: (2, width).
        condition: length of the condition.
    """

    def __init__(self, settings: DiffusionConfig, latent_shape: tuple[int, int], condition: int) -> None:
        super().__init__()
        self.noise_shape = latent_shape
        self.n_steps, self.time_scale = settings.inference_steps, settings.train_steps
        self.unet: nn.Module = ConditionalUNet(
            latent_shape[1], condition, settings.widths, settings.kernel, settings.groups, settings.step_width
        )

    def arrival(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """The mean latent of the lines that pass x (n, 2, width) at time (n,), given (n, condition): as x."""
        return cast(Tensor, self.unet(x, self.time_scale * time, condition))

    def loss(self, latent: Tensor, condition: Tensor, chance: torch.Generator) -> Tensor:
        """Mean squared error of `arrival`, at times drawn uniformly."""
        noise = normal(latent.shape, chance, latent)
        time = torch.rand(len(latent), generator=chance).to(latent.device)
        along = time[:, None, None]
        return functional.mse_loss(self.arrival((1 - along) * noise + along * latent, time, condition), latent)

    @torch.no_grad()
    def sample(self, condition: Tensor, noise: Tensor) -> Tensor:
        """Follow the velocity from `noise` (n, 2, width) at t = 0 to t = 1 in Euler steps, as many as DDIM takes."""
        x = noise
        for step in range(self.n_steps):
            time = torch.full((len(noise),), step / self.n_steps, device=noise.device)
            velocity = (self.arrival(x, time, condition) - x) / (1 - time[:, None, None])
            x = x + velocity / self.n_steps
        return x
