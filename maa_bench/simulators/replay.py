"""Recorded episodes of MuJoCo, whose physics alone is run once more and held to what it was."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maa_bench.simulators import Float64
from maa_bench.simulators.mujoco_calls import libmujoco


class ReplayMismatchError(Exception):
    """What was timed is not the recorded episode, or what was recorded is not what stock does."""


@dataclass(frozen=True)
class Start:
    """The state after a reset: a copy of the data, and of the model's arrays that a layout changes, by name."""

    data: Any
    placed: dict[str, Float64]

    @classmethod
    def of(cls, model: Any, data: Any, placed: Sequence[str]) -> Start:
        """That of now."""
        return cls(copy.copy(data), {name: getattr(model, name).copy() for name in placed})

    def restore(self, model: Any, data: Any) -> None:
        """Make it so again."""
        libmujoco().mj_copyData(data._address, model._address, self.data._address)
        for name, values in self.placed.items():
            getattr(model, name)[:] = values


@dataclass(frozen=True)
class Recording:
    """One episode.

    Attributes:
        start: the state after the reset.
        inputs: (steps, ...) float64: what the physics was given, step by step; the simulator says what that is.
        final_qpos: positions after the last step.
        first_success: the step of the first success, or -1.
    """

    start: Start
    inputs: Float64
    final_qpos: Float64
    first_success: int

    def check(self, data: Any) -> None:
        """Hold what a replay has led to against the end of the episode.

        Raises:
            ReplayMismatchError: it is another.
        """
        if data.qpos.tobytes() != self.final_qpos.tobytes():
            raise ReplayMismatchError(f"the replayed physics of {len(self.inputs)} steps ended elsewhere")
