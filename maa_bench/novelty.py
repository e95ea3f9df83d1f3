"""How new generated policies are: distances between them, and to what their method was trained on.

A method may succeed by giving training checkpoints back. `train_distance` against success shows it (memorisation);
`spread` and `path_spread` show whether n candidates are n answers or one (diversity). The record keeps them a candidate
(`maa_bench.candidate_rows`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maa_bench.metrics import Float64
from maa_bench.policy import Float32

PATH_STEPS = 60
"""Observations of an episode that `path_spread` compares."""

_NEAREST = 4
"""So many of the nearest by the fast formula are measured again exactly."""


def train_distance(params: Float32, train: Float32) -> Float64:
    """Relative distance of each policy to the nearest training checkpoint: (n,) float64, 0 for a copy.

    ||p - c|| / ||c|| with the Euclidean norm over all parameters, c the checkpoint for which ||p - c|| is least.

    Args:
        params: (n, n_params) float32.
        train: (m, n_params) float32, m >= 1.
    """
    # |p - c|^2 = |p|^2 - 2 p.c + |c|^2 finds the nearest in one product, but cancels where p is a copy of c.
    squared = np.einsum("ij,ij->i", train, train)[None] - 2 * (params @ train.T)
    near = np.argsort(squared, axis=1)[:, :_NEAREST]
    distances = np.empty(len(params))
    for i, policy in enumerate(params.astype(np.float64)):
        checkpoints = train[near[i]].astype(np.float64)
        exact = np.linalg.norm(checkpoints - policy, axis=1)
        best = int(np.argmin(exact))
        distances[i] = exact[best] / np.linalg.norm(checkpoints[best])
    return distances


def spread(params: Float32) -> Float64:
    """Mean distance of each policy to the others, in mean lengths of all: (n,) float64, NaN for a lone one.

    Args:
        params: (n, n_params) float32.
    """
    wide = params.astype(np.float64)
    return _mean_to_others(wide) / np.linalg.norm(wide, axis=1).mean()


def path_spread(paths: npt.NDArray[np.floating]) -> Float64:
    """Mean difference of each policy's path to the others': (n,) float64, NaN for a lone one.

    The difference of two paths is the root mean square over steps and dimensions, each dimension in units of its
    standard deviation over all steps of all paths; dimensions that never change do not count.

    Args:
        paths: (n, steps, obs_dim), the observations of each candidate from the same initial state. A candidate whose
            episode broke off has NaN in its path and in the result, and the others are compared without it.
    """
    whole = np.isfinite(paths).all(axis=(1, 2))
    result = np.full(len(paths), np.nan)
    flat = paths[whole].astype(np.float64)
    if len(flat) < 2:
        return result
    deviation = flat.std(axis=(0, 1))
    changing = deviation > 0
    scaled = (flat[:, :, changing] / deviation[changing]).reshape(len(flat), -1)
    result[whole] = _mean_to_others(scaled) / np.sqrt(max(1, scaled.shape[1]))
    return result


def _mean_to_others(rows: Float64) -> Float64:
    """(n,) mean Euclidean distance of each row to the other rows."""
    n = len(rows)
    if n < 2:
        return np.full(n, np.nan)
    distances = np.array([np.linalg.norm(rows - row, axis=1) for row in rows])
    means: Float64 = distances.sum(axis=1) / (n - 1)
    return means
