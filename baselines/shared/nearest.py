"""How unlike two behaviours are: what retrieval goes by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maa_bench.prompts import Behaviors

SMALLEST_SPREAD = 1e-6
"""A number that varies less than this among the seen behaviours is not stretched."""


def behaviour_distances(asked: Behaviors, seen: Behaviors) -> npt.NDArray[np.float64]:
    """Mean squared difference of behaviours, every number in standard deviations of the seen ones.

    Compared are the paper's two parts of a prompt: the first 60 steps and the states after the success.

    Returns:
        (len(asked), len(seen)) float64.
    """
    theirs, ours = _vectors(asked), _vectors(seen)
    spread = ours.std(axis=0)
    scale = np.where(spread > SMALLEST_SPREAD, spread, 1.0)
    return np.stack([np.square((one - ours) / scale).mean(axis=1) for one in theirs])


def _vectors(behaviors: Behaviors) -> npt.NDArray[np.float64]:
    return np.concatenate([behaviors.trajectory_vectors(), behaviors.outcome_vectors()], axis=1).astype(np.float64)
