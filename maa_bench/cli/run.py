"""`maa-bench run`: the main job."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from maa_bench.cli.options import (
    DEFAULT_RESULTS,
    DEFAULT_SUITE,
    AddressOption,
    BackendOption,
    CacheDirOption,
    JsonOption,
    QuietOption,
    ResultsDirOption,
    ScaleOption,
    SuiteOption,
    WorkersOption,
    examples,
    names,
)
from maa_bench.protocol import Protocol

if TYPE_CHECKING:
    from maa_bench.main_job import Execution, Outcome
    from maa_bench.plan import Plan
    from maa_bench.record import RunRecord
    from maa_bench.suite import Scale

ALL = "all"
"""`--split all`: each of the suite's splits."""


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("maa-bench run", "Make-An-Agent, unseen Meta-World tasks"),
            ("maa-bench run --suite toy-v1 --split all", "the toy suite, in seconds"),
            ("maa-bench run --split seen --tasks window-open,door-open", "two tasks only"),
            ("maa-bench run --method my_module:MyMethod --seeds 3", "your own method, 3 training seeds"),
            ("maa-bench run --method all", "every installed method, in one table"),
            ("maa-bench run --split all --dry-run", "what it would do, and its cost"),
            ("maa-bench run --backend ray --address auto", "on a Ray cluster, see docs/cluster.md"),
            ("maa-bench run --suite toy-v1 --json > record.json", "the record, for programs"),
        )
    )(run)


def run(
    method: Annotated[
        list[str],
        typer.Option(
            "--method", help="Registered names, package.module:Class, or all; with commas between, or repeated."
        ),
    ] = ["make_an_agent"],  # noqa: B006 - typer copies it
    suite: SuiteOption = DEFAULT_SUITE,
    split: Annotated[str, typer.Option("--split", help="A split of the suite (seen, unseen), or all.")] = "unseen",
    tasks: Annotated[
        list[str] | None,
        typer.Option("--tasks", help="Only these test tasks: a,b or repeated.", show_default="all of the split"),
    ] = None,
    shots: Annotated[int, typer.Option("--shots", help="Prompts of each test task.")] = Protocol.shots,
    candidates: Annotated[
        int, typer.Option("--candidates", help="Agents generated for each task and seed.")
    ] = Protocol.candidates,
    episodes: Annotated[
        int, typer.Option("--episodes", help="Test layouts, one episode each, a candidate.")
    ] = Protocol.episodes,
    select_episodes: Annotated[
        int, typer.Option("--select-episodes", help="Layouts a candidate that may choose between candidates.")
    ] = Protocol.select_episodes,
    seeds: Annotated[int, typer.Option("--seeds", help="Number of training seeds.")] = 1,
    seed: Annotated[int, typer.Option("--seed", help="The first of them.")] = 0,
    workers: WorkersOption = None,
    overwrite: Annotated[
        str,
        typer.Option(
            "--overwrite", help="Cells to compute: never (none), missing, failed (these and missing) or always (all)."
        ),
    ] = "missing",
    cell_timeout: Annotated[
        float | None,
        typer.Option(
            "--cell-timeout",
            help="Seconds that a fit, one task's generation or one candidate's episodes may take.",
            show_default="any",
        ),
    ] = None,
    backend: BackendOption = "local",
    address: AddressOption = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            help="A dataset's folder, or the id of one in the cache.",
            show_default="the suite's own, built if need be",
        ),
    ] = None,
    prompt_source: Annotated[
        str, typer.Option("--prompt-source", help="Whose trajectories the prompts are: trained, partial or expert.")
    ] = Protocol.prompt_source,
    scale: ScaleOption = Protocol.scale,
    device: Annotated[
        str, typer.Option("--device", help="Where methods train and generate: cpu or cuda.")
    ] = Protocol.device,
    results_dir: ResultsDirOption = DEFAULT_RESULTS,
    cache_dir: CacheDirOption = None,
    as_json: JsonOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells and their cost; do nothing.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Fit methods and the controls, generate policies from prompts, roll them out, record and tabulate.

    The dataset is built first if the cache has none. Finished work is kept: the same command goes on where it was.
    """
    from maa_bench.cache import dataset_folder, default_cache_dir
    from maa_bench.cli.output import stdout_reserved
    from maa_bench.main_job import Backend, Execution, Overwrite, run_all
    from maa_bench.plan import make_plan
    from maa_bench.progress import Progress

    if any(":" in name for name in method):
        # A script's own folder is on the path, not the user's; last, so that nothing installed is shadowed.
        sys.path.append(str(Path.cwd()))
    protocol = Protocol(cast("Scale", scale), shots, candidates, episodes, select_episodes, device, prompt_source)
    how = Execution(workers, cast("Overwrite", overwrite), cell_timeout, cast("Backend", backend), address)
    cache_dir = cache_dir or default_cache_dir()
    method = [name.strip() for names in method for name in names.split(",")]
    with stdout_reserved():  # a method's module may print
        # Every split is checked before work on the first begins.
        parts = _parts(suite, split, tasks)
        given = None if dataset is None else dataset_folder(dataset, cache_dir)
        plans = [make_plan(method, suite, name, wanted, protocol, seeds, seed, given) for name, wanted in parts]
    if dry_run:
        _show_plans(plans, cache_dir, how, as_json)
        return
    _check_writable(results_dir)
    progress = Progress(quiet)
    if plans[0].suite.notice:
        progress.note(plans[0].suite.notice)
    with stdout_reserved():
        outcomes = [
            run_all(plan, how=how, results_dir=results_dir, cache_dir=cache_dir, progress=progress) for plan in plans
        ]
    if as_json:
        _print_json(plans, outcomes, one=split != ALL)
    else:
        _print_tables([outcome.records for outcome in outcomes], results_dir)
    failures = [line for outcome in outcomes for line in outcome.failures]
    if failures:
        print("\n".join(f"FAILED {line}" for line in failures), file=sys.stderr)
        raise typer.Exit(1)


def _parts(suite: str, split: str, tasks: Sequence[str] | None) -> list[tuple[str, list[str] | None]]:
    """(split, its tasks that are wanted, None for all) of every split to run."""
    from maa_bench.errors import ProtocolError
    from maa_bench.suite import load_suite

    loaded = load_suite(suite)
    wanted = names(tasks, "--tasks")
    for name in wanted or ():
        loaded.task(name)
    if split != ALL:
        loaded.split(split)
        return [(split, wanted)]
    if wanted is None:
        return [(name, None) for name in loaded.splits]
    tested = {name: [task for task in wanted if task in s.test] for name, s in loaded.splits.items()}
    for task in wanted:
        if not any(task in own for own in tested.values()):
            raise ProtocolError(f"no split of suite {loaded.name} tests {task!r}")
    return [(name, own) for name, own in tested.items() if own]


def _check_writable(folder: Path) -> None:
    """Before minutes of work, not after. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _print_json(plans: Sequence[Plan], outcomes: Sequence[Outcome], one: bool) -> None:
    """The records of the methods asked for, or the record where only one was; null for each that failed."""
    from maa_bench.cli.output import print_json

    found: list[Any] = []
    for plan, outcome in zip(plans, outcomes, strict=True):
        records = {record.method.name: record.model_dump(mode="json") for record in outcome.records}
        found += [records.get(loaded.card.name) for loaded in plan.methods[: plan.asked]]
        found += [None] * len(plan.broken)
    print_json(found[0] if one and len(found) == 1 else found)


def _print_tables(records: Sequence[Sequence[RunRecord]], results_dir: Path) -> None:
    from maa_bench.cli.output import console
    from maa_bench.report.render import to_rich
    from maa_bench.report.tables import result_table, summary_table

    out = console()
    for part in filter(None, records):
        for table in (result_table(part), summary_table(part)):
            out.print(to_rich(table, out.width))
            out.print()
    if any(records):
        out.print("records:")
    for part in records:
        for record in part:
            out.print(f"  {results_dir / record.method.name / record.run_id / 'record.json'}", soft_wrap=True)


def _show_plans(plans: Sequence[Plan], cache_dir: Path, how: Execution, as_json: bool) -> None:
    from maa_bench.cli.output import print_json, print_table

    shown = [_plan_info(plan, cache_dir, how) for plan in plans]
    if as_json:
        print_json(shown)
        return
    for info in shown:
        print(f"suite {info['suite']}, split {info['split']}\n")
        rows = [
            (
                cell["method"],
                str(cell["seed"]),
                cell["task"],
                "yes" if cell["cached"] else "no",
                str(cell["episodes"]),
                str(cell["max_steps"]),
            )
            for cell in info["cells"]
        ]
        header = ("method", "seed", "task", "cached", "episodes", "steps, at most")
        print_table(header, rows, right=("seed", "episodes", "steps, at most"))
        data, todo = info["dataset"], info["to_do"]
        state = "cached" if data["cached"] else f"to be built ({data['tasks']} tasks)"
        fits = ", ".join(f"{fit['method']} (seed {fit['seed']})" for fit in info["fits"])
        print(f"\ndataset {data['id']}: {state}\nto be fitted: {fits or 'nothing'}")
        print(
            f"to do: {todo['cells']} of {len(rows)} cells, {todo['episodes']} episodes, "
            f"at most {todo['max_steps']} environment steps\n"
        )
        for name, reason in info["broken"].items():
            print(f"cannot be run: {name}: {reason}\n")


def _plan_info(plan: Plan, cache_dir: Path, how: Execution) -> dict[str, Any]:
    """A plan's cells, what each costs, and what must be built or fitted first. Makes and changes nothing."""
    from maa_bench.cache import Cache
    from maa_bench.dataset.config import DatasetPlan
    from maa_bench.main_job import found_cells, is_due

    cache = Cache(cache_dir) if cache_dir.exists() else None  # opening a cache makes its folder
    found = found_cells(plan, cache) if cache is not None else {}
    per_candidate = sum(count for _, count in plan.layouts())
    cells: list[dict[str, Any]] = []
    fits: dict[tuple[str, int], dict[str, Any]] = {}
    for cell in plan.cells:
        card = cell.method.card
        episodes = per_candidate * (1 if card.deterministic_candidates else plan.protocol.candidates)
        due = is_due(found.get(cell.key), how.overwrite)
        cells.append(
            {
                "method": card.name,
                "seed": cell.train_seed,
                "task": cell.task,
                "cached": cell.key in found,
                "to_do": due,
                "episodes": episodes,
                "max_steps": episodes * plan.suite.horizon,
            }
        )
        # A method that cannot save its fit is fitted again for every missing cell.
        saves = all(hasattr(cell.method.make, name) for name in ("save", "load"))
        key = plan.fit_key(cell.method, cell.train_seed)
        kept = saves and cache is not None and cache.fit_cost(key) is not None and how.overwrite != "always"
        if due and not kept:
            fits[card.name, cell.train_seed] = {"method": card.name, "seed": cell.train_seed}
    todo = [cell for cell in cells if cell["to_do"]]
    data = plan.dataset
    cached = not isinstance(data, DatasetPlan) or (cache_dir / "datasets" / data.id / "manifest.json").exists()
    return {
        "suite": plan.suite.name,
        "split": plan.split.name,
        "dataset": {"id": plan.dataset_id, "cached": cached, "tasks": len(data.tasks)},
        "broken": plan.broken,
        "fits": list(fits.values()),
        "cells": cells,
        "to_do": {
            "cells": len(todo),
            "episodes": sum(cell["episodes"] for cell in todo),
            "max_steps": sum(cell["max_steps"] for cell in todo),
        },
    }
