"""Principal components of few points in many dimensions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

BLOCK = 2048
"""Dimensions that are float64 at a time."""


def principal_components(points: npt.NDArray[np.floating], n: int) -> tuple[Float64, Float64]:
    """Scores of (m, d) points on their first `n` principal components, by way of their m x m Gram matrix.

    Returns:
        scores: (m, n) float64; of each component the largest score in size is positive.
        shares: (n,) float64, parts of the total variance; 0 where the points do not vary.
    """
    gram = np.zeros((len(points), len(points)))
    for start in range(0, points.shape[1], BLOCK):
        block = points[:, start : start + BLOCK].astype(np.float64)
        block -= block.mean(axis=0)
        gram += block @ block.T
    values, vectors = np.linalg.eigh(gram)
    values, vectors = np.maximum(values[::-1][:n], 0.0), vectors[:, ::-1][:, :n]
    scores = np.zeros((len(points), n))
    scores[:, : len(values)] = vectors * np.sqrt(values)
    peaks = scores[np.abs(scores).argmax(axis=0), np.arange(n)]
    shares = np.zeros(n)
    shares[: len(values)] = values / max(float(np.trace(gram)), np.finfo(float).tiny)
    return scores * np.where(peaks < 0, -1.0, 1.0), shares
