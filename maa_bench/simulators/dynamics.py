"""Perturbed dynamics: factors on what a simulated world weighs, rubs and brakes, and how strongly it is driven."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass, fields
from functools import cached_property

DIGITS = 6
"""Factors are rounded to as many decimals: powers differ in their last bits from one C library to another."""


@dataclass(frozen=True)
class Dynamics:
    """A factor a setting; 1 leaves it as the simulator has it. What each one scales is said by the simulator.

    As ranges of factors, a setting's number f >= 1 stands for all factors from 1/f to f.

    Attributes:
        mass: of bodies, with their moments of inertia.
        friction: of contacts and joints.
        damping: of joints, or of the medium.
        gain: of what actions drive.
    """

    mass: float = 1.0
    friction: float = 1.0
    damping: float = 1.0
    gain: float = 1.0

    @cached_property
    def perturbed(self) -> tuple[str, ...]:
        """Names of the settings that are not 1."""
        return tuple(name for name, value in zip(SETTINGS, astuple(self), strict=True) if value != 1)


SETTINGS = tuple(field.name for field in fields(Dynamics))
NOMINAL = Dynamics()


def draw_dynamics(ranges: Dynamics, *place: str | int) -> Dynamics:
    """Factors drawn log-uniformly from [1/f, f], independently for each setting, and the same whenever they are drawn.

    Each setting has one number u in [-1, 1), made of the place alone, and its factor is f**u: a wider range moves the
    same place farther in the same direction.

    Args:
        ranges: f of each setting.
        place: what the factors belong to: suite, task, layout set and number of a layout.
    """
    return Dynamics(
        *(
            round(f ** _uniform(*place, name), DIGITS) if f != 1 else 1.0
            for name, f in zip(SETTINGS, astuple(ranges), strict=True)
        )
    )


def _uniform(*place: str | int) -> float:
    """A number in [-1, 1): the first 53 bits of a hash, as a fraction."""
    digest = hashlib.sha256(json.dumps(place).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**52 - 1
