"""From run records to rows: what stands in which cell. Pure; `maa_bench.report.render` does the drawing.

A table holds records of one group only: same suite and layouts, split, dataset and protocol. Anything else
would compare numbers that do not compare.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from maa_bench.errors import RecordError
from maa_bench.metrics import METRICS
from maa_bench.record import AGGREGATE, MetricValue, RunRecord

CONTROLS = ("random_seen", "nearest_checkpoint", "random_weights", "expert")
"""The controls of every table, in their fixed order, after the methods under test."""

LEGACY_HEADER = "legacy_top5 (†)"
LEGACY_NOTE = "†: the released code's metric: it selects on the rollouts that it reports"

LONG_COLUMNS = (
    "suite", "layouts_sha256", "split", "dataset", "scale", "shots", "candidates", "episodes",
    "select_episodes", "horizon", "success_rule", "prompt_source", "method", "family", "uses", "run_id",
    "train_seeds", "task", "metric", "value", "lo", "hi",
)  # fmt: skip
"""Columns of `long_rows`."""

Cell = str | MetricValue


@dataclass(frozen=True)
class Table:
    """A table before it is drawn.

    Attributes:
        title: one line.
        header: (n_columns,) names.
        rows: each (n_columns,); text, or a metric that the renderer formats with or without its interval.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def group_key(record: RunRecord) -> str:
    """Equal for two records exactly if their numbers may stand in one table."""
    return json.dumps(
        {
            "suite": record.suite.name,
            "split": record.split.model_dump(mode="json"),
            "dataset": record.dataset.id,
            "protocol": record.protocol.model_dump(mode="json"),
            "layouts_sha256": record.suite.layouts_sha256,
        }
    )


def in_order(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Methods under test by aggregate mean, best first; then the controls in their order; then other
    controls.

    Raises:
        RecordError: no records, or records that do not compare.
    """
    if not records:
        raise RecordError("no records to make a table of")
    for record in records:
        if group_key(record) != group_key(records[0]):
            raise RecordError(
                f"records {records[0].run_id!r} and {record.run_id!r} differ in suite, layouts, split, "
                "dataset or protocol; their numbers cannot stand in one table"
            )

    def place(record: RunRecord) -> tuple[int, float, str, str]:
        name = record.method.name
        if name in CONTROLS:
            rank = 1 + CONTROLS.index(name)
        else:
            rank = 1 + len(CONTROLS) if record.method.family in ("control", "ceiling") else 0
        return rank, -record.metrics.aggregate.mean.value, name, record.run_id

    return sorted(records, key=place)


def method_labels(records: Sequence[RunRecord]) -> list[str]:
    """The method's name; with the run's where a method stands there more than once."""
    times = Counter(record.method.name for record in records)
    return [
        record.method.name if times[record.method.name] == 1 else f"{record.method.name} ({record.run_id})"
        for record in records
    ]


def result_table(records: Sequence[RunRecord], metric: str = "mean") -> Table:
    """One metric: a row a task, then the aggregate; a column a method."""
    ordered = in_order(records)
    sets = [dict(record.metric_sets()) for record in ordered]
    first = ordered[0]
    rows: list[tuple[Cell, ...]] = [
        (task, *(values[task][metric] for values in sets)) for task in (*first.split.test, AGGREGATE)
    ]
    return Table(
        title=f"{metric}: {first.suite.name}, split {first.split.name}, success with 95 % intervals; "
        + protocol_text(first),
        header=("task", *method_labels(ordered)),
        rows=tuple(rows),
    )


def protocol_text(record: RunRecord) -> str:
    """The protocol in a few words."""
    p = record.protocol
    return f"{p.shots} prompts, {p.candidates} candidates, {p.episodes} test and {p.select_episodes} select layouts"


def summary_table(records: Sequence[RunRecord]) -> Table:
    """Every metric of the aggregate: a row a method, with what it used and what it took."""
    ordered = in_order(records)
    rows: list[tuple[Cell, ...]] = [
        (
            label,
            *(record.metrics.aggregate[metric] for metric in METRICS),
            record.method.uses,
            format_seconds(record.cost.seconds.fit),
        )
        for record, label in zip(ordered, method_labels(ordered), strict=True)
    ]
    first = ordered[0]
    metrics = [LEGACY_HEADER if metric == "legacy_top5" else metric for metric in METRICS]
    return Table(
        title=f"summary: {first.suite.name}, split {first.split.name}, mean of tasks ({LEGACY_NOTE})",
        header=("method", *metrics, "uses", "fit s"),
        rows=tuple(rows),
    )


def long_rows(records: Sequence[RunRecord]) -> list[tuple[str, ...]]:
    """One row a record, task and metric, with `LONG_COLUMNS`; in the order of `records`."""
    rows = []
    for record in records:
        protocol = record.protocol
        group = (
            record.suite.name, record.suite.layouts_sha256, record.split.name, record.dataset.id,
            protocol.scale, str(protocol.shots), str(protocol.candidates), str(protocol.episodes),
            str(protocol.select_episodes), str(protocol.horizon), protocol.success_rule,
            protocol.prompt_source,
        )  # fmt: skip
        method = (
            record.method.name,
            record.method.family,
            record.method.uses,
            record.run_id,
            str(len(record.seeds.train)),
        )
        for task, values in record.metric_sets():
            for metric in METRICS:
                cell = values[metric]
                numbers = (f"{x:.6f}" for x in (cell.value, *cell.ci))
                rows.append((*group, *method, task, metric, *numbers))
    return rows


def format_value(x: float) -> str:
    """`.41`, `1.00`."""
    return f"{x:.2f}".removeprefix("0")


def format_interval(cell: MetricValue) -> str:
    """`[.30, .52]`."""
    return f"[{format_value(cell.ci[0])}, {format_value(cell.ci[1])}]"


def format_seconds(seconds: float) -> str:
    """`0.4`, `12`, `3600`."""
    return f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"
