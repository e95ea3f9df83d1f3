"""All numbers of all records, for whoever makes tables of his own: `table.csv` the numbers, `runs.csv` the runs.

`table.csv` has a row a run and task, with a column a number, and can be read alone; what a run is beside its labels
(every setting, costs) stands once, in `runs.csv`, and `method` and `run_id` join the two. `docs/metrics.md` says what
each column is.
"""

from __future__ import annotations

from collections.abc import Sequence

from maa_bench.metrics import METRICS
from maa_bench.record import AGGREGATE, ProtocolInfo, RunRecord
from maa_bench.record_metrics import MetricSet
from maa_bench.report.diversity import DISTANCES, distances_of
from maa_bench.report.tables import IQM, LIFT, Cell, Extra, Extras, Measured, key_of, seed_cost, shown, steps_cell

LABELS = ("suite", "split", "dataset", "protocol", "condition", "method", "run_id")
"""Of a run. `protocol` is its name, empty if it has none."""

MEASURED = ("mean", IQM, LIFT, *(metric for metric in METRICS if metric != "mean"), "steps_to_success")
"""Numbers that may have an interval."""

TABLE_COLUMNS = (
    *LABELS,
    "task",
    *(f"{name}{end}" for name in MEASURED for end in ("", "_lo", "_hi")),
    *DISTANCES,
)
"""A cell is empty where there is no such number or no interval."""

_SETTINGS = tuple(setting for setting in ProtocolInfo.model_fields if setting not in ("name", "condition"))

RUN_COLUMNS = (
    *LABELS, "layouts_sha256", *_SETTINGS,
    "family", "uses", "train_seeds", "policies", "parameters", "fit_s", "adapt_s", "test_env_steps", "peak_mb",
)  # fmt: skip
"""`policies`: evaluated a task and training seed. Costs are a training seed's, empty if unknown."""


def table_rows(records: Sequence[RunRecord], extras: Extras | None = None) -> list[tuple[str, ...]]:
    """One row a record and task, the aggregate last, with `TABLE_COLUMNS`; in the order of `records`.

    A method of one policy has no metric that selects among several, and nothing has steps to a success that never came.
    `iqm` and `lift` are of the aggregate.
    """
    rows = []
    for record in records:
        extra = (extras or {}).get(key_of(record))
        for task, values in record.metric_sets():
            cells = _cells(record, task, values, extra)
            distances = distances_of(extras or {}, record, task)
            row = [*_labels(record), task]
            for name in MEASURED:
                row += _numbers(cells.get(name))
            rows.append((*row, *(_number(distances.get(name)) for name in DISTANCES)))
    return rows


def run_rows(records: Sequence[RunRecord]) -> list[tuple[str, ...]]:
    """One row a record, with `RUN_COLUMNS`; in the order of `records`."""
    rows = []
    for record in records:
        method, cost = record.method, seed_cost(record)
        row = (
            *_labels(record),
            record.suite.layouts_sha256,
            *(_text(getattr(record.protocol, setting)) for setting in _SETTINGS),
            method.family,
            method.uses,
            str(len(record.seeds.train)),
            str(record.candidates_evaluated),
            "" if record.cost.parameters is None else str(record.cost.parameters),
            f"{cost.fit_s:.3f}",
            f"{cost.adapt_s:.3f}",
            "" if cost.test_env_steps is None else str(cost.test_env_steps),
            f"{record.cost.peak_mb:.1f}",
        )
        rows.append(row)
    return rows


def _cells(record: RunRecord, task: str, values: MetricSet, extra: Extra | None) -> dict[str, Cell | None]:
    cells: dict[str, Cell | None] = {metric: shown(record, metric, task) for metric in METRICS}
    cells["steps_to_success"] = steps_cell(values)
    if task == AGGREGATE and extra is not None:
        cells |= {IQM: extra.iqm, LIFT: extra.lift}
    return cells


def _labels(record: RunRecord) -> tuple[str, ...]:
    protocol = record.protocol
    names = protocol.name or "", protocol.condition
    return record.suite.name, record.split.name, record.dataset.id, *names, record.method.name, record.run_id


def _numbers(cell: Cell | None) -> tuple[str, str, str]:
    """Value, low end, high end."""
    if isinstance(cell, Measured):
        return _number(cell.value), _number(cell.ci[0]), _number(cell.ci[1])
    return _number(None if isinstance(cell, str) else cell), "", ""


def _number(x: float | None) -> str:
    """Four decimals at most: what no interval here is as narrow as."""
    if x is None:
        return ""
    return f"{round(x, 4) + 0.0:.4f}".rstrip("0").rstrip(".")  # + 0.0: no minus before a zero


def _text(value: float | str | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
