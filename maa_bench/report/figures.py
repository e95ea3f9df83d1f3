"""Figures of the leaderboard: curves, performance profiles, cost against success, memorisation.

All take plain numbers by method and draw at the width of a page. Of many methods a few share a panel, in the order of
the tables, and the controls stand in every panel, in greys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from maa_bench.metrics import Float64
from maa_bench.report.curve_tables import value_text
from maa_bench.report.curves import Axis, Value
from maa_bench.report.drawing import plain
from maa_bench.report.looks import Look, grey_looks, in_panels, looks, share_axis
from maa_bench.stats.runs import Band

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 7.0
"""Inches: the text of a page."""

LEAST_SECONDS = 0.01
"""What took less stands there: a logarithm needs a bound."""

_BAND = 0.13
"""Alpha: six bands may lie on one another."""

_CONTROL_WIDTH = 1.7
"""Inches that a control's name takes in the legend."""

_LEADER = {"arrowstyle": "-", "color": "0.75", "linewidth": 0.5, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}


@dataclass(frozen=True)
class Curve:
    """One method in one panel; all (n_points,) float64, NaN where there is no point."""

    value: Float64
    lo: Float64
    hi: Float64


def axis_curves(axis: Axis) -> dict[str, Curve]:
    """The aggregate mean of every method along an axis."""
    curves = {}
    for line in axis.lines:
        cells = [None if record is None else record.metrics.aggregate.mean for record in line.records]
        ends = [(np.nan,) * 3 if cell is None else (cell.value, *cell.ci) for cell in cells]
        curves[line.method] = Curve(*np.array(ends, dtype=np.float64).T)
    return curves


def curves_figure(axes: Sequence[Axis], methods: Sequence[str], controls: Sequence[str]) -> Figure:
    """Success along each axis, with 95 % bands of the methods: a column an axis, a row a few methods.

    Values stand evenly apart, in their order, whatever lies between them. With one axis, the rows stand beside one
    another.
    """
    panels = in_panels(methods)
    figure, grid = _grid(len(axes), len(panels))
    greys = dict(zip(controls, grey_looks(controls), strict=True))
    for row, names in zip(grid, panels, strict=True):
        drawn = greys | dict(zip(names, looks(names), strict=True))
        for panel, axis in zip(row, axes, strict=True):
            places = np.arange(len(axis.values))
            for name, curve in axis_curves(axis).items():
                if name in drawn:
                    _draw(panel, places, curve, drawn[name], band=name in names)
            panel.set_xticks(places, [_tick(value) for value in axis.values], fontsize="small")
            panel.margins(x=0.06)
            panel.set_xlabel(axis.setting)
    _finish(figure, grid, panels, greys, "success (mean)")
    return figure


def profile_figure(
    thresholds: Float64, profiles: Mapping[str, Band], methods: Sequence[str], controls: Sequence[str]
) -> Figure:
    """Share of runs (a training seed on a task) whose success is above each threshold, with bands of the methods.

    Args:
        thresholds: (n_points,) ascending.
        profiles: (n_points,) by method; without a width, as of a single training seed, no band is drawn.
        methods, controls: which, in order.
    """
    panels = in_panels(methods)
    figure, grid = _grid(1, len(panels))
    greys = dict(zip(controls, grey_looks(controls), strict=True))
    for (panel,), names in zip(grid, panels, strict=True):
        for name, look in (greys | dict(zip(names, looks(names), strict=True))).items():
            if name not in profiles:
                continue
            value, lo, hi = profiles[name]
            panel.plot(thresholds, value, drawstyle="steps-post", **(look.line() | {"marker": ""}))
            if name in names and (hi > lo).any():
                panel.fill_between(thresholds, lo, hi, step="post", color=look.color, alpha=_BAND, linewidth=0)
        panel.set(xlabel="success above", xticks=[0, 0.25, 0.5, 0.75, 1])
        panel.set_xticklabels(["0", ".25", ".5", ".75", "1"])
    _finish(figure, grid, panels, greys, "share of runs and tasks", markers=False)
    return figure


def cost_figure(points: Mapping[str, tuple[float, float]], methods: Sequence[str], controls: Sequence[str]) -> Figure:
    """Seconds to fit and adapt, of a training seed, against success: a point a method, named at the right.

    Args:
        points: (seconds, success in [0, 1]) by method.
        methods, controls: which, in order.
    """
    import seaborn as sns
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, max(2.8, 0.165 * len(points) + 0.7)), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    color = sns.color_palette("colorblind")[0]
    named = sorted(points, key=lambda name: (-points[name][1], points[name][0], name))
    heights = _spread([points[name][1] for name in named], 1.06 / max(1, len(named)))
    for name, height in zip(named, heights, strict=True):
        seconds, success = max(points[name][0], LEAST_SECONDS), points[name][1]
        grey = name in controls
        axes.plot(
            [seconds], [success], marker="D" if grey else "o", color="0.45" if grey else color, markersize=5,
            markeredgecolor="white", markeredgewidth=0.6, linestyle="", zorder=3,
        )  # fmt: skip
        axes.annotate(
            plain(name), xy=(seconds, success), xytext=(1.03, height), textcoords=axes.get_yaxis_transform(),
            va="center", fontsize="small", color="0.35" if grey else "black", annotation_clip=False,
            fontstyle="italic" if grey else "normal",
            arrowprops=_LEADER,
        )  # fmt: skip
    share_axis(axes)
    axes.set(xlabel="seconds to fit and adapt, of one training seed", ylabel="success (mean)")
    axes.margins(x=0.08)
    return figure


def memorisation_figure(points: Mapping[str, tuple[Float64, Float64]]) -> Figure:
    """Each candidate's distance to the nearest training checkpoint against its success: a panel a method.

    Args:
        points: (distances, successes), (n_candidates,) each, by method, in order.
    """
    import seaborn as sns
    from matplotlib.figure import Figure

    columns = min(4, len(points))
    rows = -(-len(points) // columns)
    figure = Figure(figsize=(WIDTH if columns > 1 else WIDTH / 2, 1.55 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    color = sns.color_palette("colorblind")[0]
    for axes, (name, (distance, success)) in zip(grid.flat, points.items(), strict=False):
        axes.scatter(distance, success, s=7, color=color, alpha=0.25, linewidths=0, rasterized=True)
        axes.set_title(plain(name, 26), fontsize="small")
        share_axis(axes)
    for axes in grid.flat[len(points) :]:
        axes.set_visible(False)
    for column in range(columns):
        grid[(len(points) - 1 - column) // columns, column].tick_params(labelbottom=True)
    farthest = max(float(distance.max()) for distance, _ in points.values())
    grid[0, 0].set_xlim(-0.03 * (farthest or 1), 1.03 * (farthest or 1))  # Copies, at 0, are seen whole.
    figure.supxlabel("distance to the nearest training checkpoint, in lengths of that checkpoint", fontsize="medium")
    figure.supylabel("success of the candidate", fontsize="medium")
    return figure


def _grid(n_axes: int, n_panels: int) -> tuple[Figure, Any]:
    """A figure and its panels, (n_panels, n_axes); those of one axis stand beside one another."""
    from matplotlib.figure import Figure

    if n_axes == 1:
        figure = Figure(figsize=(max(3.4, min(WIDTH, 2.4 * n_panels)), 3.9), layout="constrained")
        return figure, figure.subplots(1, n_panels, sharey=True, squeeze=False).reshape(n_panels, 1)
    figure = Figure(figsize=(WIDTH, 1.75 * n_panels + 0.7), layout="constrained")
    return figure, figure.subplots(n_panels, n_axes, sharex="col", sharey=True, squeeze=False)


def _tick(value: Value) -> str:
    """`.05`, `16`, `expert`."""
    text = value_text(value)
    return plain(text, 12) if isinstance(value, str) else text.removeprefix("0") if text != "0" else text


def _draw(axes: Axes, x: Any, curve: Curve, look: Look, band: bool) -> None:
    axes.plot(x, curve.value, **look.line())
    if band:
        axes.fill_between(x, curve.lo, curve.hi, color=look.color, alpha=_BAND, linewidth=0)


def _finish(
    figure: Figure, grid: Any, panels: Sequence[Sequence[str]], greys: Mapping[str, Look], y: str, markers: bool = True
) -> None:
    """Legends: of each panel's methods under it, or at the right of its row; of the controls below all."""
    beside = grid.shape[1] == 1
    for row, names in zip(grid, panels, strict=True):
        handles = [look.handle(markers) for look in looks(names)]
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)} if beside else {
            "loc": "upper left", "bbox_to_anchor": (1.02, 1.04)
        }  # fmt: skip
        if handles:
            row[-1].legend(handles=handles, frameon=False, fontsize="small", handlelength=2.2, **place)
        for axes in row:
            share_axis(axes)
        if not beside:
            for axes in row:
                axes.label_outer()
    if greys:
        handles = [look.handle() for look in greys.values()]
        ncols = max(1, int(figure.get_figwidth() / _CONTROL_WIDTH))
        figure.legend(
            handles=handles, loc="outside lower center", ncols=ncols, frameon=False, fontsize="small", handlelength=3
        )
    for axes in grid[:1, 0] if beside else grid[:, 0]:
        axes.set_ylabel(y)


def _spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places of labels, near the wanted ones (descending), but at least `gap` apart and from about 0 to about 1."""
    places: list[float] = []
    for height in wanted:
        places.append(min(height, places[-1] - gap) if places else min(height, 1.0))
    for i in reversed(range(len(places))):
        least = places[i + 1] + gap if i + 1 < len(places) else 0.0
        places[i] = max(places[i], least)
    return places
