"""A hypernetwork (Beck et al., CoRL 2022; HyperZero, AAAI 2023): a behaviour's embedding becomes a policy's weights.

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
    from .network import Config, Hypernet


class Hypernetwork(EmitterMethod):
    """Emits all weights of a policy for a prompt at once.

    Args:
        scale: `small` (under a minute on one CPU thread) or `paper`; `tiny` is for tests.
        config: used in place of the scale's section of `config.toml`.
    """

    card = MethodCard(
        name="hypernetwork",
        family="hypernetwork",
        summary="An embedding of behaviour is mapped to all weights at once; trained through the policy's actions.",
        trained_on="seen",
        uses="prompts",
        citation="Beck et al., Hypernetworks in Meta-Reinforcement Learning, CoRL 2022, arXiv 2210.11348; "
        "Rezaei-Shoshtari et al., HyperZero, AAAI 2023, arXiv 2211.15457",
    )

    def __init__(self, *, scale: Scale = "small", config: Config | None = None) -> None:
        super().__init__(config or _config(scale))

    def build(self, spec: PolicySpec) -> Hypernet:
        """The untrained network for policies `spec`."""
        from .network import Hypernet

        return Hypernet(spec, self.config)


def _config(scale: Scale) -> Config:
    from .network import Config

    return read_config(Config, scale, Path(__file__).with_name("config.toml"))
