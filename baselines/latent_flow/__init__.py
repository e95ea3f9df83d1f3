"""Make-An-Agent with flow matching in the place of its diffusion.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maa_bench.method import MethodCard, Scale

from ..latent import LatentConfig, LatentMethod, read_latent_config

if TYPE_CHECKING:
    from .flow import Flow


class LatentFlow(LatentMethod):
    """Generates policies of prompts, each from start noise of its own; network and sampling steps are the diffusion's.

    Args:
        scale: `small`, `paper` or `tiny`, in Make-An-Agent's `config.toml` and in the one here.
        config: used in their place.
    """

    card = MethodCard(
        name="latent_flow",
        family="generator",
        summary="Make-An-Agent's autoencoder and embedding, with flow matching in the place of diffusion.",
        trained_on="seen",
        uses="prompts",
        citation="Lipman et al., Flow Matching, ICLR 2023, arXiv 2210.02747; Liu et al., Rectified Flow, ICLR 2023, "
        "arXiv 2209.03003; ablation of Liang et al., Make-An-Agent, NeurIPS 2024, arXiv 2407.10973",
    )

    def __init__(self, *, scale: Scale = "small", config: LatentConfig | None = None) -> None:
        super().__init__(config=config or read_latent_config(LatentConfig, scale, CONFIG_FILE))

    def _new_map(self, latent_shape: tuple[int, int], condition: int) -> Flow:
        from .flow import Flow

        return Flow(self.config.diffusion, latent_shape, condition)


CONFIG_FILE = Path(__file__).with_name("config.toml")
