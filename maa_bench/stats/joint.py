"""Several methods tested alike: differences and lifts, with intervals that know what the methods share.

The same resample is taken of all methods at once. It draws

- training seeds, common to all tasks and to all methods that have the same ones: S - 1 of S with replacement,
  which makes the bootstrap variance unbiased (Rao and Wu, JASA 83, 1988). A seed keeps its candidates: what
  they add to the variance already shows between seeds. Only of a single seed are candidates drawn, for each
  method apart, because nothing joins the i-th of one to the i-th of another;
- test layouts and select layouts, apart for each task, the same ones for all methods and candidates.

What is hard or lucky for two methods alike thus cancels in their difference. An interval is the value plus or
minus t standard errors of these resamples. t has as many degrees of freedom as there is evidence (Satterthwaite,
Biometrics Bulletin 2, 1946): S - 1 where the spread comes from the seeds, close to infinity where it comes from
many layouts. Four seeds that differ much give 3 degrees of freedom, t = 3.18 and not 1.96; leaving this out is
what makes most published intervals over few seeds too narrow.

Where a method's outcomes on a task are all alike, its resamples show no spread; what Wilson's interval has beyond
them is added in squares ("MOVER": Zou and Donner, Stat Med 27, 2008).

Random numbers depend on names and sizes alone: a pair has the same interval whoever else is compared, and B - A
is the mirror image of A - B.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple, Protocol

import numpy as np

from maa_bench.metrics import LEGACY_LAYOUTS, METRICS, Float64
from maa_bench.stats.single import (
    LEVEL,
    RESAMPLES,
    Draws,
    Int,
    TaskOutcomes,
    beyond_bootstrap,
    counts,
    effective_n,
    percentiles,
    replicates,
    widened_at_the_ends,
)

_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


class MethodOutcomes(Protocol):
    """What is needed of a method; `maa_bench.episodes.EpisodeGrid` has it."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Training seeds, in the order of the outcomes."""

    @property
    def tasks(self) -> Mapping[str, TaskOutcomes]:
        """Outcomes of each task."""


@dataclass(frozen=True)
class Resampled:
    """One metric of one method, on one task or as the mean of all.

    Attributes:
        value: the metric itself, the mean over training seeds.
        drawn: (B,) float64, the metric in each resample; the i-th resample of all methods has the same layouts
            and, where they share them, the same training seeds.
        seeds: (S,) training seeds.
        by_seed: (S,) float64, the metric of each training seed.
        layout_df: degrees of freedom of what the layouts add to the variance.
        below, above: variances that Wilson's intervals have beyond `drawn`, towards lower and higher values.
    """

    value: float
    drawn: Float64
    seeds: tuple[int, ...]
    by_seed: Float64
    layout_df: int
    below: float
    above: float


class Difference(NamedTuple):
    """A - B with its 95 % interval and two-sided p-value; p < .05 exactly where the interval leaves out 0."""

    value: float
    lo: float
    hi: float
    p: float


class Lift(NamedTuple):
    """A lift with its 95 % interval; both ends are None where the data set no bounds to it."""

    value: float
    lo: float | None
    hi: float | None


def resample_together(
    methods: Mapping[str, MethodOutcomes], metric: str = "mean", resamples: int = RESAMPLES
) -> dict[str, dict[str, Resampled]]:
    """One metric of several methods in the same resamples: by method, then by task.

    Args:
        methods: by name; all with the same tasks, test layouts and select layouts.
        metric: a name in `METRICS`.
        resamples: number of bootstrap resamples, B.

    Raises:
        KeyError: no such metric.
        ValueError: methods that were not tested alike.
    """
    if metric not in METRICS:
        raise KeyError(metric)
    result: dict[str, dict[str, Resampled]] = {method: {} for method in methods}
    for task, sizes in _common_sizes(methods).items():
        layouts = _Layouts.draw(generator("layouts", task), *sizes, resamples)
        for method, outcomes in methods.items():
            rng = generator("candidates", method, task)
            result[method][task] = _resampled(rng, outcomes.seeds, outcomes.tasks[task], layouts, metric)
    return result


def mean_of_tasks(tasks: Mapping[str, Resampled]) -> Resampled:
    """The unweighted mean over tasks. Seeds are common to them, layouts are each task's own."""
    n, parts = len(tasks), list(tasks.values())
    return Resampled(
        value=float(np.mean([part.value for part in parts])),
        drawn=np.mean([part.drawn for part in parts], axis=0),
        seeds=parts[0].seeds,
        by_seed=np.mean([part.by_seed for part in parts], axis=0),
        layout_df=sum(part.layout_df for part in parts),
        below=sum(part.below for part in parts) / n**2,
        above=sum(part.above for part in parts) / n**2,
    )


def difference(a: Resampled, b: Resampled) -> Difference:
    """A - B; both of the same task, or both the mean of the same tasks, from one `resample_together`."""
    value = a.value - b.value
    spread = _spread([(1, a), (-1, b)])
    lo, hi = value - spread.below.half_width(), value + spread.above.half_width()
    p = (spread.below if value > 0 else spread.above).p_value(value)
    return Difference(value, max(-1.0, lo), min(1.0, hi), p)


def lift(method: Resampled, floor: Resampled, ceiling: Resampled) -> Lift | None:
    """(method - floor) / (ceiling - floor): 0 is what the floor reaches, 1 the ceiling; nothing is cut off.

    The interval holds every lift L for which method - floor - L * (ceiling - floor) is not shown to differ from 0
    (Fieller, JRSS B 16, 1954). It has no bounds where the ceiling is not shown to differ from the floor.

    Args:
        method, floor, ceiling: of the same task, or the mean of the same tasks, from one `resample_together`;
            `floor` is `random_seen` and `ceiling` is `expert` in all tables.

    Returns:
        None where the ceiling is not above the floor.
    """
    gain, span = method.value - floor.value, ceiling.value - floor.value
    if span <= 0:
        return None
    value = gain / span
    spread = _spread([(1, method), (value - 1, floor), (-value, ceiling)])
    covariance = np.cov(method.drawn - floor.drawn, ceiling.drawn - floor.drawn, ddof=0)
    ends = []
    for side, sign in ((spread.below, -1), (spread.above, 1)):
        t2 = side.t() ** 2
        a = span**2 - t2 * covariance[1, 1]
        b = gain * span - t2 * covariance[0, 1]
        c = gain**2 - t2 * (covariance[0, 0] + side.variance - spread.drawn)
        if a <= 0:
            return Lift(value, None, None)
        ends.append((b + sign * math.sqrt(max(0.0, b**2 - a * c))) / a)
    return Lift(value, min(ends[0], value), max(ends[1], value))


class _Side(NamedTuple):
    """The variance that counts towards lower or towards higher values, with its degrees of freedom."""

    variance: float
    df: float

    def t(self) -> float:
        """The 97.5 % point of Student's distribution."""
        from scipy.special import stdtrit

        return float(stdtrit(self.df, (1 + LEVEL) / 2))

    def half_width(self) -> float:
        """From the value to the end of its 95 % interval."""
        return self.t() * math.sqrt(self.variance)

    def p_value(self, value: float) -> float:
        """Two-sided, of a value on whose way to 0 this side lies."""
        from scipy.special import stdtr

        if not self.variance:
            return 0.0 if value else 1.0
        return float(2 * stdtr(self.df, -abs(value) / math.sqrt(self.variance)))


class _Spread(NamedTuple):
    """How far a linear combination of metrics may lie from its value; `drawn`: the variance of its resamples."""

    drawn: float
    below: _Side
    above: _Side


def _spread(terms: Sequence[tuple[float, Resampled]]) -> _Spread:
    """The variance of the sum of slope * metric over `terms`, and Satterthwaite's degrees of freedom.

    What Wilson's intervals add has no error of its own: infinitely many.
    """
    slopes: dict[int, float] = {}
    parts: dict[int, Resampled] = {}
    for slope, part in terms:  # A method that stands there twice counts once, with both slopes.
        slopes[id(part)] = slopes.get(id(part), 0.0) + slope
        parts[id(part)] = part
    by_seed: dict[tuple[int, ...], Float64] = {}
    below = above = 0.0
    for i, part in parts.items():
        slope = slopes[i]
        by_seed[part.seeds] = by_seed.get(part.seeds, np.zeros(len(part.seeds))) + slope * part.by_seed
        down, up = (part.below, part.above) if slope > 0 else (part.above, part.below)
        below, above = below + slope**2 * down, above + slope**2 * up
    of_seeds = of_seeds_per_df = 0.0
    for seeds, values in by_seed.items():
        if len(seeds) > 1:
            variance = float(np.var(values, ddof=1)) / len(seeds)
            of_seeds += variance
            of_seeds_per_df += variance**2 / (len(seeds) - 1)
    drawn = max(of_seeds, float(np.var(np.sum([slopes[i] * parts[i].drawn for i in parts], axis=0))))
    layout_df = max(part.layout_df for part in parts.values())
    per_df = of_seeds_per_df + (drawn - of_seeds) ** 2 / layout_df

    def side(beyond: float) -> _Side:
        return _Side(drawn + beyond, (drawn + beyond) ** 2 / per_df if per_df else math.inf)

    return _Spread(drawn, side(below), side(above))


def _common_sizes(methods: Mapping[str, MethodOutcomes]) -> dict[str, tuple[int, int]]:
    """Test and select layouts of each task (select: 1 where nobody has any).

    Raises:
        ValueError: methods that differ in them, or no method.
    """
    if not methods:
        raise ValueError("no methods to compare")
    first, *others = methods
    for name in others:
        if set(methods[name].tasks) != set(methods[first].tasks):
            raise ValueError(f"{name!r} has other tasks than {first!r}")
    sizes = {}
    for task in methods[first].tasks:
        outcomes = [method.tasks[task] for method in methods.values()]
        test = {o.success.shape[2] for o in outcomes}
        select = {o.select.shape[2] for o in outcomes if o.select is not None}
        if len(test) > 1 or len(select) > 1:
            raise ValueError(f"task {task!r}: methods differ in layouts, test {sorted(test)}, select {sorted(select)}")
        sizes[task] = test.pop(), select.pop() if select else 1
    return sizes


class _Layouts(NamedTuple):
    """Draws of one task's layouts, as in `maa_bench.stats.Draws`."""

    test: Float64
    select: Float64
    legacy: Int

    @classmethod
    def draw(cls, rng: np.random.Generator, n_test: int, n_select: int, resamples: int) -> _Layouts:
        n_legacy = min(LEGACY_LAYOUTS, n_test)
        legacy = rng.integers(0, n_legacy, (resamples, max(1, n_legacy - 1)))  # One of two, as with seeds.
        return cls(counts(rng, resamples, n_test), counts(rng, resamples, n_select), legacy)


def _resampled(
    rng: np.random.Generator, seeds: tuple[int, ...], outcomes: TaskOutcomes, layouts: _Layouts, metric: str
) -> Resampled:
    """One metric of one method on one task; `rng` draws candidates where there is a single seed."""
    n_seeds, n_candidates, n_layouts = outcomes.success.shape
    drawn_seeds = _seed_draws(seeds, len(layouts.test))
    every = np.arange(n_candidates)
    shape = (*drawn_seeds.shape, n_candidates)
    draws = Draws(
        seeds=drawn_seeds,
        candidates=rng.integers(0, n_candidates, shape) if n_seeds == 1 else np.broadcast_to(every, shape),
        layouts=layouts.test,
        select_layouts=layouts.select if outcomes.select is not None else np.ones((len(layouts.test), 1)),
        legacy_layouts=layouts.legacy,
    )
    drawn = replicates(outcomes, draws)[metric]
    seed_by_seed = Draws(
        seeds=np.arange(n_seeds)[:, None],
        candidates=np.broadcast_to(every, (n_seeds, 1, n_candidates)),
        layouts=np.ones((n_seeds, n_layouts)),
        select_layouts=np.ones((n_seeds, draws.select_layouts.shape[1])),
        legacy_layouts=np.tile(np.arange(min(LEGACY_LAYOUTS, n_layouts)), (n_seeds, 1)),
    )
    by_seed = replicates(outcomes, seed_by_seed)[metric]
    value = float(by_seed.mean())
    boot = percentiles(value, drawn)
    below, above = beyond_bootstrap(widened_at_the_ends(value, boot, effective_n(metric, outcomes)), boot) / _Z**2
    return Resampled(value, drawn, seeds, by_seed, max(1, n_layouts - 1), float(below), float(above))


def _seed_draws(seeds: tuple[int, ...], resamples: int) -> Int:
    """(B, max(1, S - 1)) indices, a function of the seeds: methods with the same ones share the draw."""
    n = len(seeds)
    return generator("seeds", repr(seeds)).integers(0, n, (resamples, max(1, n - 1)))


def generator(*names: str) -> np.random.Generator:
    """A stream of its own for everything that has a name."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
