"""What the benchmark of speed found, as tables and sentences, for the terminal and to be pasted into a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from maa_bench.bench import PARTS, RULE, Report, middle
from maa_bench.report.render import markdown_text, to_markdown
from maa_bench.report.tables import Table

MEDIAN = "median"
_RATIOS = ("of the limit", "x stock", "x naive", "x 1 worker", "physics x 1")
_LABELS = {"naive": "naive", "stock_numpy": "stock + numpy", "sync_vector": "sync", "async_vector": "async"}


def tables(report: Report) -> list[Table]:
    """Speed, parts and resets, each if it was measured."""
    found = [_speed(report), _parts(report), _resets(report)]
    return [table for table in found if table is not None]


def notes(report: Report) -> list[str]:
    """The machine, and what stands in no table, a sentence each."""
    machine, settings = report.machine, report.settings
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_before']} before the start; "
        f"{machine['platform']}; Python {machine['python']}; {packages}.",
        f"Suite {report.suite}: {settings.policies} policies x {settings.layouts} layouts a task, "
        f"{settings.rounds} rounds; {RULE}; measured in {report.seconds:.0f} s.",
    ]
    for reason, count in Counter(result.no_limit for result in report.tasks if result.no_limit).items():
        lines.append(f"No limit for {count} of {len(report.tasks)} tasks: {reason}.")
    if all("naive" not in result.rates for result in report.tasks):
        lines.append(f"Suite {report.suite} has no naive loop.")
    lines.append(f"Workers: {report.startup:.1f} s from nothing to the first results (not in the rates).")
    if report.sweep is not None:
        s = report.sweep
        lines.append(
            f"{s.policies} policies x {s.layouts} layouts on {s.task}, {s.steps:,} steps: {s.seconds_1:.1f} s with "
            f"1 worker, {s.seconds_n:.1f} s with {settings.workers} ({s.seconds_1 / s.seconds_n:.2f} x)."
        )
    for name, label in (("naive", "the naive loop"), ("stock_numpy", "stock + numpy")):
        count = sum(result.differing.get(name, 0) for result in report.tasks)
        if count:
            total = sum(result.episodes for result in report.tasks)
            lines.append(
                f"In {label}, {count} of {total} episodes had another first success (last bits of the action)."
            )
    return lines


def as_markdown(report: Report) -> str:
    """The whole report; ends with a newline."""
    parts = [f"* {markdown_text(line)}\n" for line in notes(report)]
    for table in tables(report):
        parts.append(f"\n{markdown_text(table.title)}:\n\n{to_markdown(table)}")
    return "".join(parts)


def _speed(report: Report) -> Table:
    n = report.settings.workers
    labels = {
        **{way: label + (f" x {n}" if "vector" in way else "") for way, label in _LABELS.items()},
        "physics": "physics",
        "ours_1": "ours, 1 worker",
        report.settings.ours_n: f"ours, {n} workers",
    }
    ways = [way for way in labels if any(way in result.rates for result in report.tasks)]
    rows = []
    for result in report.tasks:
        rates = [f"{median(result.rates[way]):,.0f}" if way in result.rates else "-" for way in ways]
        rows.append((result.task, f"{result.steps:,}", *rates, *_ratios(report.ratios(result))))
    rates = [_number(middle([median(r.rates[way]) for r in report.tasks if way in r.rates]), ",.0f") for way in ways]
    rows.append((MEDIAN, _number(middle([r.steps for r in report.tasks]), ",.0f"), *rates, *_ratios(report.medians())))
    return Table(
        title="Steps a second; of the physics limit and times stock + numpy (1 worker), times the naive loop (all "
        f"workers), times 1 worker; and what physics alone gains from {n} processes at once",
        header=("task", "steps", *(labels[way] for way in ways), *_RATIOS),
        rows=tuple(rows),
    )


def _parts(report: Report) -> Table | None:
    measured = {result.task: result.parts for result in report.tasks if result.parts is not None}
    if not measured:
        return None
    rows = [_in_parts(task, [parts[name] for name in PARTS]) for task, parts in measured.items()]
    last = _in_parts(MEDIAN, [median(parts[name] for parts in measured.values()) for name in PARTS])
    return Table(
        title="Where a step of ours goes (1 worker, microseconds of processor time a step)",
        header=("task", *PARTS, "all", "physics share"),
        rows=(*rows, last),
    )


def _in_parts(name: str, values: Sequence[float]) -> tuple[str, ...]:
    return (name, *(f"{value:.2f}" for value in (*values, sum(values))), f"{values[0] / sum(values):.2f}")


def _resets(report: Report) -> Table | None:
    measured = {result.task: result.resets for result in report.tasks if result.resets is not None}
    if not measured:
        return None
    values = {task: (r.stock, r.physics, r.first, r.later) for task, r in measured.items()}
    values[MEDIAN] = tuple(median(column) for column in zip(*values.values(), strict=True))
    rows = [
        (
            task,
            *(f"{1e6 * x:,.0f}" for x in row),
            f"{row[0] / row[1]:.2f}",
            f"{row[2] / row[1]:.2f}",
            f"{row[3] / row[1]:.3f}",
        )
        for task, row in values.items()
    ]
    return Table(
        title="Resets (microseconds of processor time; ratios to the physics steps inside stock's reset)",
        header=(
            *("task", "stock", "its physics", "ours, new layout", "ours, known layout"),
            *("stock ratio", "new ratio", "known ratio"),
        ),
        rows=tuple(rows),
    )


def _ratios(ratios: dict[str, float | None]) -> list[str]:
    return [_number(value, ".2f") for value in ratios.values()]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
