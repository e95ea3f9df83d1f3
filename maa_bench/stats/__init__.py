"""Statistics: pure functions from outcomes to estimates with intervals; docs/metrics.md has formulas and coverage.

| module | what it answers |
|---|---|
| `outcomes` | what a metric is in each of many resamples |
| `resampling` | what is drawn again, and how far a number may lie from its value |
| `single` | every metric of one method with its interval |
| `steps` | the same of the first-success step |
| `joint` | by how much methods tested alike differ; lift |
| `runs` | training runs as the unit: interquartile mean, performance profiles, probability of improvement |
| `multiple` | p-values of many comparisons at once |
| `legacy` | what the released code's metric reads on average |
"""

from maa_bench.stats.outcomes import (
    LEVEL,
    RESAMPLES,
    Draws,
    Estimate,
    TaskOutcomes,
    counts,
    draw_seeds,
    replicates,
    wilson,
)
from maa_bench.stats.resampling import Resampled, mean_of_tasks, resample
from maa_bench.stats.single import intervals

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "Draws",
    "Estimate",
    "Resampled",
    "TaskOutcomes",
    "counts",
    "draw_seeds",
    "intervals",
    "mean_of_tasks",
    "replicates",
    "resample",
    "wilson",
]
