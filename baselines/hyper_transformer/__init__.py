"""A HyperTransformer (Zhmoginov et al., ICML 2022): a prompt's steps are tokens, weights come layer by layer.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maa_bench.method import MethodCard, Scale
from maa_bench.policy import PolicySpec

from ..shared.config import read_config
from ..shared.emitter_method import EmitterMethod

if TYPE_CHECKING:
    from .network import Config, HyperTransformerNet


class HyperTransformer(EmitterMethod):
    """Emits the weights of a policy layer by layer, from tokens of the prompt's steps.

    Args:
        scale: `small` (under a minute on one CPU thread) or `paper`; `tiny` is for tests.
        config: used in place of the scale's section of `config.toml`.
    """

    card = MethodCard(
        name="hyper_transformer",
        family="hypernetwork",
        summary="A transformer reads the prompt's steps and emits weights layer by layer; trained through the actions.",
        trained_on="seen",
        uses="prompts",
        citation="Zhmoginov, Sandler, Vladymyrov, HyperTransformer, ICML 2022, arXiv 2201.04182",
    )

    def __init__(self, *, scale: Scale = "small", config: Config | None = None) -> None:
        super().__init__(config or _config(scale))

    def build(self, spec: PolicySpec) -> HyperTransformerNet:
        """The untrained network for policies `spec`."""
        from .network import HyperTransformerNet

        return HyperTransformerNet(spec, self.config)


def _config(scale: Scale) -> Config:
    from .network import Config

    return read_config(Config, scale, Path(__file__).with_name("config.toml"))
