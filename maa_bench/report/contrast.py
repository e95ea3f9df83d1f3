"""How far the metrics lie apart: the same episodes, read in an honest way and in ways that select on what they report.

The numbers of Make-An-Agent and of the controls stand side by side, and sentences made of them say what a reader of one
column alone would have believed.
"""

from __future__ import annotations

from collections.abc import Sequence

from maa_bench.record import AGGREGATE, RunRecord
from maa_bench.report.tables import (
    LEGACY_NOTE,
    MARKED,
    ORACLE_NOTE,
    Cell,
    Table,
    format_value,
    in_order,
    method_labels,
    place,
    shown,
    standing,
)

METHOD = "make_an_agent"
FLOOR = "random_seen"
SIDE_BY_SIDE = ("mean", "best_selected", "oracle_best", "legacy_top5", "legacy_best")


def contrast_table(records: Sequence[RunRecord]) -> Table | None:
    """Make-An-Agent and the controls: a row each, a column for each of `SIDE_BY_SIDE`; None where neither is there."""
    rows: list[tuple[Cell, ...]] = [
        (label, *(shown(record, metric, AGGREGATE) for metric in SIDE_BY_SIDE)) for label, record in _some(records)
    ]
    if not rows:
        return None
    header = ("method", *(MARKED.get(metric, metric) for metric in SIDE_BY_SIDE))
    return Table("the metrics side by side", header, tuple(rows), (LEGACY_NOTE, ORACLE_NOTE))


def contrast_words(records: Sequence[RunRecord]) -> list[str]:
    """What the table says, in sentences: how each method reads, and how far Make-An-Agent is ahead of the floor."""
    some = [(label, record) for label, record in _some(records) if not record.method.deterministic_candidates]
    words = []
    for label, record in some:
        read = [f"{_value(record, metric)} by {metric}" for metric in SIDE_BY_SIDE]
        words.append(f"{label} reads {_listed(read)}.")
    by_name = {record.method.name: record for _, record in sorted(some, key=lambda pair: standing(pair[1]))}
    if METHOD in by_name and FLOOR in by_name:
        method, floor = by_name[METHOD], by_name[FLOOR]
        gaps = {m: method.metrics.aggregate[m].value - floor.metrics.aggregate[m].value for m in SIDE_BY_SIDE}
        said = [f"{format_value(gap)} by {metric}" for metric, gap in gaps.items()]
        words.append(f"From {FLOOR} to {METHOD} it is {_listed(said)}.")
    return words


def _some(records: Sequence[RunRecord]) -> list[tuple[str, RunRecord]]:
    ordered = in_order(records)
    labelled = zip(method_labels(ordered), ordered, strict=True)
    return [(label, record) for label, record in labelled if record.method.name == METHOD or place(record)[0]]


def _value(record: RunRecord, metric: str) -> str:
    return format_value(record.metrics.aggregate[metric].value)


def _listed(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
