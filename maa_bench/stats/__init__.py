"""Statistics: pure functions from outcomes to estimates with intervals; docs/metrics.md has formulas and coverage.

| module | what it answers |
|---|---|
| `single` | what another draw of seeds, candidates and layouts could have given one method |
| `steps` | the same of the first-success step |
| `joint` | by how much methods tested alike differ; lift |
| `runs` | training runs as the unit: interquartile mean, performance profiles, probability of improvement |
| `multiple` | p-values of many comparisons at once |
| `legacy` | what the released code's metric reads on average |
"""

from maa_bench.stats.single import (
    LEVEL,
    RESAMPLES,
    Draws,
    Estimate,
    TaskOutcomes,
    counts,
    draw,
    draw_seeds,
    intervals,
    replicates,
    wilson,
)

__all__ = [
    "LEVEL",
    "RESAMPLES",
    "Draws",
    "Estimate",
    "TaskOutcomes",
    "counts",
    "draw",
    "draw_seeds",
    "intervals",
    "replicates",
    "wilson",
]
