"""What the fast path must know of each Meta-World task: which numbers make the observation, and when it succeeds.

Facts read off metaworld 3.1.1's task classes (`_get_pos_objects`, `_get_quat_objects`, `evaluate_state`), each
checked byte for byte against them in `tests/simulators`. A task without a row here is rolled out by the stock class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Source = Literal["body", "site", "geom"]
Distance = Literal["norm", "x", "y", "z"]


@dataclass(frozen=True)
class FastTask:
    """The object's position and orientation in the observation, and the success rule.

    Attributes:
        position: (kind, name) of the object's position.
        offset: added to it in the observation, or None (which is not the same as zero: -0.0 + 0.0 is 0.0).
        dial: the dial's rim: the offset turns with the knob joint.
        quaternion: (kind, name) of the orientation; "geom" goes through a rotation matrix, as stock does; or four
            constants.
        distance: what must be small: all of the difference to the target, or one component.
        threshold: at most this far, in metres.
        of_hand: the fingers' centre must be near the target instead of the object.
        shift: added to the object's position before the distance is taken.
    """

    position: tuple[Source, str]
    quaternion: tuple[Source, str] | tuple[float, float, float, float]
    distance: Distance
    threshold: float
    offset: tuple[float, float, float] | None = None
    dial: bool = False
    of_hand: bool = False
    shift: tuple[float, float, float] | None = None


_NO_ROTATION = (0.0, 0.0, 0.0, 0.0)
_BUTTON = (0.0, -0.193, 0.0)

FAST_TASKS: dict[str, FastTask] = {
    "button-press-v3": FastTask(("body", "button"), ("body", "button"), "y", 0.02, offset=_BUTTON),
    "button-press-wall-v3": FastTask(("body", "button"), ("body", "button"), "y", 0.03, offset=_BUTTON),
    "coffee-button-v3": FastTask(("site", "buttonStart"), (1.0, 0.0, 0.0, 0.0), "y", 0.02),
    "dial-turn-v3": FastTask(("body", "dial"), ("body", "dial"), "norm", 0.07, dial=True),
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
    "reach-v3": FastTask(("body", "obj"), ("geom", "objGeom"), "norm", 0.05, of_hand=True),
    "reach-wall-v3": FastTask(("body", "obj"), ("geom", "objGeom"), "norm", 0.05, of_hand=True),
    "window-close-v3": FastTask(("site", "handleCloseStart"), _NO_ROTATION, "x", 0.05),
    "window-open-v3": FastTask(("site", "handleOpenStart"), _NO_ROTATION, "x", 0.05),
}
