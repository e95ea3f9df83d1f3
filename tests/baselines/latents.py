"""Maps from condition to latent on their own, for the tests of the `latent_*` ablations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from maa_bench.baselines.latent.generator import LatentMap
from maa_bench.baselines.shared.config import TrainingConfig
from maa_bench.baselines.shared.training import minimize
from maa_bench.method import Context


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained(
    latent_map: LatentMap,
    latent: torch.Tensor,
    condition: torch.Tensor,
    steps: int,
    lr: float,
    disturbed: Callable[[torch.Tensor, torch.Generator], torch.Tensor] = lambda given, chance: given,
) -> Any:
    """The map, trained on all pairs at once by the baselines' own loop, without weight decay."""
    draws = chance(9)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return latent_map.loss(latent[rows], disturbed(condition[rows], draws), draws)

    training = TrainingConfig(len(latent), 0, steps, lr, (0.9, 0.99), 0.0, 0, 1)
    minimize("map", latent_map.parameters(), loss, len(latent), training, Context(0), draws)
    return latent_map
