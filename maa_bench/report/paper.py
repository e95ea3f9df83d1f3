"""The leaderboard's LaTeX file: of each family the two tables that a paper prints, and one an axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from maa_bench.record import AGGREGATE
from maa_bench.report.curve_tables import SETTINGS, curve_table
from maa_bench.report.curves import Axis
from maa_bench.report.latex import Float, latex_document
from maa_bench.report.order import Entry
from maa_bench.report.tables import (
    IQM,
    LIFT,
    MARKED,
    Extras,
    Table,
    in_order,
    method_rows,
    metric_table,
    place,
    protocol_text,
)

TASKS_ABREAST = 12
"""More tasks go into further tables."""

_PRINTED = ("mean", IQM, LIFT, "best_selected", "top5_selected", "qualified_rate", MARKED["legacy_top5"])
"""The other columns are in `table.csv`: more do not fit the width of a page."""


def paper_tables(made: Sequence[Entry], extras: Extras, name: str) -> str:
    """The file's text.

    Args:
        made: in order.
        extras: of the records.
        name: of the file.
    """
    return latex_document((_floats(entry, extras) for entry in made), name)


def _floats(entry: Entry, extras: Extras) -> Iterator[Float]:
    family = entry.family
    where = f"{entry.place}, {entry.title}"
    if family.base:
        ordered = in_order(family.base)
        kinds = tuple(place(record)[0] for record in ordered)
        under = f"{where}: {protocol_text(ordered[0])}"
        by_task = replace(method_rows(ordered), notes=())
        tasks = ordered[0].split.test
        for start in range(0, len(tasks), TASKS_ABREAST):
            part = _columns(by_task, (AGGREGATE, *tasks[start : start + TASKS_ABREAST]))
            number = f"-{start // TASKS_ABREAST + 1}" if start else ""
            yield Float(part, f"Success (mean) by task. {under}.", f"{entry.slug}-tasks{number}", kinds)
        metrics = metric_table(ordered, extras)
        printed = _columns(replace(metrics, notes=_notes(metrics)), _PRINTED)
        yield Float(printed, f"Mean of tasks. {under}.", f"{entry.slug}-metrics", kinds)
    for axis in family.axes:
        text = SETTINGS.get(axis.setting, axis.setting)
        caption = f"Success (mean) by {axis.setting} ({text}). {where}."
        yield Float(curve_table(axis), caption, f"{entry.slug}-{axis.setting.replace('_', '-')}", _kinds(axis))


def _columns(table: Table, names: Sequence[str]) -> Table:
    """The first column, and those of these names that it has."""
    chosen = [0, *(table.header.index(name) for name in names if name in table.header)]
    rows = tuple(tuple(row[i] for i in chosen) for row in table.rows)
    return replace(table, header=tuple(table.header[i] for i in chosen), rows=rows)


def _notes(metrics: Table) -> tuple[str, ...]:
    """Those that speak of a column which is printed."""
    return tuple(note for note in metrics.notes if note[0] not in "‡" and not note.startswith("steps"))


def _kinds(axis: Axis) -> tuple[int, ...]:
    return tuple(place(next(r for r in line.records if r is not None))[0] for line in axis.lines)
