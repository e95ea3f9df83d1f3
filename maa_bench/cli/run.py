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
from maa_bench.cli.protocol_options import (
    ActionNoiseOption,
    CandidatesOption,
    ConditionsOption,
    DampingOption,
    DroppedOption,
    EpisodesOption,
    FrictionOption,
    GainOption,
    MassOption,
    NoiseOption,
    ProtocolOption,
    SelectOption,
    ShotsOption,
    SourceOption,
    StepsOption,
    TestLayoutsOption,
    asked_for,
)
from maa_bench.protocol import Protocol

if TYPE_CHECKING:
    from maa_bench.main_job import Outcome
    from maa_bench.named_protocol import NamedProtocol
    from maa_bench.plan import Plan
    from maa_bench.record import RunRecord

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
            ("maa-bench run --protocol few-shot-v1 --dry-run", "a named protocol: what it would do, and its cost"),
            ("maa-bench run --protocol noisy-v1 --conditions prompt_noise", "one of its axes"),
            ("maa-bench run --split all --dry-run", "what it would do, and its cost"),
            ("maa-bench run --backend ray --address auto", "on a Ray cluster, see docs/cluster.md"),
            ("maa-bench run --suite toy-v1 --json > record.json", "the record, for programs"),
        )
    )(run)


def run(
    context: typer.Context,
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
    protocol: ProtocolOption = None,
    conditions: ConditionsOption = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Number of training seeds.", show_default="1, or the protocol's")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The first of them.")] = 0,
    shots: ShotsOption = Protocol.shots,
    candidates: CandidatesOption = Protocol.candidates,
    episodes: EpisodesOption = Protocol.episodes,
    select_episodes: SelectOption = Protocol.select_episodes,
    prompt_source: SourceOption = Protocol.prompt_source,
    prompt_noise: NoiseOption = Protocol.prompt_noise,
    dropped_steps: DroppedOption = Protocol.dropped_steps,
    prompt_steps: StepsOption = Protocol.prompt_steps,
    action_noise: ActionNoiseOption = Protocol.action_noise,
    test_layouts: TestLayoutsOption = Protocol.test_layouts,
    mass: MassOption = Protocol.mass,
    friction: FrictionOption = Protocol.friction,
    damping: DampingOption = Protocol.damping,
    gain: GainOption = Protocol.gain,
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
    from maa_bench.main_job import Backend, Execution, Overwrite, run_plans
    from maa_bench.plan import make_plans
    from maa_bench.progress import Progress

    if any(":" in name for name in method):
        # A script's own folder is on the path, not the user's; last, so that nothing installed is shadowed.
        sys.path.append(str(Path.cwd()))
    named, protocols = asked_for(context, protocol, names(conditions, "--conditions", "axis"), scale, device)
    seeds = seeds if seeds is not None else named.seeds if named else 1
    how = Execution(workers, cast("Overwrite", overwrite), cell_timeout, cast("Backend", backend), address)
    cache_dir = cache_dir or default_cache_dir()
    method = [name.strip() for names in method for name in names.split(",")]
    with stdout_reserved():  # a method's module may print
        # Every split and condition is checked before work on the first begins.
        parts = _parts(suite, split, tasks)
        given = None if dataset is None else dataset_folder(dataset, cache_dir)
        plans = make_plans(method, suite, parts, protocols, seeds, seed, given)
    if named and seeds < named.seeds:
        print(f"protocol {named.name} asks for {named.seeds} training seeds; this run has {seeds}", file=sys.stderr)
    if dry_run:
        from maa_bench.cli.dry_run import show_plans

        show_plans(plans, cache_dir, how, as_json)
        return
    _check_writable(results_dir)
    with stdout_reserved():
        outcomes = run_plans(plans, how=how, results_dir=results_dir, cache_dir=cache_dir, progress=Progress(quiet))
    if as_json:
        _print_json(plans, outcomes, one=len(plans) == 1)
    else:
        _print_tables(plans, outcomes, named, results_dir)
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


def _print_tables(
    plans: Sequence[Plan], outcomes: Sequence[Outcome], named: NamedProtocol | None, results_dir: Path
) -> None:
    """The tables of each split's base, then one for each of the protocol's axes."""
    from maa_bench.cli.output import console
    from maa_bench.report.curve_tables import curve_table
    from maa_bench.report.curves import families
    from maa_bench.report.render import to_rich
    from maa_bench.report.tables import result_table, summary_table

    out = console()
    metric = named.headline if named else "mean"
    by_split: dict[str, dict[str, list[RunRecord]]] = {}
    for plan, outcome in zip(plans, outcomes, strict=True):
        by_split.setdefault(plan.split.name, {})[plan.protocol.condition] = outcome.records
    for conditions in by_split.values():
        base, *others = conditions.values()
        tables = [result_table(base, metric), summary_table(base)] if base else []
        if base and others:
            every = [record for records in conditions.values() for record in records]
            tables += [curve_table(axis, metric) for family in families(every) for axis in family.axes]
        for table in tables:
            out.print(to_rich(table, out.width))
            out.print()
    if any(outcome.records for outcome in outcomes):
        out.print("records:")
    for outcome in outcomes:
        for record in outcome.records:
            out.print(f"  {results_dir / record.method.name / record.run_id / 'record.json'}", soft_wrap=True)
