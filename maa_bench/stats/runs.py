"""Scores of training runs, one number a run and task, and what the field makes of them.

The input contract of rliable (Agarwal and others, "Deep reinforcement learning at the edge of the statistical
precipice", NeurIPS 2021): `scores` has shape (n_runs, n_tasks), and a training run is what is replicated.
All statistics keep leading axes, so that (resamples, n_runs, n_tasks) gives one figure a resample.

Runs are resampled in one of two ways. rliable draws them apart for each task ("stratified"), which is right
where each task has runs of its own. Here one fit serves all tasks, so a lucky fit is lucky on all of them:
`whole_runs` draws a run with all its tasks. `docs/metrics.md` has the measured coverage of both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from maa_bench.metrics import Float64
from maa_bench.stats.outcomes import LEVEL, RESAMPLES, Estimate

Statistic = Callable[..., Float64]
"""From one or more tables (..., n_runs, n_tasks) to (...)."""


class Band(NamedTuple):
    """A curve with its pointwise 95 % band; all (n_thresholds,) float64."""

    value: Float64
    lo: Float64
    hi: Float64


def mean(scores: Float64) -> Float64:
    """Mean over tasks of the mean over runs."""
    return np.asarray(scores.mean(axis=(-2, -1)))


def median(scores: Float64) -> Float64:
    """Median over tasks of the mean over runs: says nothing of the better and the worse half of the tasks."""
    return np.asarray(np.median(scores.mean(axis=-2), axis=-1))


def iqm(scores: Float64) -> Float64:
    """Interquartile mean: the mean of the middle half of all runs of all tasks.

    As `scipy.stats.trim_mean(scores, 0.25, axis=None)`: of n numbers, int(n / 4) are left out at either end.
    """
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    return np.asarray(flat[..., cut : flat.shape[-1] - cut].mean(axis=-1))


def optimality_gap(scores: Float64, target: float = 1.0) -> Float64:
    """How far runs stay below `target` on average; what is above it does not make up for it."""
    return target - np.minimum(scores, target).mean(axis=(-2, -1))


def performance_profile(scores: Float64, thresholds: Float64) -> Float64:
    """Share of runs, all tasks together, that score above each threshold: (..., n_thresholds)."""
    return (scores[..., None] > thresholds).mean(axis=(-3, -2))


def probability_of_improvement(x: Float64, y: Float64) -> Float64:
    """P(X > Y) + P(X = Y) / 2 for a run of either method, mean over tasks.

    On each task this is the Mann-Whitney U statistic over the number of pairs.

    Args:
        x: (..., n_runs, n_tasks). y: (..., m_runs, n_tasks), of the same tasks in the same order.
    """
    pairs = x[..., :, None, :] - y[..., None, :, :]
    return (0.5 + 0.5 * np.sign(pairs)).mean(axis=(-3, -2, -1))


def resampled(rng: np.random.Generator, scores: Float64, resamples: int, whole_runs: bool = False) -> Float64:
    """As many runs drawn with replacement as there are: (resamples, n_runs, n_tasks).

    Args:
        rng: generator to draw from. scores: (n_runs, n_tasks). resamples: how often. whole_runs: draw a run
        with all its tasks, and not for each task apart.

    Raises:
        ValueError: not two axes, or nothing in it.
    """
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"scores must be (n_runs, n_tasks), not {scores.shape}")
    n_runs, n_tasks = scores.shape
    rows = rng.integers(0, n_runs, (resamples, n_runs, 1 if whole_runs else n_tasks))
    return np.asarray(scores[rows, np.arange(n_tasks)])


def interval(
    rng: np.random.Generator,
    statistic: Statistic,
    *tables: Float64,
    resamples: int = RESAMPLES,
    whole_runs: bool = False,
) -> Estimate:
    """A statistic with its 95 % percentile interval over runs.

    Args:
        rng: generator to draw from. statistic: of one table, or of as many as `tables` holds. tables: scores
        (n_runs, n_tasks) of each method, which are resampled apart. resamples, whole_runs: as `resampled`.

    Raises:
        ValueError: a single run, which has no spread.
    """
    for scores in tables:
        if len(scores) < 2:
            raise ValueError("one training run has no spread: an interval over runs needs two or more")
    point = float(statistic(*tables))
    drawn = statistic(*(resampled(rng, scores, resamples, whole_runs) for scores in tables))
    lo, hi = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(point, min(float(lo), point), max(float(hi), point))


def profile_band(
    rng: np.random.Generator,
    scores: Float64,
    thresholds: Float64,
    resamples: int = RESAMPLES,
    whole_runs: bool = False,
) -> Band:
    """`performance_profile` with a 95 % percentile band, each threshold for itself.

    Args:
        rng: generator to draw from. scores: (n_runs, n_tasks). thresholds: (n_thresholds,). resamples,
        whole_runs: as `resampled`.
    """
    drawn = resampled(rng, scores, resamples, whole_runs)
    curves = np.stack([performance_profile(drawn, thresholds[i : i + 1])[:, 0] for i in range(len(thresholds))], 1)
    lo, hi = np.quantile(curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    value = performance_profile(scores, thresholds)
    return Band(value, np.minimum(lo, value), np.maximum(hi, value))
