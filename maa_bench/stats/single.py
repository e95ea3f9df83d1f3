"""Intervals: what another draw of training seeds, candidates and layouts could have given.

Every metric of `maa_bench.metrics` gets a 95 % bootstrap interval. One resample of a benchmark draws

- training seeds, the same ones for all tasks, because one fit serves all tasks (drawing them apart for each
  task would treat a lucky fit as luck on one task only). Of S seeds, S - 1 are drawn with replacement: the
  bootstrap variance is then unbiased (Rao and Wu, JASA 83, 1988), which matters for 2 to 5 seeds;
- candidates within each drawn seed;
- test layouts and select layouts, each crossed with the candidates: the same layouts for all of them
  (the "pigeonhole" bootstrap of Owen, Annals of Applied Statistics 1, 2007);

and redoes the selection of candidates inside the resample. Tasks are fixed: the suite is the population. So
are the prompts. Layouts and candidates are drawn apart for each task.

The interval is the percentile interval together with the same interval moved by the bootstrap's own estimate
of bias (mean of the resamples minus point estimate). For `mean` the two agree. The others are biased under
resampling: 50 layouts drawn with replacement hold about 32 different ones, so "success on every layout" gets
easier in a resample, and the best candidate may be missing from it. In simulated benchmarks of 8 tasks and 3
seeds the percentile interval alone covered .74 of the time for the aggregate `qualified_rate`, .81 for
`best_selected` (23 % and 11 % of these intervals did not even hold the point estimate).

With 2 or 3 training seeds that differ much, no interval of this kind reaches its 95 % (simulated: about .85
for `mean` where seeds explain most of the variance); more seeds are the only cure. With one seed the
interval is about this fit only and says nothing of the next one (simulated: .70 with moderate seed effects).

The random numbers come from a generator seeded by the outcomes themselves: the same episodes give the same
intervals.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maa_bench.metrics import LEGACY_LAYOUTS, METRICS, TOP, Float64, all_metrics

Bool = npt.NDArray[np.bool_]
Int = npt.NDArray[np.int64]

RESAMPLES = 2000
LEVEL = 0.95
_Z = 1.959963984540054  # 97.5 % point of the standard normal distribution


class Estimate(NamedTuple):
    """A metric's value with the two ends of its 95 % interval; lo <= value <= hi."""

    value: float
    lo: float
    hi: float


@dataclass(frozen=True)
class TaskOutcomes:
    """All episodes of one task.

    Attributes:
        success: (n_seeds, n_candidates, n_layouts) bool, on the test layouts.
        select: (n_seeds, n_candidates, n_select_layouts) bool, or None where there is one candidate.

    Raises:
        ValueError: shapes that do not fit, or no `select` although there are several candidates.
    """

    success: Bool
    select: Bool | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "success", np.ascontiguousarray(self.success, dtype=np.bool_))
        if self.success.ndim != 3 or not self.success.size:
            raise ValueError(f"success must be (n_seeds, n_candidates, n_layouts), not {self.success.shape}")
        if self.select is None:
            if self.success.shape[1] != 1:
                raise ValueError("outcomes on select layouts are needed to choose among several candidates")
            return
        object.__setattr__(self, "select", np.ascontiguousarray(self.select, dtype=np.bool_))
        if self.select.ndim != 3 or self.select.shape[:2] != self.success.shape[:2] or not self.select.size:
            raise ValueError(f"select {self.select.shape} does not fit success {self.success.shape}")


@dataclass(frozen=True)
class Draws:
    """What B resamples of one task consist of, D drawn seeds each.

    Attributes:
        seeds: (B, D) seed indices.
        candidates: (B, D, n_candidates) candidate indices within the drawn seed.
        layouts: (B, n_layouts) how often each test layout was drawn.
        select_layouts: (B, n_select_layouts) likewise.
        legacy_layouts: (B, k) test layouts that the legacy metric sees, indices below LEGACY_LAYOUTS.
    """

    seeds: Int
    candidates: Int
    layouts: Float64
    select_layouts: Float64
    legacy_layouts: Int


def wilson(successes: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a proportion (E. B. Wilson, JASA 22, 1927).

    Args:
        successes: in [0, n]; need not be whole.
        n: number of independent trials, above 0.
    """
    if not (n > 0 and 0 <= successes <= n):
        raise ValueError(f"no proportion: {successes} successes of {n}")
    p = successes / n
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2))
    return max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p))


def effective_n(metric: str, outcomes: TaskOutcomes) -> int:
    """Number of independent trials behind a metric whose outcomes are all alike.

    A crossed table of n candidates x m layouts holds n*m outcomes but not n*m independent ones: a layout that
    nobody solves, or a candidate that never succeeds, shows up in a whole row or column. Its evidence on
    unseen candidates and layouts is bounded by the scarcer of the two. Seeds are not counted: equal outcomes
    cannot tell whether they add anything. One candidate is one agent on m layouts. `qualified_rate` has one
    yes or no a candidate, and the legacy metrics one figure for each of their two layouts.
    """
    _, candidates, layouts = outcomes.success.shape
    if metric == "qualified_rate":
        return candidates
    if metric in ("legacy_top5", "legacy_best"):
        return min(LEGACY_LAYOUTS, layouts)
    return layouts if candidates == 1 else min(candidates, layouts)


def intervals(
    tasks: Mapping[str, TaskOutcomes], resamples: int = RESAMPLES
) -> tuple[dict[str, dict[str, Estimate]], dict[str, Estimate]]:
    """Every metric with its interval, for each task and for their mean.

    Args:
        tasks: the outcomes of each task; all with the same training seeds in the same order.
        resamples: number of bootstrap resamples.

    Returns:
        (metrics of each task, metrics of the aggregate = unweighted mean over tasks), keyed as `METRICS`.
    """
    seed_counts = {outcomes.success.shape[0] for outcomes in tasks.values()}
    if len(seed_counts) != 1:
        raise ValueError(f"tasks must share their training seeds; numbers of seeds: {sorted(seed_counts)}")
    seeds = draw_seeds(seed_counts.pop(), resamples)
    points: dict[str, dict[str, float]] = {}
    per_task: dict[str, dict[str, Estimate]] = {}
    total = {metric: np.zeros(resamples) for metric in METRICS}
    beyond = {metric: np.zeros(2) for metric in METRICS}
    for name, outcomes in tasks.items():
        points[name] = all_metrics(outcomes.success, outcomes.select)
        rng = np.random.default_rng(_entropy(name, outcomes))
        resampled = replicates(outcomes, draw(rng, outcomes, seeds))
        per_task[name] = {}
        for metric, point in points[name].items():
            boot = percentiles(point, resampled[metric])
            estimate = widened_at_the_ends(point, boot, effective_n(metric, outcomes))
            per_task[name][metric] = estimate
            total[metric] += resampled[metric]
            beyond[metric] += beyond_bootstrap(estimate, boot)
    n = len(tasks)
    aggregate: dict[str, Estimate] = {}
    for metric in METRICS:
        point = float(np.mean([task[metric] for task in points.values()]))
        boot = percentiles(point, total[metric] / n)
        # Where a task's outcomes are all alike its resamples show no spread, so the aggregate's resamples
        # lack that task's share of uncertainty. Independent parts add in squares ("MOVER": Zou and Donner,
        # Stat Med 27, 2008).
        below, above = beyond[metric] / n**2
        lo = point - math.hypot(point - boot.lo, math.sqrt(below))
        hi = point + math.hypot(boot.hi - point, math.sqrt(above))
        aggregate[metric] = Estimate(point, max(0.0, min(lo, point)), min(1.0, max(hi, point)))
    return per_task, aggregate


def draw(rng: np.random.Generator, outcomes: TaskOutcomes, seeds: Int) -> Draws:
    """Draw candidates and layouts of one task for every resample; `seeds`: (B, D) as drawn for all tasks."""
    _, n_candidates, n_layouts = outcomes.success.shape
    n_select = 1 if outcomes.select is None else outcomes.select.shape[2]
    b = len(seeds)
    n_legacy = min(LEGACY_LAYOUTS, n_layouts)
    return Draws(
        seeds=seeds,
        candidates=rng.integers(0, n_candidates, (*seeds.shape, n_candidates)),
        layouts=counts(rng, b, n_layouts),
        select_layouts=counts(rng, b, n_select),
        # One layout of two, as one seed of two: see S - 1 above.
        legacy_layouts=rng.integers(0, n_legacy, (b, max(1, n_legacy - 1))),
    )


def replicates(outcomes: TaskOutcomes, draws: Draws) -> dict[str, Float64]:
    """Every metric of one task in every resample: (B,) float64 each, keyed as `METRICS`.

    Sums over layouts are matrix products of draw counts (B, n_layouts) with outcomes, exact in float64; then
    each resample picks its candidates. With draws that take everything once this is `metrics.all_metrics`.
    """
    n_seeds, n_candidates, n_layouts = outcomes.success.shape
    rows = n_seeds * n_candidates
    success = outcomes.success.reshape(rows, n_layouts)
    select = success[:, :1] if outcomes.select is None else outcomes.select.reshape(rows, -1)
    b = np.arange(len(draws.seeds))[:, None, None]
    drawn = draws.seeds[:, :, None] * n_candidates + draws.candidates  # (B, D, n_candidates) rows

    drawn_test = (draws.layouts @ success.T.astype(np.float64))[b, drawn] / draws.layouts.sum(1)[:, None, None]
    score = (draws.select_layouts @ select.T.astype(np.float64))[b, drawn]
    # One whole number a candidate that orders by score, then by the earlier place in the resample. The place
    # is random, unlike the candidate's own index: among ties a replication of the benchmark would pick
    # another candidate too.
    key = score * n_candidates + np.arange(n_candidates - 1, -1, -1)
    k = min(TOP, n_candidates)
    top = np.argpartition(key, n_candidates - k, axis=2)[:, :, n_candidates - k :]
    legacy_top, legacy_best = np.zeros(drawn.shape[:2]), np.zeros(drawn.shape[:2])
    for layout in draws.legacy_layouts.T:
        solved = success[drawn, layout[:, None, None]].sum(axis=2)
        legacy_top += np.minimum(solved, k) / k  # Mean of the k largest of a column of zeros and ones.
        legacy_best += np.minimum(solved, 1)
    return {
        "mean": drawn_test.mean(axis=(1, 2)),
        "best_selected": np.take_along_axis(drawn_test, key.argmax(2)[:, :, None], 2).mean(axis=(1, 2)),
        "top5_selected": np.take_along_axis(drawn_test, top, 2).mean(axis=(1, 2)),
        "qualified_rate": (drawn_test >= 1).mean(axis=(1, 2)),
        "oracle_best": drawn_test.max(axis=2).mean(axis=1),
        "legacy_top5": legacy_top.mean(axis=1) / draws.legacy_layouts.shape[1],
        "legacy_best": legacy_best.mean(axis=1) / draws.legacy_layouts.shape[1],
    }


def draw_seeds(n_seeds: int, resamples: int) -> Int:
    """(B, max(1, S - 1)) seed indices: a function of the number of seeds alone, so that methods share
    them."""
    rng = np.random.default_rng([n_seeds, resamples])
    return rng.integers(0, n_seeds, (resamples, max(1, n_seeds - 1)))


def counts(rng: np.random.Generator, b: int, n: int) -> Float64:
    """(b, n): how often each of n things was drawn when n were drawn with replacement."""
    index = rng.integers(0, n, (b, n)) + n * np.arange(b)[:, None]
    return np.bincount(index.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)


def _entropy(name: str, outcomes: TaskOutcomes) -> int:
    """A seed made of the task's name and outcomes; the name keeps tasks of equal outcomes apart."""
    digest = hashlib.sha256(name.encode())
    for array in (outcomes.success, outcomes.select):
        if array is not None:
            digest.update(repr(array.shape).encode())
            digest.update(np.packbits(array).tobytes())
    return int.from_bytes(digest.digest()[:16], "little")


def percentiles(point: float, resampled: Float64) -> Estimate:
    """Percentile interval and the same moved by the bootstrap's bias: the union, cut to [0, 1], around the
    point."""
    tail = (1 - LEVEL) / 2
    lo, hi = np.quantile(resampled, [tail, 1 - tail])
    bias = resampled.mean() - point
    return Estimate(point, max(0.0, float(min(lo, lo - bias, point))), min(1.0, float(max(hi, hi - bias, point))))


def widened_at_the_ends(point: float, boot: Estimate, n: int) -> Estimate:
    """Where nothing (or everything) succeeded, a bootstrap interval claims [0, 0] or [1, 1]; Wilson's does
    not."""
    if 0 < point < 1 and boot.lo < boot.hi:
        return boot
    lo, hi = wilson(point * n, n)
    return Estimate(point, min(lo, boot.lo), max(hi, boot.hi))


def beyond_bootstrap(estimate: Estimate, boot: Estimate) -> Float64:
    """(2,) squared half-widths, below and above, that the interval has beyond its bootstrap part."""
    below = (estimate.value - estimate.lo) ** 2 - (boot.value - boot.lo) ** 2
    above = (estimate.hi - estimate.value) ** 2 - (boot.hi - boot.value) ** 2
    return np.array([below, above])
