"""Which simulators there are, a row each: what is asked of one without importing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from maa_bench.simulators.dynamics import SETTINGS


@dataclass(frozen=True)
class Entry:
    """A row.

    Attributes:
        module: where it is; it offers what `maa_bench.simulators.Simulator` says.
        dynamics: the settings of `Dynamics` that it can perturb; here, so that a protocol is refused at once.
        units: what observations and actions are, with units, for the cards of datasets.
        optional: whether only an extra brings its package; package, extra and simulator are then of one name.
        libraries: of the system, without which its import fails: from a part of their name to what installs them.
    """

    module: str
    dynamics: tuple[str, ...]
    units: str
    optional: bool = False
    libraries: Mapping[str, str] = field(default_factory=dict)


SIMULATORS = {
    "metaworld": Entry(
        "maa_bench.simulators.metaworld",
        SETTINGS,
        "Observations: hand position (3 numbers, metres), gripper opening (1, from 0 to 1), position (3, metres) and "
        "orientation (4, a quaternion, no unit) of the first object, the same 7 of the second, zeros for what a task "
        "has not; then these 18 numbers of the step before; then the goal's position (3, metres). Actions: the hand's "
        "wanted movement along x, y and z (1 = 1 cm a step), and the gripper's effort. A step is 12.5 ms: 5 physics "
        "steps of 2.5 ms.",
    ),
    "robosuite": Entry(
        "maa_bench.simulators.robosuite",
        SETTINGS,
        "Observations: 45 numbers, listed with units in tasks/robosuite-v1.toml. Actions: displacement (1 = 5 cm) and "
        "rotation vector (1 = 0.5 rad) of the end effector in the world's frame, and the gripper (below 0 opens, above "
        "0 closes). A step is 50 ms: 25 physics steps of 2 ms.",
        optional=True,
        libraries={"libGL": "apt-get install libgl1"},  # of OpenCV, which robosuite imports
    ),
    "toy": Entry(
        "maa_bench.simulators.toy",
        ("mass", "damping", "gain"),
        "Observations: position (2 numbers) and velocity (2) of a point mass in the plane, without a unit. Actions: "
        "its wanted velocity (2).",
    ),
}


def optional_simulators() -> tuple[str, ...]:
    """Those that an extra of the same name brings."""
    return tuple(name for name, entry in SIMULATORS.items() if entry.optional)
