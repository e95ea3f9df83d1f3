"""What the fast path must know of each Meta-World task: which numbers make the observation, and when it succeeds.

Facts read off metaworld 3.1.1's task classes (`_get_pos_objects`, `_get_quat_objects`, `evaluate_state`), each
checked byte for byte against them in `tests/simulators`. All 50 tasks have a row here; one without would be rolled out
by the stock class. Of stick-push, episodes in which the lifted stick has pushed the thermos home are rolled again by
stock, which alone says whether both finger pads press on the stick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from maa_bench.simulators.metaworld.success import Condition, Distance, Point

Source = Literal["body", "site", "geom"]
Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


@dataclass(frozen=True)
class SecondObject:
    """Another object in the observation: (kind, name) of its position, a body's orientation or constants, an offset."""

    position: tuple[Source, str]
    quaternion: tuple[Source, str] | Quaternion
    offset: Vector | None = None


@dataclass(frozen=True)
class FastTask:
    """Positions and orientations of the objects in the observation, and the success rule.

    Attributes:
        position: (kind, name) of the object's position.
        quaternion: (kind, name) of the orientation, that of geoms, sites and bodies `by_matrix` going through a
            rotation matrix, as in stock; or four constants.
        distance: what must be small, of the difference between a point and the target: its length, one component, the
            length of its horizontal part; or "above": the point must be higher than the target.
        threshold: at most this far, in metres (radians for a joint that turns).
        offset: added to the position in the observation, or None (not the same as zero: -0.0 + 0.0 is 0.0).
        dial: the dial's rim: the offset turns with the joint.
        by_matrix: a body's orientation is not its own quaternion, but that of its rotation matrix.
        second: the other object, of the tasks that observe two.
        of: which point must be near the target: the first or second object as observed, the fingers' centre, the
            marker, or a joint, whose position stands in the place of a height.
        marker: (kind, name) of another point that the rule needs.
        joint: name of the joint that the rule or the dial needs.
        shift: added to the point before the difference is taken.
        weights: the difference is multiplied by these.
        height: stands in the place of the target's height.
        condition: what else must hold: the point below the target; the stick inserted into the second object's handle
            (the marker is the stick's end); the stick grasped, lifted and not let go.
    """

    position: tuple[Source, str]
    quaternion: tuple[Source, str] | Quaternion
    distance: Distance
    threshold: float
    offset: Vector | None = None
    dial: bool = False
    by_matrix: bool = False
    second: SecondObject | None = None
    of: Point = "object"
    marker: tuple[Source, str] | None = None
    joint: str | None = None
    shift: Vector | None = None
    weights: Vector | None = None
    height: float | None = None
    condition: Condition = "nothing"


_NO_ROTATION = (0.0, 0.0, 0.0, 0.0)
_BUTTON = (0.0, -0.193, 0.0)
_BUTTON_ON_TOP = (0.0, 0.0, 0.193)


def _less_than(threshold: float) -> float:
    """What a distance must not exceed to be less than the threshold."""
    return math.nextafter(threshold, 0.0)


FAST_TASKS: dict[str, FastTask] = {
    "button-press-v3": FastTask(("body", "button"), ("body", "button"), "y", 0.02, offset=_BUTTON),
    "button-press-wall-v3": FastTask(("body", "button"), ("body", "button"), "y", 0.03, offset=_BUTTON),
    "coffee-button-v3": FastTask(("site", "buttonStart"), (1.0, 0.0, 0.0, 0.0), "y", 0.02),
    "dial-turn-v3": FastTask(("body", "dial"), ("body", "dial"), "norm", 0.07, dial=True, joint="knob_Joint_1"),
    "door-lock-v3": FastTask(("site", "lockStartLock"), ("body", "door_link"), "z", 0.02),
    "door-open-v3": FastTask(("geom", "handle"), ("geom", "handle"), "x", 0.08),
    "door-unlock-v3": FastTask(("site", "lockStartUnlock"), ("body", "door_link"), "x", 0.02),
    "drawer-close-v3": FastTask(("body", "drawer_link"), _NO_ROTATION, "norm", 0.05 + 0.015, offset=(0.0, -0.16, 0.05)),
    "drawer-open-v3": FastTask(
        ("body", "drawer_link"), ("body", "drawer_link"), "norm", 0.03, offset=(0.0, -0.16, 0.0)
    ),
    "faucet-close-v3": FastTask(
        ("site", "handleStartClose"), ("body", "faucetBase"), "norm", 0.07, offset=(0.0, 0.0, -0.01)
    ),
    "faucet-open-v3": FastTask(
        ("site", "handleStartOpen"),
        ("body", "faucetBase"),
        "norm",
        0.07,
        offset=(0.0, 0.0, -0.01),
        shift=(-0.04, 0.0, 0.03),
    ),
    "handle-press-side-v3": FastTask(("site", "handleStart"), _NO_ROTATION, "z", 0.02),
    "handle-press-v3": FastTask(("site", "handleStart"), _NO_ROTATION, "z", 0.02),
    "plate-slide-v3": FastTask(("geom", "puck"), ("geom", "puck"), "norm", 0.07),
    "reach-v3": FastTask(("body", "obj"), ("geom", "objGeom"), "norm", 0.05, of="hand"),
    "reach-wall-v3": FastTask(("body", "obj"), ("geom", "objGeom"), "norm", 0.05, of="hand"),
    "window-close-v3": FastTask(("site", "handleCloseStart"), _NO_ROTATION, "x", 0.05),
    "window-open-v3": FastTask(("site", "handleOpenStart"), _NO_ROTATION, "x", 0.05),
    "assembly-v3": FastTask(
        ("site", "RoundNut-8"),
        ("body", "RoundNut"),
        "horizontal",
        _less_than(0.02),
        of="marker",
        marker=("site", "RoundNut"),
        condition="below",
    ),
    "basketball-v3": FastTask(
        ("body", "bsktball"), ("body", "bsktball"), "norm", 0.08, weights=(1.0, 1.0, 2.0), height=0.3
    ),
    "bin-picking-v3": FastTask(("body", "obj"), ("body", "obj"), "norm", 0.05),
    "box-close-v3": FastTask(("body", "top_link"), ("body", "top_link"), "norm", _less_than(0.08)),
    "button-press-topdown-v3": FastTask(("body", "button"), ("body", "button"), "z", 0.024, offset=_BUTTON_ON_TOP),
    "button-press-topdown-wall-v3": FastTask(("body", "button"), ("body", "button"), "z", 0.024, offset=_BUTTON_ON_TOP),
    "coffee-pull-v3": FastTask(("body", "obj"), ("geom", "mug"), "norm", 0.07),
    "coffee-push-v3": FastTask(("body", "obj"), ("geom", "mug"), "norm", 0.07),
    "disassemble-v3": FastTask(("site", "RoundNut-8"), ("body", "RoundNut"), "above", 0.0),
    "door-close-v3": FastTask(("geom", "handle"), ("geom", "handle"), "norm", 0.08),
    "hammer-v3": FastTask(
        ("body", "hammer"),
        ("body", "hammer"),
        "above",
        0.0,
        second=SecondObject(("body", "nail_link"), ("body", "nail_link")),
        of="joint",
        joint="NailSlideJoint",
        height=0.09,
    ),
    "hand-insert-v3": FastTask(("body", "obj"), ("body", "obj"), "norm", 0.05),
    "handle-pull-side-v3": FastTask(("site", "handleCenter"), _NO_ROTATION, "norm", 0.08),
    "handle-pull-v3": FastTask(("site", "handleRight"), _NO_ROTATION, "z", 0.05),
    "lever-pull-v3": FastTask(
        ("site", "leverStart"),
        ("geom", "objGeom"),
        "z",
        math.pi / 24,
        of="joint",
        joint="LeverAxis",
        height=-math.pi / 2,
    ),
    "peg-insert-side-v3": FastTask(
        ("site", "pegGrasp"),
        ("site", "pegGrasp"),
        "norm",
        0.07,
        of="marker",
        marker=("site", "pegHead"),
        weights=(1.0, 2.0, 2.0),
    ),
    "peg-unplug-side-v3": FastTask(("site", "pegEnd"), ("body", "plug1"), "norm", 0.07),
    "pick-out-of-hole-v3": FastTask(("body", "obj"), ("body", "obj"), "norm", 0.07),
    "pick-place-v3": FastTask(("body", "obj"), ("geom", "objGeom"), "norm", 0.07),
    "pick-place-wall-v3": FastTask(("geom", "objGeom"), ("geom", "objGeom"), "norm", 0.07),
    "plate-slide-back-v3": FastTask(("geom", "puck"), ("geom", "puck"), "norm", 0.07),
    "plate-slide-back-side-v3": FastTask(("geom", "puck"), ("geom", "puck"), "norm", 0.07),
    "plate-slide-side-v3": FastTask(("geom", "puck"), ("geom", "puck"), "norm", 0.07),
    "push-v3": FastTask(("body", "obj"), ("geom", "objGeom"), "norm", 0.05),
    "push-back-v3": FastTask(("geom", "objGeom"), ("geom", "objGeom"), "norm", 0.07),
    "push-wall-v3": FastTask(("geom", "objGeom"), ("geom", "objGeom"), "norm", 0.07),
    "shelf-place-v3": FastTask(("body", "obj"), ("geom", "objGeom"), "norm", 0.07),
    "soccer-v3": FastTask(("body", "soccer_ball"), ("body", "soccer_ball"), "norm", 0.07, by_matrix=True),
    "stick-pull-v3": FastTask(
        ("body", "stick"),
        ("body", "stick"),
        "norm",
        0.12,
        by_matrix=True,
        second=SecondObject(("site", "insertion"), _NO_ROTATION),
        of="second",
        marker=("site", "stick_end"),
        condition="inserted",
    ),
    "stick-push-v3": FastTask(
        ("body", "stick"),
        ("body", "stick"),
        "norm",
        0.12,
        by_matrix=True,
        second=SecondObject(("site", "insertion"), _NO_ROTATION, offset=(0.0, 0.09, 0.0)),
        of="second",
        condition="grasped",
    ),
    "sweep-v3": FastTask(("body", "obj"), ("body", "obj"), "norm", 0.05),
    "sweep-into-v3": FastTask(("body", "obj"), ("geom", "objGeom"), "horizontal", 0.05),
}
