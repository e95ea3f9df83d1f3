"""Figures of a dataset: success along training, a map of the parameters, and how soon episodes succeed.

Each is a PNG and an SVG with the same bytes for the same dataset: nothing is drawn at random, and nothing tells the
time. No window system is needed, and matplotlib's global state is left as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maa_bench.dataset.peek import look
from maa_bench.dataset.schema import ROLES
from maa_bench.dataset.store import CheckpointDataset, params_of
from maa_bench.files import write_bytes
from maa_bench.report.drawing import file_bytes, style
from maa_bench.report.pca import principal_components

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 6
"""Tasks beside one another where each has a panel of its own."""

PER_PANEL = 10
"""Tasks coloured in one panel of the map: as many colours as everybody can tell apart."""

MAP_ROWS_A_RUN, MAP_ROWS = 40, 2000
"""The map shows at most so many checkpoints of a run, evenly along its training, and at most so many of all runs."""

MARKERS = "osD^v<>PX*phHd8"
"""Of run 00, 01, ...; then from the beginning."""

MARKER_SIZES = {"train": 1.6, "validation": 2.8, "prompt": 4.0}
"""Most checkpoints lie on one line, success 1: the larger ones are drawn below, so that all roles show."""


def write_plots(data: CheckpointDataset, folder: Path) -> list[Path]:
    """Write all figures into a folder, which is made; returns their paths.

    Raises:
        DataError: a shard is missing, truncated or cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = _light_columns(data)
    paths: list[Path] = []
    with style():
        figures = {
            "success_by_step": success_by_step(rows),
            "first_success": first_success(rows),
            "parameter_map": parameter_map(*_sampled_params(data), _panels(data)),
        }
        for name, figure in figures.items():
            for file, content in file_bytes(figure, name).items():
                paths.append(folder / file)
                write_bytes(paths[-1], content)
    return paths


def _light_columns(data: CheckpointDataset) -> pd.DataFrame:
    """One row a checkpoint: task, role, run, step, success, first_success_steps."""
    import pandas as pd

    parts = []
    for shard, entry in data.entries("checkpoints").items():
        part = look(data, shard, ["step", "success", "first_success_steps"]).to_pandas()
        parts.append(part.assign(task=entry["task"], role=entry["role"], run=entry["run"]))
    return pd.concat(parts, ignore_index=True)


def _sampled_params(data: CheckpointDataset) -> tuple[pd.DataFrame, Any]:
    """Some checkpoints of every run: their task, role and run; and their parameters (n, n_params) float32."""
    import pandas as pd
    import pyarrow as pa

    entries = {shard: entry for shard, entry in data.entries("checkpoints").items() if entry["rows"]}
    most = max(2, min(MAP_ROWS_A_RUN, MAP_ROWS // len(entries)))
    names, params = [], []
    for shard, entry in entries.items():
        chosen = np.unique(np.linspace(0, entry["rows"] - 1, min(most, entry["rows"])).round().astype(int))
        table = look(data, shard, ["params"]).take(pa.array(chosen))
        params.append(params_of(table, data.suite.policy.n_params))
        names += [{name: entry[name] for name in ("task", "role", "run")}] * len(chosen)
    return pd.DataFrame(names), np.concatenate(params)


def _panels(data: CheckpointDataset) -> dict[str, list[str]]:
    """Tasks of each panel of the map, by its title: those with train runs, then the others, a few at a time."""
    trained = {str(entry["task"]) for entry in data.entries("checkpoints", role="train").values()}
    kinds = {
        "tasks to train on": [task for task in data.tasks if task in trained],
        "tasks with prompts only": [task for task in data.tasks if task not in trained],
    }
    panels: dict[str, list[str]] = {}
    for title, tasks in kinds.items():
        parts = [tasks[i : i + PER_PANEL] for i in range(0, len(tasks), PER_PANEL)]
        panels |= {title if len(parts) == 1 else f"{title} ({n}/{len(parts)})": p for n, p in enumerate(parts, 1)}
    return panels


def _role_colors() -> dict[str, Any]:
    import seaborn as sns

    return dict(zip(ROLES, sns.color_palette("colorblind", len(ROLES)), strict=True))


def success_by_step(rows: pd.DataFrame) -> Figure:
    """Measured success of every checkpoint against its gradient step: a panel a task, a line a run.

    Args:
        rows: columns task, role, run, step, success.
    """
    import seaborn as sns
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    tasks, colors = list(dict.fromkeys(rows["task"])), _role_colors()
    columns = min(COLUMNS, len(tasks))
    lines = -(-len(tasks) // columns)
    figure = Figure(figsize=(1.9 * columns + 0.6, 1.5 * lines + 0.8), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes, task in zip(grid.flat, tasks, strict=False):
        own = rows[rows["task"] == task]
        for role in (role for role in reversed(ROLES) if role in set(own["role"])):
            sns.lineplot(
                own[own["role"] == role], x="step", y="success", units="run", estimator=None, sort=False, ax=axes,
                color=colors[role], marker="o", markersize=MARKER_SIZES[role], markeredgewidth=0, linewidth=0.7,
            )  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.set(title=task, xlabel="", ylabel="", ylim=(-0.07, 1.07), yticks=[0, 0.5, 1])
    if 0 < 10 * rows["step"].min() <= rows["step"].max():  # early checkpoints lie close together
        grid[0, 0].set_xscale("log")
    for axes in grid.flat[len(tasks) :]:
        axes.set_visible(False)
    for number in range(columns):
        last = grid[(len(tasks) - 1 - number) // columns, number]
        last.tick_params(labelbottom=True)
    figure.supxlabel("gradient step", fontsize="medium")
    figure.supylabel("success", fontsize="medium")
    shown = [role for role in ROLES if role in set(rows["role"])]
    handles = [Line2D([], [], color=colors[role], marker="o", markersize=4, label=f"{role} run") for role in shown]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(shown), frameon=False)
    return figure


def first_success(rows: pd.DataFrame) -> Figure:
    """When the verification episodes of checkpoints of success 1 succeed first: a box a task and role.

    Args:
        rows: columns task, role, success, first_success_steps.
    """
    import seaborn as sns
    from matplotlib.figure import Figure

    steps = rows[rows["success"] == 1.0].explode("first_success_steps").astype({"first_success_steps": int})
    tasks = list(dict.fromkeys(rows["task"]))
    shown = [role for role in ROLES if role in set(rows["role"])]
    figure = Figure(figsize=(6.5, 0.34 * len(tasks) + 1.0), layout="constrained")
    axes = figure.subplots()
    sns.boxplot(
        steps, x="first_success_steps", y="task", hue="role", order=tasks, hue_order=shown, ax=axes,
        palette=_role_colors(), whis=(5, 95), showfliers=False, linewidth=0.8, width=0.8, gap=0.15, saturation=1,
    )  # fmt: skip
    axes.set(
        title="checkpoints of success 1; box: quartiles, whiskers: 5 and 95 %",
        xlabel="steps up to the first success",
        ylabel="",
    )
    axes.set_xlim(left=0)
    sns.move_legend(axes, "upper left", bbox_to_anchor=(1.01, 1), title="runs", frameon=False)
    return figure


def parameter_map(names: pd.DataFrame, params: Any, panels: dict[str, list[str]]) -> Figure:
    """The first two principal components of the parameters: colour is the task, marker the number of the run.

    Above as they are, which shows runs: initial weights differ more than what training makes of them. Below less the
    mean of all runs of the same name, which have the same seed, over tasks: what is left is what the tasks did.

    All panels of a line have the same axes; the tasks of other panels stand there in grey.

    Args:
        names: columns task, role, run; a row a checkpoint.
        params: (n, n_params) float32; overwritten.
        panels: tasks by title.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.9 * len(panels), 7.6), layout="constrained")
    grid = figure.subplots(2, len(panels), sharex="row", sharey="row", squeeze=False)
    for line, what in zip(grid, ("parameters", "parameters less their seed's mean"), strict=True):
        if what != "parameters":
            for rows in names.groupby("run").indices.values():
                params[rows] -= params[rows].mean(axis=0)
        scores, shares = principal_components(params, 2)
        for axes, (title, tasks) in zip(line, panels.items(), strict=True):
            _draw_map(axes, names, scores, tasks)
            axes.set(title=title, xlabel=f"component 1 ({shares[0]:.0%} of the variance)", ylabel="")
        line[0].set_ylabel(f"{what}\ncomponent 2 ({shares[1]:.0%})")
    for axes in grid[1]:
        axes.set_title("")
        axes.get_legend().remove()
    return figure


def _draw_map(axes: Axes, names: pd.DataFrame, scores: Any, tasks: Sequence[str]) -> None:
    import seaborn as sns
    from matplotlib.lines import Line2D

    colors = dict(zip(tasks, sns.color_palette("colorblind", len(tasks)), strict=True))
    own = names["task"].isin(tasks).to_numpy()
    axes.scatter(scores[~own, 0], scores[~own, 1], s=4, color="0.88", linewidths=0)
    points = names[own].assign(x=scores[own, 0], y=scores[own, 1])
    runs = sorted(set(points["run"]), key=_number)
    markers = {run: MARKERS[_number(run) % len(MARKERS)] for run in runs}
    sns.scatterplot(
        points, x="x", y="y", hue="task", style="run", ax=axes, palette=colors, markers=markers, legend=False,
        s=14, alpha=0.85, linewidth=0,
    )  # fmt: skip
    numbers = sorted({_number(run) for run in runs})
    handles = [Line2D([], [], color=colors[task], marker="s", linestyle="", label=task) for task in tasks]
    handles += [
        Line2D([], [], color="0.3", marker=MARKERS[n % len(MARKERS)], linestyle="", markersize=4, label=f"run {n:02d}")
        for n in numbers
    ]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small")


def _number(run: str) -> int:
    """`train-03`: 3."""
    return int(run.rpartition("-")[2])
