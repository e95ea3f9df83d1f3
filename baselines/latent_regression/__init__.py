"""Make-An-Agent with a regression in the place of its diffusion: one latent for a prompt, the mean of those it fits.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maa_bench.method import MethodCard, Scale

from ..latent import LatentConfig, LatentMethod, MapConfig, read_latent_config

if TYPE_CHECKING:
    from .regression import Regression


@dataclass(frozen=True)
class RegressionSettings(MapConfig):
    """`hidden`: widths of the perceptron's hidden layers."""

    hidden: tuple[int, ...]


@dataclass(frozen=True)
class RegressionConfig(LatentConfig):
    """Everything that decides what is trained and how."""

    map: RegressionSettings


class LatentRegression(LatentMethod):
    """Generates a policy of each prompt, without chance; candidates beyond that have noise on their conditions.

    Args:
        scale: `small`, `paper` or `tiny`, in Make-An-Agent's `config.toml` and in the one here.
        config: used in their place.
    """

    card = MethodCard(
        name="latent_regression",
        family="generator",
        summary="Make-An-Agent's autoencoder and embedding, with a regression in the place of diffusion.",
        trained_on="seen",
        uses="prompts",
        citation="Ablation of Liang et al., Make-An-Agent, NeurIPS 2024, arXiv 2407.10973",
    )
    config: RegressionConfig

    def __init__(self, *, scale: Scale = "small", config: RegressionConfig | None = None) -> None:
        super().__init__(config=config or read_latent_config(RegressionConfig, scale, CONFIG_FILE))

    def _new_map(self, latent_shape: tuple[int, int], condition: int) -> Regression:
        from .regression import Regression

        return Regression(self.config.map, latent_shape, condition, self.config.diffusion.condition_noise)


CONFIG_FILE = Path(__file__).with_name("config.toml")
