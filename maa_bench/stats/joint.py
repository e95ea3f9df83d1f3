"""Several methods tested alike: by how much they differ, and lift.

What is hard or lucky for two methods alike cancels: see `maa_bench.stats.resampling`, which draws one resample of
all methods at once. B - A is the mirror image of A - B.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from maa_bench.stats.resampling import Resampled, spread


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


def difference(a: Resampled, b: Resampled) -> Difference:
    """A - B; both of the same task, or both the mean of the same tasks, from one `resample`."""
    value = a.value - b.value
    sides = spread([(1, a), (-1, b)])
    lo, hi = value - sides.below.half_width(), value + sides.above.half_width()
    p = (sides.below if value > 0 else sides.above).p_value(value)
    return Difference(value, max(-1.0, lo), min(1.0, hi), p)


def lift(method: Resampled, floor: Resampled, ceiling: Resampled) -> Lift | None:
    """(method - floor) / (ceiling - floor): 0 is what the floor reaches, 1 the ceiling; nothing is cut off.

    The interval holds every lift L for which method - floor - L * (ceiling - floor) is not shown to differ from 0
    (Fieller, JRSS B 16, 1954). It has no bounds where the ceiling is not shown to differ from the floor.

    Args:
        method, floor, ceiling: of the same task, or the mean of the same tasks, from one `resample`;
            `floor` is `random_seen` and `ceiling` is `expert` in all tables.

    Returns:
        None where the ceiling is not above the floor.
    """
    gain, span = method.value - floor.value, ceiling.value - floor.value
    if span <= 0:
        return None
    value = gain / span
    sides = spread([(1, method), (value - 1, floor), (-value, ceiling)])
    covariance = np.cov(method.drawn - floor.drawn, ceiling.drawn - floor.drawn, ddof=0)
    ends = []
    for side, sign in ((sides.below, -1), (sides.above, 1)):
        t2 = side.t() ** 2
        a = span**2 - t2 * covariance[1, 1]
        b = gain * span - t2 * covariance[0, 1]
        c = gain**2 - t2 * (covariance[0, 0] + side.variance - sides.drawn)
        if a <= 0:
            return Lift(value, None, None)
        ends.append((b + sign * math.sqrt(max(0.0, b**2 - a * c))) / a)
    return Lift(value, min(ends[0], value), max(ends[1], value))
