"""All numbers of all records, for whoever makes tables of his own: `table.csv` the numbers, `runs.csv` the runs.

What is the same for all numbers of a run stands once, in `runs.csv`: method and run id join the two.
"""

from __future__ import annotations

from collections.abc import Sequence

from maa_bench.metrics import METRICS
from maa_bench.record import AGGREGATE, ProtocolInfo, RunRecord
from maa_bench.report.tables import IQM, LIFT, SELECTING, Cell, Extras, Measured, key_of

LONG_COLUMNS = (
    "suite", "split", "dataset", "protocol", "condition", "method", "run_id", "task", "metric", "value", "lo", "hi",
)  # fmt: skip
"""`protocol` is its name, empty if it has none. `lo` and `hi` are empty where there is no interval."""

_SETTINGS = tuple(setting for setting in ProtocolInfo.model_fields if setting not in ("name", "condition"))

RUN_COLUMNS = (
    *LONG_COLUMNS[: LONG_COLUMNS.index("task")],
    "layouts_sha256", *_SETTINGS,
    "family", "uses", "train_seeds", "policies", "parameters", "fit_s", "adapt_s", "test_env_steps", "peak_mb",
)  # fmt: skip
"""`policies`: evaluated a task and training seed. Costs are a training seed's, empty if unknown."""


def long_rows(records: Sequence[RunRecord], extras: Extras | None = None) -> list[tuple[str, ...]]:
    """One row a record, task and metric, with `LONG_COLUMNS`; in the order of `records`.

    A method of one policy has no row of a metric that selects among several, and nothing has steps to a success that
    never came.

    Args:
        records: any.
        extras: rows of the aggregate.
    """
    rows = []
    for record in records:
        names = _names(record)
        for task, values in record.metric_sets():
            cells: dict[str, Cell] = {
                metric: values[metric]
                for metric in METRICS
                if metric not in SELECTING or not record.method.deterministic_candidates
            }
            extra = (extras or {}).get(key_of(record))
            if task == AGGREGATE and extra is not None:
                cells[IQM] = extra.iqm
                if extra.lift is not None:
                    cells[LIFT] = extra.lift
            if values.steps_to_success is not None:
                cells["steps_to_success"] = values.steps_to_success
            rows += [(*names, task, metric, *_numbers(cell)) for metric, cell in cells.items()]
    return rows


def _numbers(cell: Cell) -> tuple[str, str, str]:
    if isinstance(cell, Measured):
        lo, hi = cell.ci
        return f"{cell.value:.6f}", f"{lo:.6f}", f"{hi:.6f}"
    return cell if isinstance(cell, str) else f"{cell:.6f}", "", ""


def run_rows(records: Sequence[RunRecord]) -> list[tuple[str, ...]]:
    """One row a record, with `RUN_COLUMNS`; in the order of `records`."""
    rows = []
    for record in records:
        method, cost, seeds = record.method, record.cost, len(record.seeds.train)
        steps = cost.test_environment_steps
        row = (
            *_names(record),
            record.suite.layouts_sha256,
            *(_text(getattr(record.protocol, setting)) for setting in _SETTINGS),
            method.family,
            method.uses,
            str(seeds),
            str(record.candidates_evaluated),
            "" if cost.parameters is None else str(cost.parameters),
            f"{cost.seconds.fit / seeds:.3f}",
            f"{cost.seconds.generate / seeds:.3f}",
            "" if steps is None else f"{steps / seeds:.0f}",
            f"{cost.peak_mb:.1f}",
        )
        rows.append(row)
    return rows


def _names(record: RunRecord) -> tuple[str, ...]:
    protocol = record.protocol
    labels = protocol.name or "", protocol.condition
    return record.suite.name, record.split.name, record.dataset.id, *labels, record.method.name, record.run_id


def _text(value: float | str | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
