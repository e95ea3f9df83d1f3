"""`maa-bench data info`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maa_bench.cli.options import DEFAULT_SUITE, CacheDirOption, DatasetOption, JsonOption, ScaleOption, SuiteOption

if TYPE_CHECKING:
    from maa_bench.dataset.diversity import Diversity, Spread


def info(
    dataset: DatasetOption = None,
    suite: SuiteOption = DEFAULT_SUITE,
    scale: ScaleOption = "small",
    diversity: Annotated[
        bool,
        typer.Option("--diversity", help="Measure how different the checkpoints of success 1 are: seconds a GB."),
    ] = False,
    plots: Annotated[
        Path | None,
        typer.Option("--plots", help="A folder for figures, as PNG and SVG.", show_default=False),
    ] = None,
    cache_dir: CacheDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Describe a dataset: checkpoints by task, role and success, prompts, size; how diverse they are; figures."""
    from maa_bench.cli.data.find import find_dataset
    from maa_bench.cli.output import print_json
    from maa_bench.dataset.diversity import diversity as diversity_of
    from maa_bench.dataset.summary import summary

    data = find_dataset(dataset, suite, scale, cache_dir)
    about = summary(data)
    measured = [diversity_of(data, task) for task in data.tasks] if diversity else []
    figures: list[Path] = []
    if plots is not None:
        from maa_bench.report.dataset_plots import write_plots

        figures = write_plots(data, plots)
    if as_json:
        if diversity:
            about["diversity"] = [asdict(one) for one in measured]
        if plots is not None:
            about["plots"] = [str(path) for path in figures]
        print_json(about)
        return
    _print_counts(about)
    if diversity:
        _print_diversity(measured)
    if figures:
        print()
        print(*figures, sep="\n")


def _print_counts(about: dict[str, Any]) -> None:
    from maa_bench.cli.output import print_table

    print(f"dataset {about['id']}, {about['bytes'] / 1e6:.1f} MB, policies by {about['producer']}")
    print(f"{about['folder']}\n")
    numbers = ("runs", "rows", "verified", "partial", "failing", "success", "prompts")
    print_table(("task", "role", *numbers), list(_count_lines(about["tasks"])), right=numbers)
    print(
        f"\n{about['rows']:,} checkpoints: {about['verified']:,} verified (success 1), {about['partial']:,} partial, "
        f"{about['failing']:,} failing; {about['transitions']:,} transitions\n"
        f"dropped: {about['duplicates']:,} near-duplicates, {about['surplus']:,} of a kind that their run had enough "
        f"of\n{about['environment_steps']:,} environment steps of experts and of measuring\n"
        "success: mean over rows; prompts: of trained + partial policies + the expert"
    )


def _count_lines(tasks: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    lines = []
    for task in tasks:
        for role in dict.fromkeys(run["role"] for run in task["runs"]):
            runs = [run for run in task["runs"] if run["role"] == role]
            rows = sum(run["rows"] for run in runs)
            success = sum(run["rows"] * run["mean_success"] for run in runs if run["rows"])
            counts = [sum(run[kind] for run in runs) for kind in ("rows", "verified", "partial", "failing")]
            mean = f"{success / rows:.2f}" if rows else "-"
            prompts = " + ".join(map(str, task["prompts"].values())) if role == "prompt" else "-"
            lines.append((task["task"], role, str(len(runs)), *map(str, counts), mean, prompts))
    return lines


def _print_diversity(measured: list[Diversity]) -> None:
    from maa_bench.cli.output import print_table

    print("\nparameters: relative distance, median [5 %, 95 %]")
    numbers = ("within runs", "between runs", "nearest of its run")
    lines = [
        (one.task, _spread(one.params_within), _spread(one.params_between), _spread(one.nearest)) for one in measured
    ]
    print_table(("task", *numbers), lines, right=numbers)
    print("\nbehaviour: first success in steps, distance of trajectories on one layout; median [5 %, 95 %]")
    numbers = ("first success", "within runs", "between runs")
    lines = [
        (one.task, _spread(one.first_success, 0), _spread(one.trajectories_within), _spread(one.trajectories_between))
        for one in measured
    ]
    print_table(("task", *numbers), lines, right=numbers)
    print("\nof checkpoints of success 1; -: no two that can be compared")


def _spread(spread: Spread | None, digits: int = 3) -> str:
    if spread is None:
        return "-"
    return f"{spread.median:.{digits}f} [{spread.low:.{digits}f}, {spread.high:.{digits}f}]"
