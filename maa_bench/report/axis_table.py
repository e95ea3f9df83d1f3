"""How methods do along one axis of a protocol: a row a method, a column a value."""

from __future__ import annotations

from collections.abc import Sequence

from maa_bench.record import RunRecord
from maa_bench.report.tables import MARKED, NOTHING, SELECTING, Cell, Table, in_order, method_labels, metric_notes


def axis_table(
    points: Sequence[tuple[str, Sequence[RunRecord]]], setting: str, unit: str, metric: str = "mean"
) -> Table:
    """The aggregate of one metric under each condition of an axis.

    Args:
        points: (value of the setting, records under that condition), in order; each one's records compare.
        setting: what the axis changes. unit: of its values.
        metric: a metric of `metrics.METRICS`.

    Raises:
        RecordError: no records, or records under one condition that do not compare.
    """
    cells: dict[str, dict[str, Cell]] = {}
    for value, records in points:
        ordered = in_order(records) if records else []
        for record, label in zip(ordered, method_labels(ordered), strict=True):
            one_policy = metric in SELECTING and record.method.deterministic_candidates
            found = NOTHING if one_policy else record.metrics.aggregate[metric]
            cells.setdefault(label, {})[value] = found
    values = [value for value, _ in points]
    some = next(record for _, records in points for record in records)
    name, where = MARKED.get(metric, metric), f"{some.suite.name}, split {some.split.name}"
    return Table(
        title=f"{name} by {setting} ({unit}): {where}, mean of tasks",
        header=("method", *values),
        rows=tuple((label, *(found.get(value, NOTHING) for value in values)) for label, found in cells.items()),
        notes=metric_notes(metric),
    )
