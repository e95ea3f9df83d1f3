"""Denoising diffusion on latents: the training loss, and sampling by DDIM (Song et al., ICLR 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .unet import ConditionalUNet


@dataclass(frozen=True)
class DenoisingStep:
    """One step of sampling: at diffusion step `step` the network said `output`, which led to `latent`."""

    step: int
    output: Tensor
    latent: Tensor


class Diffusion:
    """The noise schedule and what is done with it; the network is passed in.

    Source: the released settings of diffusers' `DDIMScheduler`. The network predicts the clean sample. The
    noise estimate of a step comes from the raw prediction, although the sample itself is clipped to [-1, 1]
    (`use_clipped_model_output` stays False, as in the release).

    Args:
        train_steps: steps of the noise schedule; 100 in the paper.
        inference_steps: steps of sampling; 10 in the paper.
    """

    def __init__(self, train_steps: int = 100, inference_steps: int = 10) -> None:
        # Imported here: diffusers takes longer to import than torch.
        from diffusers.schedulers.scheduling_ddim import DDIMScheduler

        self.train_steps = train_steps
        self.scheduler: Any = DDIMScheduler(
            num_train_timesteps=train_steps,
            beta_schedule="squaredcos_cap_v2",
            prediction_type="sample",
            clip_sample=True,
            clip_sample_range=1.0,
            set_alpha_to_one=True,
            steps_offset=0,
            timestep_spacing="leading",
        )
        self.scheduler.set_timesteps(inference_steps)

    def add_noise(self, clean: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """sqrt(alpha_bar) clean + sqrt(1 - alpha_bar) noise: (n, 2, features) each, `steps` (n,) int64."""
        noisy: Tensor = self.scheduler.add_noise(clean, noise, steps)
        return noisy

    def loss(self, unet: ConditionalUNet, clean: Tensor, condition: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """Mean squared error of the predicted clean latent; `condition` is (n, condition), float32."""
        return functional.mse_loss(unet(self.add_noise(clean, noise, steps), steps, condition), clean)

    def steps(self, unet: ConditionalUNet, noise: Tensor, condition: Tensor) -> Iterator[DenoisingStep]:
        """Denoise `noise` (n, 2, features) under `condition` (n, condition), step by step, without chance."""
        latent = noise
        for step in self.scheduler.timesteps.tolist():
            output = unet(latent, step, condition)
            latent = self.scheduler.step(output, step, latent).prev_sample
            yield DenoisingStep(step, output, latent)

    @torch.no_grad()
    def sample(self, unet: ConditionalUNet, noise: Tensor, condition: Tensor) -> Tensor:
        """The last latent of `steps`: (n, 2, features) float32 in [-1, 1]."""
        latent = noise
        for denoised in self.steps(unet, noise, condition):
            latent = denoised.latent
        return latent
