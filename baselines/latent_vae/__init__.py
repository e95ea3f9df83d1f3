"""Make-An-Agent with a conditional variational autoencoder in the place of its diffusion.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maa_bench.method import MethodCard, Scale

from ..latent import LatentConfig, LatentMethod, MapConfig, read_latent_config

if TYPE_CHECKING:
    from .vae import ConditionalVAE


@dataclass(frozen=True)
class VAESettings(MapConfig):
    """`hidden`: widths of the hidden layers of encoder and decoder, each; `z_dim`: size of z."""

    hidden: tuple[int, ...]
    z_dim: int


@dataclass(frozen=True)
class VAEConfig(LatentConfig):
    """Everything that decides what is trained and how."""

    map: VAESettings


class LatentVAE(LatentMethod):
    """Generates policies of prompts, each from a z of its own drawn from the prior.

    Args:
        scale: `small`, `paper` or `tiny`, in Make-An-Agent's `config.toml` and in the one here.
        config: used in their place.
    """

    card = MethodCard(
        name="latent_vae",
        family="generator",
        summary="Make-An-Agent's autoencoder and embedding, with a conditional VAE in the place of diffusion.",
        trained_on="seen",
        uses="prompts",
        citation="Sohn et al., Conditional VAE, NeurIPS 2015; Rybkin et al., sigma-VAE, ICML 2021, arXiv 2006.13202; "
        "ablation of Liang et al., Make-An-Agent, NeurIPS 2024, arXiv 2407.10973",
    )
    config: VAEConfig

    def __init__(self, *, scale: Scale = "small", config: VAEConfig | None = None) -> None:
        super().__init__(config=config or read_latent_config(VAEConfig, scale, CONFIG_FILE))

    def _new_map(self, latent_shape: tuple[int, int], condition: int) -> ConditionalVAE:
        from .vae import ConditionalVAE

        return ConditionalVAE(self.config.map, latent_shape, condition)


CONFIG_FILE = Path(__file__).with_name("config.toml")
