"""Whether n candidates are n answers or one, and whether they are what was learned from: a row a method."""

from __future__ import annotations

from collections.abc import Sequence

from maa_bench.record import AGGREGATE, RunRecord
from maa_bench.report.tables import NOTHING, Cell, Extras, Table, in_order, key_of, method_labels

DISTANCES = {
    "train_distance": "Memorisation: distance of a candidate's parameters to the nearest training checkpoint's, in "
    "lengths of that checkpoint. 0 is a copy; parameters that are all zero are 1 away from every checkpoint.",
    "spread": "Diversity of parameters: mean distance of a candidate to the others of its task and training seed, in "
    "their mean length. 0 where all are alike; independent random ones are about 1.41 apart.",
    "path_spread": "Diversity of behaviour: root mean square difference of a candidate's first 60 observations on one "
    "test layout to those of the others, in standard deviations of each dimension. 0 where all behave alike.",
}
"""What `candidates.parquet` measures, in the order of the tables; a table has the mean over candidates and training
seeds, of the aggregate the mean over the tasks that have one."""

TITLE = "Diversity and memorisation"
NOTE = (
    "train_distance: to the nearest training checkpoint, 0 is a copy; spread (parameters) and path_spread (behaviour): "
    "between candidates of a task and seed, 0 where all are alike; read them beside mean: what fails is easily diverse"
)
MISSING_NOTE = f"{NOTHING}: not measured, as of agents that are not one flat policy; no spread of a lone candidate"


def diversity_table(records: Sequence[RunRecord], extras: Extras) -> Table | None:
    """The mean distances of a group's methods beside their success; None where none was measured."""
    ordered = in_order(records)
    rows: list[tuple[Cell, ...]] = []
    for record, label in zip(ordered, method_labels(ordered), strict=True):
        found = distances_of(extras, record)
        rows.append((label, record.metrics.aggregate.mean.value, *(found.get(name, NOTHING) for name in DISTANCES)))
    if all(cell == NOTHING for row in rows for cell in row[2:]):
        return None
    missing = (MISSING_NOTE,) if any(NOTHING in row for row in rows) else ()
    return Table(TITLE, ("method", "mean", *DISTANCES), tuple(rows), (NOTE, *missing))


def distances_of(extras: Extras, record: RunRecord, task: str = AGGREGATE) -> dict[str, float]:
    """What was measured of a record's candidates on a task, by name."""
    extra = extras.get(key_of(record))
    return dict(extra.distances.get(task, {})) if extra else {}
