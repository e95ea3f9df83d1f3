"""All numbers of all records as one long table, for whoever makes tables of his own: `table.csv`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maa_bench.metrics import METRICS
from maa_bench.record import AGGREGATE, ProtocolInfo, RunRecord
from maa_bench.report.tables import LIFT, SELECTING, Cell, Measured, key_of

LONG_COLUMNS = (
    "suite", "layouts_sha256", "split", "dataset",
    *("protocol" if setting == "name" else setting for setting in ProtocolInfo.model_fields),
    "method", "family", "uses", "run_id", "train_seeds", "policies", "parameters", "fit_s", "adapt_s",
    "test_env_steps", "peak_mb", "task", "metric", "value", "lo", "hi",
)  # fmt: skip
"""`layouts_sha256`: its first 12 digits. `protocol` is its name, empty if it has none; then come its condition and
every setting. `policies`: evaluated a task and training seed. Costs are a training seed's, empty if unknown. `lo` and
`hi` are empty where there is no interval."""


def long_rows(records: Sequence[RunRecord], lifts: Mapping[str, Cell] | None = None) -> list[tuple[str, ...]]:
    """One row a record, task and metric, with `LONG_COLUMNS`; in the order of `records`.

    A method of one policy has no row of a metric that selects among several, and nothing has steps to a success that
    never came.

    Args:
        records: any.
        lifts: by `key_of` the record; a row of the aggregate each.
    """
    rows = []
    for record in records:
        about = _about(record)
        for task, values in record.metric_sets():
            cells: dict[str, Cell] = {
                metric: values[metric]
                for metric in METRICS
                if metric not in SELECTING or not record.method.deterministic_candidates
            }
            if task == AGGREGATE and lifts and key_of(record) in lifts:
                cells[LIFT] = lifts[key_of(record)]
            if values.steps_to_success is not None:
                cells["steps_to_success"] = values.steps_to_success
            rows += [(*about, task, metric, *_numbers(cell)) for metric, cell in cells.items()]
    return rows


def _numbers(cell: Cell) -> tuple[str, str, str]:
    if isinstance(cell, Measured):
        lo, hi = cell.ci
        return f"{cell.value:.6f}", f"{lo:.6f}", f"{hi:.6f}"
    return cell if isinstance(cell, str) else f"{cell:.6f}", "", ""


def _about(record: RunRecord) -> tuple[str, ...]:
    method, cost, seeds = record.method, record.cost, len(record.seeds.train)
    settings = (getattr(record.protocol, setting) for setting in ProtocolInfo.model_fields)
    steps = cost.test_environment_steps
    return (
        record.suite.name,
        record.suite.layouts_sha256[:12],
        record.split.name,
        record.dataset.id,
        *(_text(value) for value in settings),
        method.name,
        method.family,
        method.uses,
        record.run_id,
        str(seeds),
        str(record.candidates_evaluated),
        "" if cost.parameters is None else str(cost.parameters),
        f"{cost.seconds.fit / seeds:.3f}",
        f"{cost.seconds.generate / seeds:.3f}",
        "" if steps is None else f"{steps / seeds:.0f}",
        f"{cost.peak_mb:.1f}",
    )


def _text(value: float | str | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
