"""The denoiser: a conditional 1-D U-Net whose length axis is the latent's two tokens.

Source: the release's network (itself after Diffusion Policy, Chi et al., RSS 2023, arXiv 2303.04137). Three
details look like slips but are what the published weights were trained with, so they are kept on purpose:
FiLM multiplies by `scale`, not by `1 + scale`; the skip of the first down level is never used, because the
way up has one level less; and the last up level upsamples too. The length is 2 at every level, because down-
and upsampling (kernel 2, stride 2, padding 1) both map a length of 2 to 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConditionalUNet(nn.Module):
    """Predicts the clean latent from a noisy one, the diffusion step and a condition.

    Args:
        features: features of a token (the convolutions' channels); 1,024 in the paper.
        condition: length of the condition; 256 in the paper (two embeddings of 128).
        widths: channels of each level; (512, 1024, 2048) in the paper.
        kernel: size of the convolutions; 3 in the paper.
        groups: groups of the group normalisations; 8 in the paper.
        step_width: features of the step embedding; 128 in the paper.
    """

    def __init__(
        self,
        features: int,
        condition: int,
        widths: Sequence[int],
        kernel: int = 3,
        groups: int = 8,
        step_width: int = 128,
    ) -> None:
        super().__init__()
        self.step_encoder = StepEncoder(step_width)
        joint = step_width + condition

        def level(inputs: int, outputs: int, resample: nn.Module) -> nn.ModuleDict:
            return nn.ModuleDict(
                {
                    "first": ResidualBlock(inputs, outputs, joint, kernel, groups),
                    "second": ResidualBlock(outputs, outputs, joint, kernel, groups),
                    "resample": resample,
                }
            )

        def halve(channels: int) -> nn.Module:
            return nn.Conv1d(channels, channels, 2, stride=2, padding=1)

        def double(channels: int) -> nn.Module:
            return nn.ConvTranspose1d(channels, channels, 2, stride=2, padding=1)

        sizes = list(zip([features, *widths[:-1]], widths, strict=True))
        self.down = nn.ModuleList(level(i, o, halve(o)) for i, o in sizes[:-1])
        self.down.append(level(*sizes[-1], nn.Identity()))
        self.middle = level(widths[-1], widths[-1], nn.Identity())
        self.up = nn.ModuleList(level(2 * o, i, double(i)) for i, o in reversed(sizes[1:]))
        self.final = ConvBlock(widths[0], widths[0], kernel, groups=8)
        self.output = nn.Conv1d(widths[0], features, 1)

    def forward(self, noisy: Tensor, step: Tensor | int, condition: Tensor) -> Tensor:
        """Predict the clean latent.

        Args:
            noisy: (n, 2, features) float32.
            step: one diffusion step for all, or (n,) int64.
            condition: (n, condition) float32.

        Returns:
            (n, 2, features) float32, unclipped.
        """
        steps = torch.as_tensor(step, device=noisy.device).expand(len(noisy))
        joint = torch.cat([self.step_encoder(steps), condition], dim=1)
        x = noisy.transpose(1, 2)
        skips: list[Tensor] = []
        for level in self.down:
            x = _two_blocks(level, x, joint)
            skips.append(x)
            x = level["resample"](x)  # type: ignore[index]
        x = _two_blocks(self.middle, x, joint)
        for level in self.up:
            x = _two_blocks(level, torch.cat([x, skips.pop()], dim=1), joint)
            x = level["resample"](x)  # type: ignore[index]
        return cast(Tensor, self.output(self.final(x)).transpose(1, 2))


def _two_blocks(level: nn.Module, x: Tensor, joint: Tensor) -> Tensor:
    blocks = cast(nn.ModuleDict, level)
    return cast(Tensor, blocks["second"](blocks["first"](x, joint), joint))


class StepEncoder(nn.Module):
    """Diffusion step (n,) -> features (n, width): sines and cosines, then a two-layer perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.inner = nn.Linear(width, 4 * width)
        self.outer = nn.Linear(4 * width, width)

    def sinusoids(self, steps: Tensor) -> Tensor:
        """(n,) -> (n, width) float32: half sines, half cosines, of frequencies from 1 down to 1/10,000."""
        half = self.width // 2
        exponents = torch.arange(half, device=steps.device) * -(math.log(10000) / (half - 1))
        angles = steps[:, None] * torch.exp(exponents)
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    def forward(self, steps: Tensor) -> Tensor:
        """(n,) int64 -> (n, width) float32."""
        return cast(Tensor, self.outer(functional.mish(self.inner(self.sinusoids(steps)))))


class ConvBlock(nn.Module):
    """Convolution, group normalisation, Mish: (n, inputs, 2) -> (n, outputs, 2)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = nn.GroupNorm(groups, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, 2) -> (n, outputs, 2)."""
        return functional.mish(self.norm(self.conv(x)))


class ResidualBlock(nn.Module):
    """Two convolution blocks with the condition's FiLM between them, and a shortcut around both."""

    def __init__(self, inputs: int, outputs: int, condition: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.before = ConvBlock(inputs, outputs, kernel, groups)
        self.after = ConvBlock(outputs, outputs, kernel, groups)
        self.film = nn.Linear(condition, 2 * outputs)
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(n, inputs, 2), (n, condition) -> (n, outputs, 2)."""
        scale, shift = self.film(functional.mish(condition))[:, :, None].chunk(2, dim=1)
        return cast(Tensor, self.after(self.before(x) * scale + shift) + self.shortcut(x))
