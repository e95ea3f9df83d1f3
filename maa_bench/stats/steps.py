"""How fast a method succeeds where it does: the mean first-success step, with its interval.

Steps say nothing of the episodes that fail, so this stands beside a success rate and never in its place: a method that
succeeds only where it is easy looks fast. The intervals draw training seeds, candidates and layouts as those of
`maa_bench.stats` do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maa_bench.metrics import Float64
from maa_bench.stats.outcomes import LEVEL, RESAMPLES, counts, draw_seeds

Int = npt.NDArray[np.int64]


class Steps(NamedTuple):
    """A mean first-success step with its 95 % interval, or None where the successes have no spread to make one of."""

    value: float
    ci: tuple[float, float] | None


def steps_to_success(
    tasks: Mapping[str, Int], resamples: int = RESAMPLES
) -> tuple[dict[str, Steps | None], Steps | None]:
    """Mean first-success step of the successful episodes, for each task and for their mean.

    Args:
        tasks: (n_seeds, n_candidates, n_layouts) first-success steps of each task, -1 where there is none; all with
            the same seeds.
        resamples: number of bootstrap resamples.

    Returns:
        (steps of each task; the unweighted mean over the tasks that have a success), in environment steps; None where
        nothing succeeded. A task has no interval if a single episode succeeds, if those of a single one of several
        training seeds do, or if all take the same number of steps: resamples would show no spread where none is known.
        The mean has none if one of its tasks has none.
    """
    found: dict[str, Steps | None] = dict.fromkeys(tasks)
    boots = []
    for name, first in tasks.items():
        value = mean_steps(first)
        if value is None:
            continue
        boot = _resampled(name, first, resamples)
        replicated = len(first) == 1 or np.count_nonzero((first > 0).any(axis=(1, 2))) > 1
        found[name] = Steps(value, _interval(value, boot) if replicated else None)
        boots.append(boot)
    parts = [steps for steps in found.values() if steps is not None]
    if not parts:
        return found, None
    mean = float(np.mean([part.value for part in parts]))
    if any(part.ci is None for part in parts):
        return found, Steps(mean, None)
    # A resample without any success of a task says nothing of its speed.
    resampled = np.array(boots)
    known = ~np.isnan(resampled)
    aggregate = _ratio(np.where(known, resampled, 0).sum(axis=0), known.sum(axis=0))
    return found, Steps(mean, _interval(mean, aggregate))


def mean_steps(first: Int) -> float | None:
    """Mean first-success step of the successful episodes of one task; None if there are none."""
    success = first > 0
    return float(first[success].mean()) if success.any() else None


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
    return _ratio(steps, successes)


def _ratio(total: Float64, number: Float64 | Int) -> Float64:
    """total / number, NaN where there is none."""
    out: Float64 = np.divide(total, number, out=np.full(len(total), np.nan), where=number > 0)
    return out


def _interval(value: float, resampled: Float64) -> tuple[float, float] | None:
    tail = (1 - LEVEL) / 2
    known = resampled[~np.isnan(resampled)]
    lo, hi = np.quantile(known, [tail, 1 - tail]) if len(known) else (value, value)
    return (float(min(lo, value)), float(max(hi, value))) if lo < hi else None
