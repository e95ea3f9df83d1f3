"""How methods look in figures: methods under test in colours that everybody can tell apart, a few to a panel; controls
in greys, dashed, in every panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from maa_bench.report.drawing import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

A_PANEL = 6
"""Methods under test in one panel, at most."""

_MARKERS = "osD^vP"
_DASHES = ((4, 1.5), (1, 1), (6, 1.5, 1, 1.5), (2, 2), (8, 2), (3, 1, 1, 1), (8, 1.5, 1, 1.5, 1, 1.5), (1, 3))
_GREYS = ("0.2", "0.5", "0.35", "0.65")


@dataclass(frozen=True)
class Look:
    """How one method is drawn: `plot`'s arguments."""

    label: str
    color: Any
    marker: str
    linestyle: Any
    linewidth: float

    def line(self) -> dict[str, Any]:
        """For a line with a marker at each point."""
        return {
            "color": self.color, "linestyle": self.linestyle, "linewidth": self.linewidth, "marker": self.marker,
            "markersize": 3.5, "markeredgewidth": 0,
        }  # fmt: skip

    def handle(self, markers: bool = True) -> Line2D:
        """For a legend."""
        from matplotlib.lines import Line2D

        how = self.line() if markers else self.line() | {"marker": ""}
        return Line2D([], [], label=self.label, **how)


def looks(names: Sequence[str]) -> list[Look]:
    """Of the methods of one panel, at most `A_PANEL`."""
    import seaborn as sns

    colors = sns.color_palette("colorblind", 10)
    chosen = [colors[i] for i in (0, 1, 2, 4, 3, 9)]
    return [
        Look(plain(name), color, marker, "-", 1.4) for name, color, marker in zip(names, chosen, _MARKERS, strict=False)
    ]


def grey_looks(names: Sequence[str]) -> list[Look]:
    """Of controls and ceilings."""
    return [
        Look(plain(name), _GREYS[i % len(_GREYS)], "", (0, _DASHES[i % len(_DASHES)]), 1.1)
        for i, name in enumerate(names)
    ]


def in_panels(names: Sequence[str]) -> list[list[str]]:
    """Names in their order, in as few panels as needed, about as many in each; one empty panel for none."""
    count = max(1, -(-len(names) // A_PANEL))
    size = -(-len(names) // count)
    return [list(names[i * size : (i + 1) * size]) for i in range(count)]


def share_axis(axes: Axes) -> None:
    """Success runs from 0 to 1."""
    axes.set(ylim=(-0.03, 1.03), yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set_yticklabels(["0", ".25", ".5", ".75", "1"])
