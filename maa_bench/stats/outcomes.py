"""Outcomes of one task, and every metric of many resamples of them at once.

A resample takes training seeds, candidates within each, and layouts, which are crossed with candidates: all of them
run on the same ones. `maa_bench.stats.resampling` says what is drawn; here is what becomes of it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maa_bench.metrics import LEGACY_LAYOUTS, METRICS, TOP, Float64

Bool = npt.NDArray[np.bool_]
Int = npt.NDArray[np.int64]

RESAMPLES = 2000
LEVEL = 0.95
Z = 1.959963984540054
"""97.5 % point of the standard normal distribution."""


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
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
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


def replicates(outcomes: TaskOutcomes, draws: Draws, metrics: Collection[str] = tuple(METRICS)) -> dict[str, Float64]:
    """Metrics of one task in every resample: (B,) float64 each, keyed and ordered as `METRICS`.

    Sums over layouts are matrix products of draw counts (B, n_layouts) with outcomes, exact in float64; then
    each resample picks its candidates. With draws that take everything once this is `metrics.all_metrics`.

    Args:
        outcomes, draws: of one task. metrics: which; the others are not worked out.
    """
    n_seeds, n_candidates, n_layouts = outcomes.success.shape
    rows = n_seeds * n_candidates
    success = outcomes.success.reshape(rows, n_layouts)
    b = np.arange(len(draws.seeds))[:, None, None]
    drawn = draws.seeds[:, :, None] * n_candidates + draws.candidates  # (B, D, n_candidates) rows
    drawn_test = (draws.layouts @ success.T.astype(np.float64))[b, drawn] / draws.layouts.sum(1)[:, None, None]
    found: dict[str, Float64] = {}
    if "mean" in metrics:
        found["mean"] = drawn_test.mean(axis=(1, 2))
    if "best_selected" in metrics or "top5_selected" in metrics:
        select = success[:, :1] if outcomes.select is None else outcomes.select.reshape(rows, -1)
        score = (draws.select_layouts @ select.T.astype(np.float64))[b, drawn]
        # One whole number a candidate that orders by score, then by the earlier place in the resample. The place
        # is random, unlike the candidate's own index: among ties a replication of the benchmark would pick
        # another candidate too.
        key = score * n_candidates + np.arange(n_candidates - 1, -1, -1)
        k = min(TOP, n_candidates)
        top = np.argpartition(key, n_candidates - k, axis=2)[:, :, n_candidates - k :]
        found["best_selected"] = np.take_along_axis(drawn_test, key.argmax(2)[:, :, None], 2).mean(axis=(1, 2))
        found["top5_selected"] = np.take_along_axis(drawn_test, top, 2).mean(axis=(1, 2))
    if "qualified_rate" in metrics:
        found["qualified_rate"] = (drawn_test >= 1).mean(axis=(1, 2))
    if "oracle_best" in metrics:
        found["oracle_best"] = drawn_test.max(axis=2).mean(axis=1)
    for metric, k in (("legacy_top5", min(TOP, n_candidates)), ("legacy_best", 1)):
        if metric in metrics:
            found[metric] = _legacy(success, drawn, draws.legacy_layouts, k)
    return {metric: found[metric] for metric in METRICS if metric in metrics}


def _legacy(success: Bool, drawn: Int, layouts: Int, k: int) -> Float64:
    """Mean of the k largest of each drawn layout's column of zeros and ones, mean over layouts and seeds: (B,)."""
    total = np.zeros(drawn.shape[:2])
    for layout in layouts.T:
        total += np.minimum(success[drawn, layout[:, None, None]].sum(axis=2), k) / k
    return np.asarray(total.mean(axis=1) / layouts.shape[1])


def draw_seeds(n_seeds: int, resamples: int) -> Int:
    """(B, max(1, S - 1)) seed indices: a function of the number of seeds alone, so that methods share
    them."""
    rng = np.random.default_rng([n_seeds, resamples])
    return rng.integers(0, n_seeds, (resamples, max(1, n_seeds - 1)))


def counts(rng: np.random.Generator, b: int, n: int) -> Float64:
    """(b, n): how often each of n things was drawn when n were drawn with replacement."""
    index = rng.integers(0, n, (b, n)) + n * np.arange(b)[:, None]
    return np.bincount(index.ravel(), minlength=b * n).reshape(b, n).astype(np.float64)
