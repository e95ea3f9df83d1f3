"""When a step of a Meta-World episode is a success, in compiled code: the rules of `FastTask` in `tasks`."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from maa_bench.compiled import njit

Float64 = npt.NDArray[np.float64]

NO, YES, UNSURE = 0, 1, 2

Distance = Literal["norm", "x", "y", "z", "horizontal", "above"]
Point = Literal["object", "hand", "second", "marker", "joint"]
Condition = Literal["nothing", "below", "inserted", "grasped"]
DISTANCES, POINTS, CONDITIONS = get_args(Distance), get_args(Point), get_args(Condition)

NORM, HORIZONTAL, ABOVE = (float(DISTANCES.index(name)) for name in ("norm", "horizontal", "above"))
OF_OBJECT, OF_HAND, OF_SECOND, OF_MARKER = (float(POINTS.index(name)) for name in POINTS[:4])
BELOW, INSERTED, GRASPED = (float(CONDITIONS.index(name)) for name in CONDITIONS[1:])


@njit
def norm3(x: float, y: float, z: float) -> float:
    """Euclidean length, summed as `np.linalg.norm` sums three numbers."""
    return math.sqrt(x * x + y * y + z * z)


@njit
def succeeds(
    rule: Float64, obs: Float64, hand: Float64, marker: Float64, joint: float, target: Float64, point: Float64
) -> int:
    """Whether a step is a success: NO, YES, or UNSURE where only stock can tell.

    Args:
        rule: (15,) distance, threshold, point, has shift, shift (3), has weights, weights (3), has height, height,
            condition, and an entry that is not read here; see `maa_bench.simulators.metaworld.tasks.FastTask`.
        obs: (39,) the observation.
        hand: (3,) the fingers' centre.
        marker, joint: (3,) another point of the model, and the position of a joint, if the rule needs one.
        target: (3,) the goal.
        point: (3,) scratch.
    """
    for i in range(3):
        if rule[2] == OF_OBJECT:
            point[i] = obs[4 + i]
        elif rule[2] == OF_HAND:
            point[i] = hand[i]
        elif rule[2] == OF_SECOND:
            point[i] = obs[11 + i]
        elif rule[2] == OF_MARKER:
            point[i] = marker[i]
        else:
            point[i] = joint if i == 2 else 0.0
        if rule[3] == 1.0:
            point[i] += rule[4 + i]
        point[i] -= rule[12] if i == 2 and rule[11] == 1.0 else target[i]
        if rule[7] == 1.0:
            point[i] *= rule[8 + i]
    if rule[0] == ABOVE:
        near = point[2] > 0.0
    elif rule[0] == NORM:
        near = norm3(point[0], point[1], point[2]) <= rule[1]
    elif rule[0] == HORIZONTAL:
        near = norm3(point[0], point[1], 0.0) <= rule[1]
    else:
        near = abs(point[int(rule[0]) - 1]) <= rule[1]
    if not near:
        return NO
    if rule[13] == BELOW:
        return YES if point[2] < 0.0 else NO
    if rule[13] == INSERTED:
        aside, over = abs(marker[1] - obs[12]), abs(marker[2] - obs[13])
        return YES if marker[0] >= obs[11] and aside <= 0.040 and over <= 0.060 else NO
    if rule[13] == GRASPED:
        return UNSURE if obs[3] > 0.0 and obs[6] - 0.01 > 0.02 else NO
    return YES
