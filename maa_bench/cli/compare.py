"""`maa-bench compare`: is one method better than another, and how sure is that?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from maa_bench.cli.options import DEFAULT_RESULTS, JsonOption, ResultsDirOption, examples

if TYPE_CHECKING:
    from maa_bench.compare import Comparison, Pair
    from maa_bench.stats.joint import Difference


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("maa-bench compare make_an_agent random_seen --protocol standard-v1", "difference, interval, verdict"),
            ("maa-bench compare make_an_agent hypernetwork latent_flow --protocol standard-v1", "all pairs, Holm"),
            ("maa-bench compare make_an_agent prompt_dt --split seen --metric best_selected --json", "for programs"),
        )
    )(compare)


def compare(
    methods: Annotated[list[str], typer.Argument(help="Methods, run ids or run folders: two or more.", metavar="A B")],
    metric: Annotated[
        str, typer.Option("--metric", help="A metric of the records, e.g. mean, best_selected.")
    ] = "mean",
    results_dir: ResultsDirOption = DEFAULT_RESULTS,
    suite: Annotated[str | None, typer.Option("--suite", help="Only records of this suite.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Only records of this split.")] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="Only records of this named protocol.")] = None,
    condition: Annotated[str | None, typer.Option("--condition", help="Only records of this condition of it.")] = None,
    json: JsonOption = False,
) -> None:
    """Compare methods on the layouts and training seeds that they share."""
    from maa_bench.cli.output import print_json
    from maa_bench.compare import compare_runs, find_runs

    wanted = {"suite": suite, "split": split, "protocol": protocol, "condition": condition}
    comparison = compare_runs(find_runs(methods, results_dir, wanted), metric)
    if json:
        print_json(_as_json(comparison))
    else:
        _show(comparison)


def _show(comparison: Comparison) -> None:
    """What was compared, then the one pair with its tasks, or a row a pair."""
    from maa_bench.cli.output import console
    from maa_bench.report.tables import metric_notes

    first = next(iter(comparison.runs.values())).record
    of = f"{first.protocol.name}, {first.protocol.condition}; " if first.protocol.name else ""
    lines = [
        f"{comparison.metric} of tasks: {first.suite.name}, split {first.split.name}; {of}dataset {first.dataset.id}"
    ]
    for name, run in comparison.runs.items():
        seeds, candidates = len(run.record.seeds.train), run.record.candidates_evaluated
        lines.append(f"{name}: run {run.record.run_id}, training seeds: {seeds}, candidates: {candidates}")
    pairs = comparison.pairs
    lines += ["", *(pair.verdict for pair in pairs)]
    if len(pairs) == 1:
        lines.append(_improvement(pairs[0]))
    lines += metric_notes(comparison.metric)
    console().print("\n".join(_printable(line) for line in lines), soft_wrap=True)
    print()
    if len(pairs) == 1:
        _show_tasks(pairs[0])
    else:
        _show_pairs(pairs)


def _show_tasks(pair: Pair) -> None:
    from maa_bench.cli.output import print_table
    from maa_bench.compare import format_share

    header = ("task", pair.a, pair.b, "difference", "p", "p (Holm)")
    rows = [
        (task, format_share(r.a), format_share(r.b), _with_interval(r.difference), *_p(r.difference.p, r.p_holm))
        for task, r in pair.tasks.items()
    ]
    print_table([_printable(name) for name in header], rows, right=[_printable(name) for name in header[1:]])


def _show_pairs(pairs: tuple[Pair, ...]) -> None:
    from maa_bench.cli.output import print_table
    from maa_bench.compare import format_share

    header = ("A", "B", "A - B", "p", "p (Holm)", "P(A > B)")
    rows = [
        (
            _printable(p.a),
            _printable(p.b),
            _with_interval(p.overall),
            *_p(p.overall.p, p.p_holm),
            format_share(p.improvement),
        )
        for p in pairs
    ]
    print_table(header, rows, right=header[2:])


def _improvement(pair: Pair) -> str:
    """The probability of improvement in words."""
    from maa_bench.compare import format_share

    said = f"P(a training run of {pair.a} scores above one of {pair.b}) = {format_share(pair.improvement)}"
    if pair.improvement_ci is None:
        return f"{said}, without an interval: that needs two training seeds of both."
    interval = ", ".join(map(format_share, pair.improvement_ci))
    limits = "the interval is over training runs alone: too narrow with few"
    return f"{said} [{interval}], mean of tasks, ties count one half; {limits}."


def _with_interval(d: Difference) -> str:
    from maa_bench.compare import format_share

    return f"{format_share(d.value)} [{format_share(d.lo)}, {format_share(d.hi)}]"


def _p(*values: float) -> tuple[str, ...]:
    from maa_bench.compare import format_p

    return tuple(format_p(p).removeprefix("p = ").removeprefix("p ") for p in values)


def _printable(text: str) -> str:
    """Names come from records: no escape sequences and no line breaks."""
    return "".join(c if c.isprintable() else " " for c in text)


def _as_json(comparison: Comparison) -> dict[str, Any]:
    first = next(iter(comparison.runs.values())).record
    return {
        "metric": comparison.metric,
        "suite": first.suite.name,
        "split": first.split.name,
        "dataset": first.dataset.id,
        "protocol": first.protocol.model_dump(mode="json"),
        "methods": [
            {
                "name": name,
                "method": run.record.method.name,
                "run_id": run.record.run_id,
                "folder": str(run.folder),
                "train_seeds": list(run.record.seeds.train),
                "candidates": run.record.candidates_evaluated,
                "value": run.record.metrics.aggregate[comparison.metric].value,
            }
            for name, run in comparison.runs.items()
        ],
        "pairs": [
            {
                "a": pair.a,
                "b": pair.b,
                "verdict": pair.verdict,
                "difference": {**pair.overall._asdict(), "p_holm": pair.p_holm},
                "improvement": {"value": pair.improvement, "ci": pair.improvement_ci},
                "tasks": [
                    {"task": task, "a": r.a, "b": r.b, **r.difference._asdict(), "p_holm": r.p_holm}
                    for task, r in pair.tasks.items()
                ],
            }
            for pair in comparison.pairs
        ],
    }
