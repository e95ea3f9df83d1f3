"""A transfer matrix as CSV, JSON, heat map and table; the same matrix gives the same bytes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maa_bench.errors import DataError
from maa_bench.files import write_bytes, write_json
from maa_bench.report.render import csv_text
from maa_bench.transfer import LAYOUT_SET, TransferMatrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("trained_on", "task", "mean_success", "best_checkpoint_success", "checkpoints", "layouts", "hard")
"""Of the CSV: a row a pair of tasks; and in rows of `trained_on` = `expert` the scripted expert's success."""

CELL = 0.21
"""Side of a cell of the heat map, in inches."""


def write_matrix(matrix: TransferMatrix, folder: Path) -> list[Path]:
    """Write `<suite>.<split>.json`, `.csv`, `.png` and `.svg` into a folder, which is made; returns their paths."""
    stem = folder / f"{matrix.suite}.{matrix.split}"
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("json", "csv", "png", "svg")]
    write_json(paths[0], matrix.to_json())
    write_bytes(paths[1], to_csv(matrix).encode())
    for path, content in zip(paths[2:], _drawn(matrix), strict=True):
        write_bytes(path, content)
    return paths


def read_matrix(path: Path) -> TransferMatrix:
    """The matrix of a JSON file.

    Raises:
        DataError: there is none, or it is damaged.
    """
    try:
        return TransferMatrix.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, DataError) as error:
        raise DataError(f"{path} is damaged: {error}") from None


def to_csv(matrix: TransferMatrix) -> str:
    """The matrix in long form, see `COLUMNS`."""
    rows = [list(COLUMNS)]
    mean, best = matrix.mean, matrix.best
    counts = {task: sum(source.task == task for source in matrix.sources) for task in matrix.train_tasks}
    hard = {task: str(int(task in matrix.hard)) for task in matrix.tasks}
    for i, trained_on in enumerate(matrix.train_tasks):
        for j, task in enumerate(matrix.tasks):
            numbers = [f"{mean[i, j]:.6f}", f"{best[i, j]:.6f}", str(counts[trained_on]), str(matrix.settings.layouts)]
            rows.append([trained_on, task, *numbers, hard[task]])
    for task, success in zip(matrix.tasks, matrix.expert, strict=True):
        rows.append(["expert", task, f"{success:.6f}", f"{success:.6f}", "1", str(matrix.expert_layouts), hard[task]])
    return csv_text(rows)


def summary_rows(matrix: TransferMatrix) -> list[list[str]]:
    """A row a task: name, expert's success, mean of all seen checkpoints, success of the best and its task."""
    mean, best = matrix.mean, matrix.best
    rows = []
    for j, task in enumerate(matrix.tasks):
        most = int(np.argmax(best[:, j]))
        whose = matrix.train_tasks[most] if best[most, j] else ""
        numbers = [f"{x:.2f}" for x in (matrix.expert[j], mean[:, j].mean(), best[most, j])]
        rows.append([task, *numbers, whose, "hard" if task in matrix.hard else ""])
    return rows


SUMMARY_HEADER = ("task", "expert", "seen, mean", "seen, best", "trained on", "")
"""Of `summary_rows`."""


def _drawn(matrix: TransferMatrix) -> tuple[bytes, bytes]:
    """The heat map as PNG and as SVG; nothing in them tells the time."""
    import matplotlib as mpl
    import seaborn as sns

    # The salt makes the ids inside an SVG the same every time.
    with sns.axes_style("white"), sns.plotting_context("paper"), mpl.rc_context({"svg.hashsalt": "maa-bench"}):
        figure = _figure(matrix)
        formats: dict[str, dict[str, Any]] = {"png": {"dpi": 200}, "svg": {"metadata": {"Date": None}}}
        buffers = {suffix: io.BytesIO() for suffix in formats}
        for suffix, options in formats.items():
            figure.savefig(buffers[suffix], format=suffix, **options)
    return buffers["png"].getvalue(), buffers["svg"].getvalue()


def _figure(matrix: TransferMatrix) -> Figure:
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

    n_train, n_tasks = len(matrix.train_tasks), len(matrix.tasks)
    figure = Figure(figsize=(2.6 + CELL * n_tasks, 3.0 + CELL * (2 * n_train + 1)), layout="constrained")
    ratios = [n_train, n_train, 1]
    panels = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": ratios})
    settings = matrix.settings
    _heat_map(panels[0], matrix.mean, matrix.train_tasks, f"Mean success of {len(matrix.sources)} seen checkpoints")
    _heat_map(panels[1], matrix.best, matrix.train_tasks, "Success of the best single checkpoint")
    _heat_map(panels[2], matrix.expert[None], ("expert",), "")
    for panel in panels[:2]:
        panel.set_ylabel("trained on")
    panels[2].set_xticks(np.arange(n_tasks) + 0.5, matrix.tasks, rotation=90)
    for label in panels[2].get_xticklabels():
        if label.get_text() in matrix.hard:
            label.set_color("firebrick")
            label.set_fontweight("bold")
    panels[2].set_xlabel(
        f"rolled out on, {settings.layouts} {LAYOUT_SET} layouts each (bold and red: {len(matrix.hard)} hard tasks)"
    )
    colours = ScalarMappable(cmap=panels[0].collections[0].cmap, norm=panels[0].collections[0].norm)
    figure.colorbar(colours, ax=list(panels), label="success", fraction=0.02, pad=0.01)
    figure.suptitle(f"Transfer of seen checkpoints, {matrix.suite}, split {matrix.split}")
    return figure


def _heat_map(axes: Axes, values: Any, rows: tuple[str, ...], title: str) -> None:
    import seaborn as sns

    sns.heatmap(
        values, vmin=0, vmax=1, cmap="YlGnBu", cbar=False, linewidths=0.3, linecolor="0.85", ax=axes, yticklabels=rows
    )
    axes.set_title(title, loc="left")
    axes.tick_params(axis="y", rotation=0, length=0)
    axes.tick_params(axis="x", length=0)
    for spine in axes.spines.values():
        spine.set(visible=True, color="0.6", linewidth=0.5)
