"""What the ablations `latent_*` share: Make-An-Agent with another map from the condition to the latent.

Whatever is not said here or in their folders is Make-An-Agent's own code, run with its own numbers. With the same seed
a fit's autoencoder, embedding and normalisers are those of a fit of Make-An-Agent, bit for bit.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_type_hints

from maa_bench.policy import PolicySpec

from ..make_an_agent import MakeAnAgent
from ..make_an_agent.config import Config, read_config
from ..shared import config as shared

if TYPE_CHECKING:
    from .generator import LatentMap, MappedGenerator


@dataclass(frozen=True)
class MapConfig:
    """What a map may choose for itself; its batches, their number and the rest of the training are the denoiser's.

    Attributes:
        lr: learning rate at the start of a cosine cycle.
    """

    lr: float


@dataclass(frozen=True)
class LatentConfig(Config):
    """Make-An-Agent's numbers (`diffusion` gives the map's budget) and those of the map."""

    map: MapConfig


C = TypeVar("C", bound=LatentConfig)


def read_latent_config(kind: type[C], scale: str, path: Path) -> C:
    """Make-An-Agent's own numbers at this scale, and as `map` the section `[scale]` of the TOML file `path`.

    Raises:
        MethodError: unknown scale; or a key that is unknown, missing or of the wrong type.
    """
    own = shared.read_config(get_type_hints(kind)["map"], scale, path)
    ends = read_config(scale)
    return kind(ends.autoencoder, ends.embedding, ends.diffusion, own)


class LatentMethod(MakeAnAgent):
    """Make-An-Agent, but for the map that a subclass gives. Candidate i answers prompt i mod len(prompts)."""

    config: LatentConfig

    def _new_map(self, latent_shape: tuple[int, int], condition: int) -> LatentMap:
        """The map, not fitted, for latents of this shape and conditions of this length."""
        raise NotImplementedError

    def _new_generator(self, spec: PolicySpec, traj_dim: int, task_dim: int, seed: int) -> MappedGenerator:
        from .generator import MappedGenerator

        return MappedGenerator(self._new_map, self.config, spec.chunks, traj_dim, task_dim, seed)
