"""Where candidates act: on which frozen layouts, and under which dynamics. Episodes are run and replayed from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from maa_bench.simulators import Float64
from maa_bench.simulators.dynamics import NOMINAL, Dynamics, draw_dynamics
from maa_bench.suite import Suite


class _Settings(Protocol):
    """What a `maa_bench.protocol.Protocol` and a record's protocol both have."""

    @property
    def test_layouts(self) -> str: ...
    @property
    def mass(self) -> float: ...
    @property
    def friction(self) -> float: ...
    @property
    def damping(self) -> float: ...
    @property
    def gain(self) -> float: ...


class Start(NamedTuple):
    """How an episode starts: (layout_dim,) float64, and the factors that hold throughout."""

    layout: Float64
    dynamics: Dynamics


@dataclass(frozen=True)
class Conditions:
    """The settings of a protocol that change the world in which candidates act; picklable.

    Attributes:
        test_layouts: the layout set whose layouts are those "test" episodes that are reported: `test`, or `train`.
        ranges: how far dynamics are perturbed.
    """

    test_layouts: str = "test"
    ranges: Dynamics = NOMINAL

    @classmethod
    def of(cls, settings: _Settings) -> Conditions:
        """Those of a protocol, or of a record's."""
        ranges = Dynamics(settings.mass, settings.friction, settings.damping, settings.gain)
        return cls(settings.test_layouts, ranges)

    def start(self, suite: Suite, task: str, layout_set: str, index: int) -> Start:
        """The start of the episode that rows of results call layout `index` of `layout_set` (`select` or `test`).

        The factors depend on the suite's name, the task, the frozen layout and the ranges alone: they are the same for
        all methods, candidates and seeds.
        """
        frozen = self.test_layouts if layout_set == "test" else layout_set
        layout = suite.layouts(task, frozen)[index]
        return Start(layout, draw_dynamics(self.ranges, suite.name, task, frozen, index))


STANDARD = Conditions()
"""The test layouts, and the simulator's own dynamics."""
