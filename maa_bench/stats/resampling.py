"""What is random in a benchmark, drawn again and again; and how far a number may lie from its value because of it.

One resample is taken of all methods at once. It draws

- training seeds, common to all tasks, because one fit serves all tasks, and to all methods that have the same ones:
  S - 1 of S with replacement, which makes the bootstrap variance unbiased (Rao and Wu, JASA 83, 1988). A seed keeps
  its candidates: what they add to the variance already shows between seeds. Only of a single seed are candidates
  drawn, for each method apart, because nothing joins the i-th of one to the i-th of another;
- test layouts and select layouts, apart for each task, the same ones for all methods and candidates (the "pigeonhole"
  bootstrap of Owen, Annals of Applied Statistics 1, 2007);

and redoes the selection of candidates inside the resample. Tasks are fixed: the suite is the population. So are the
prompts.

An interval is the value plus or minus t standard errors of the resamples. t has as many degrees of freedom as there is
evidence (Satterthwaite, Biometrics Bulletin 2, 1946): S - 1 where the spread comes from the seeds, many where it comes
from layouts. Four seeds that differ much give 3 degrees of freedom and t = 3.18, not 1.96. It stands around the value
and not around the resamples' quantiles, because those are biased where a metric selects: 50 layouts drawn with
replacement hold about 32 different ones, so "success on every layout" gets easier in a resample.

Where a method's outcomes on a task are all alike, its resamples show no spread; what Wilson's interval has beyond them
is added in squares ("MOVER": Zou and Donner, Stat Med 27, 2008).

Random numbers depend on names and sizes alone: the same episodes give the same intervals, whoever else is compared.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from maa_bench.metrics import LEGACY_LAYOUTS, METRICS, Float64, all_metrics
from maa_bench.stats.outcomes import (
    LEVEL,
    RESAMPLES,
    Draws,
    Int,
    TaskOutcomes,
    Z,
    counts,
    effective_n,
    replicates,
    wilson,
)


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


def resample(
    methods: Mapping[str, MethodOutcomes], resamples: int = RESAMPLES, metrics: Collection[str] = tuple(METRICS)
) -> dict[str, dict[str, dict[str, Resampled]]]:
    """Metrics of several methods in the same resamples: by method, then task, then metric.

    Args:
        methods: by name; all with the same tasks, test layouts and select layouts.
        resamples: number of bootstrap resamples, B.
        metrics: which; the numbers of one do not hang on which others are asked for.

    Raises:
        ValueError: methods that were not tested alike.
    """
    result: dict[str, dict[str, dict[str, Resampled]]] = {method: {} for method in methods}
    for task, sizes in _common_sizes(methods).items():
        layouts = _Layouts.draw(generator("layouts", task), *sizes, resamples)
        for method, outcomes in methods.items():
            rng = generator("candidates", method, task)
            result[method][task] = _resampled(rng, outcomes.seeds, outcomes.tasks[task], layouts, metrics)
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


class Side(NamedTuple):
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


class Spread(NamedTuple):
    """How far a linear combination of metrics may lie from its value; `drawn`: the variance of its resamples."""

    drawn: float
    below: Side
    above: Side


def spread(terms: Sequence[tuple[float, Resampled]]) -> Spread:
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

    def side(beyond: float) -> Side:
        return Side(drawn + beyond, (drawn + beyond) ** 2 / per_df if per_df else math.inf)

    return Spread(drawn, side(below), side(above))


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
    rng: np.random.Generator,
    seeds: tuple[int, ...],
    outcomes: TaskOutcomes,
    layouts: _Layouts,
    metrics: Collection[str],
) -> dict[str, Resampled]:
    """Metrics of one method on one task; `rng` draws candidates where there is a single seed."""
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
    seed_by_seed = Draws(
        seeds=np.arange(n_seeds)[:, None],
        candidates=np.broadcast_to(every, (n_seeds, 1, n_candidates)),
        layouts=np.ones((n_seeds, n_layouts)),
        select_layouts=np.ones((n_seeds, draws.select_layouts.shape[1])),
        legacy_layouts=np.tile(np.arange(min(LEGACY_LAYOUTS, n_layouts)), (n_seeds, 1)),
    )
    drawn, by_seed = replicates(outcomes, draws, metrics), replicates(outcomes, seed_by_seed, metrics)
    result = {}
    for metric, value in all_metrics(outcomes.success, outcomes.select, metrics).items():
        beyond = _beyond(value, drawn[metric], effective_n(metric, outcomes))
        result[metric] = Resampled(value, drawn[metric], seeds, by_seed[metric], max(1, n_layouts - 1), *beyond)
    return result


def _beyond(value: float, drawn: Float64, n: int) -> tuple[float, float]:
    """Variances below and above that Wilson's interval of n trials has beyond resamples without a spread."""
    if 0 < value < 1 and np.ptp(drawn) > 1e-9:
        return 0.0, 0.0
    lo, hi = wilson(value * n, n)
    below, above = (max(0.0, (side / Z) ** 2 - float(drawn.var())) for side in (value - lo, hi - value))
    return below, above


def _seed_draws(seeds: tuple[int, ...], resamples: int) -> Int:
    """(B, max(1, S - 1)) indices, a function of the seeds: methods with the same ones share the draw."""
    n = len(seeds)
    return generator("seeds", repr(seeds)).integers(0, n, (resamples, max(1, n - 1)))


def generator(*names: str) -> np.random.Generator:
    """A stream of its own for everything that has a name."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))
