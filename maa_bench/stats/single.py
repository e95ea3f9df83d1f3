"""Every metric of one method with its interval: what a run record holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maa_bench.metrics import METRICS
from maa_bench.stats.outcomes import RESAMPLES, Estimate, TaskOutcomes
from maa_bench.stats.resampling import Resampled, mean_of_tasks, resample, spread


@dataclass(frozen=True)
class _Method:
    seeds: tuple[int, ...]
    tasks: Mapping[str, TaskOutcomes]


def intervals(
    tasks: Mapping[str, TaskOutcomes], resamples: int = RESAMPLES
) -> tuple[dict[str, dict[str, Estimate]], dict[str, Estimate]]:
    """Every metric with its 95 % interval, for each task and for their mean.

    With one training seed the interval is about this fit only and says nothing of the next one.

    Args:
        tasks: the outcomes of each task; all with the same training seeds in the same order.
        resamples: number of bootstrap resamples.

    Returns:
        (metrics of each task, metrics of the aggregate = unweighted mean over tasks), keyed as `METRICS`.
    """
    seed_counts = {outcomes.success.shape[0] for outcomes in tasks.values()}
    if len(seed_counts) != 1:
        raise ValueError(f"tasks must share their training seeds; numbers of seeds: {sorted(seed_counts)}")
    parts = resample({"": _Method(tuple(range(seed_counts.pop())), tasks)}, resamples)[""]
    per_task = {task: {metric: estimate(of[metric]) for metric in METRICS} for task, of in parts.items()}
    aggregate = {
        metric: estimate(mean_of_tasks({task: of[metric] for task, of in parts.items()})) for metric in METRICS
    }
    return per_task, aggregate


def estimate(part: Resampled) -> Estimate:
    """A share with its 95 % interval, cut to [0, 1]."""
    sides = spread([(1, part)])
    lo, hi = part.value - sides.below.half_width(), part.value + sides.above.half_width()
    return Estimate(part.value, max(0.0, lo), min(1.0, hi))
