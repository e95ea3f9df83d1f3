"""How fast a method succeeds where it does: the mean first-success step, with its interval.

Steps say nothing of the episodes that fail, so this stands beside a success rate and never in its place: a method that
succeeds only where it is easy looks fast. The intervals draw training seeds, candidates and layouts as those of
`maa_bench.stats` do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from maa_bench.metrics import Float64
from maa_bench.stats.outcomes import LEVEL, RESAMPLES, Estimate, counts, draw_seeds

Int = npt.NDArray[np.int64]


def steps_to_success(
    tasks: Mapping[str, Int], resamples: int = RESAMPLES
) -> tuple[dict[str, Estimate | None], Estimate | None]:
    """Mean first-success step of the successful episodes, for each task and for their mean.

    Args:
        tasks: (n_seeds, n_candidates, n_layouts) first-success steps of each task, -1 where there is none; all with
            the same seeds.
        resamples: number of bootstrap resamples.

    Returns:
        (estimates of each task; the unweighted mean over the tasks that have a success), in environment steps; None
        where nothing succeeded.
    """
    points: dict[str, Estimate | None] = dict.fromkeys(tasks)
    boots = []
    for name, first in tasks.items():
        success = first > 0
        if not success.any():
            continue
        point = float(first[success].mean())
        boots.append((point, _resampled(name, first, resamples)))
        points[name] = _estimate(*boots[-1])
    if not boots:
        return points, None
    # A resample without any success of a task says nothing of its speed.
    aggregate = np.nanmean([boot for _, boot in boots], axis=0)
    return points, _estimate(float(np.mean([point for point, _ in boots])), aggregate)


def _resampled(name: str, first: Int, resamples: int) -> Float64:
    """(resamples,) means; NaN where a resample has no success."""
    n_seeds, n_candidates, n_layouts = first.shape
    seeds = draw_seeds(n_seeds, resamples)
    digest = hashlib.sha256(f"steps {name} {first.shape}".encode() + np.ascontiguousarray(first).tobytes()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "little"))
    rows = seeds[:, :, None] * n_candidates + rng.integers(0, n_candidates, (*seeds.shape, n_candidates))
    layouts = counts(rng, resamples, n_layouts)
    flat = first.reshape(n_seeds * n_candidates, n_layouts).astype(np.float64)
    b = np.arange(resamples)[:, None, None]
    steps = (layouts @ np.maximum(flat, 0).T)[b, rows].sum(axis=(1, 2))
    successes = (layouts @ (flat > 0).T.astype(np.float64))[b, rows].sum(axis=(1, 2))
    means: Float64 = np.divide(steps, successes, out=np.full(resamples, np.nan), where=successes > 0)
    return means


def _estimate(point: float, resampled: Float64) -> Estimate:
    tail = (1 - LEVEL) / 2
    known = resampled[~np.isnan(resampled)]
    lo, hi = np.quantile(known, [tail, 1 - tail]) if len(known) else (point, point)
    return Estimate(point, float(min(lo, point)), float(max(hi, point)))
