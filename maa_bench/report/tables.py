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

MARKED = {"oracle_best": "oracle_best (‡)", "legacy_top5": "legacy_top5 (†)", "legacy_best": "legacy_best (†)"}
"""Headers of the metrics that need a warning."""
LEGACY_NOTE = "†: the released code's metrics: they select on the rollouts that they report"
ORACLE_NOTE = "‡: an upper bound, no result: the best candidate on the very layouts that it is scored on"

NOTHING = "–"  # noqa: RUF001 - a dash is meant
SELECTING = ("best_selected", "top5_selected", "oracle_best", "legacy_top5", "legacy_best")
"""Metrics that choose between candidates. The record has them of a method with one policy, too, where they are that
policy's success; a table does not show "the one" beside "top 5 of 16"."""
ONE_POLICY_NOTE = f"{NOTHING}: one policy, nothing to select; compare its mean"
UNSAID_NOTE = f"{NOTHING} as a cost: not said by the method, or not recorded"
COST_NOTE = (
    "Costs: fit s, adapt s (generating for all tasks) and test env steps (simulator steps taken meanwhile) are of one "
    "training seed, the mean of all; parameters are learned numbers; peak MB is the largest process's"
)

MANY = 6
"""With more methods than these, methods are the rows of a table, and tasks its columns."""

LONG_COLUMNS = (
    "suite", "layouts_sha256", "split", "dataset", "scale", "shots", "candidates", "episodes",
    "select_episodes", "horizon", "success_rule", "prompt_source", "method", "family", "uses", "run_id",
    "train_seeds", "policies", "parameters", "fit_s", "adapt_s", "test_env_steps", "peak_mb", "task", "metric", "value",
    "lo", "hi",
)  # fmt: skip
"""Columns of `long_rows`. `policies`: evaluated a task and training seed. Costs are a training seed's, empty if
unknown."""

Cell = str | float | MetricValue
"""Text; a metric whose interval stands elsewhere; a metric with its interval."""


@dataclass(frozen=True)
class Table:
    """A table before it is drawn.

    Attributes:
        title: one line.
        header: (n_columns,) names.
        rows: each (n_columns,).
        notes: lines that belong under it.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


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
    """Methods under test by aggregate mean, best first; then controls, those of every table first; then ceilings.

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

    def place(record: RunRecord) -> tuple[int, int, float, str, str]:
        name, family = record.method.name, record.method.family
        kind = 2 if name == "expert" or family == "ceiling" else 1 if name in CONTROLS or family == "control" else 0
        rank = CONTROLS.index(name) if name in CONTROLS else len(CONTROLS)
        return kind, rank, -record.metrics.aggregate.mean.value, name, record.run_id

    return sorted(records, key=place)


def method_labels(records: Sequence[RunRecord]) -> list[str]:
    """The method's name; with the run's where a method stands there more than once."""
    times = Counter(record.method.name for record in records)
    return [
        record.method.name if times[record.method.name] == 1 else f"{record.method.name} ({record.run_id})"
        for record in records
    ]


def result_table(records: Sequence[RunRecord], metric: str = "mean") -> Table:
    """One metric: a row a task, then the aggregate; a column a method.

    With more methods than `MANY`: a row a method; the aggregate with its interval, then a column a task without.
    """
    ordered = in_order(records)
    first, labels = ordered[0], method_labels(ordered)
    notes = (ONE_POLICY_NOTE,) if any(_shown(r, metric, AGGREGATE) == NOTHING for r in ordered) else ()
    title = f"{metric}: {first.suite.name}, split {first.split.name}, success with 95 % intervals; "
    title += protocol_text(first)
    rows: list[tuple[Cell, ...]]
    if len(ordered) <= MANY:
        rows = [(task, *(_shown(r, metric, task) for r in ordered)) for task in (*first.split.test, AGGREGATE)]
        return Table(title, ("task", *labels), tuple(rows), notes)
    rows = []
    for record, label in zip(ordered, labels, strict=True):
        by_task = (_shown(record, metric, task) for task in first.split.test)
        points = (cell.value if isinstance(cell, MetricValue) else cell for cell in by_task)
        rows.append((label, _shown(record, metric, AGGREGATE), *points))
    return Table(title, ("method", AGGREGATE, *first.split.test), tuple(rows), notes)


def _shown(record: RunRecord, metric: str, task: str) -> str | MetricValue:
    """A metric of one task (or the aggregate), unless there is nothing that it could select from."""
    if metric in SELECTING and record.method.deterministic_candidates:
        return NOTHING
    return record.metrics.aggregate[metric] if task == AGGREGATE else record.metrics.tasks[task][metric]


def protocol_text(record: RunRecord) -> str:
    """The protocol in a few words."""
    p = record.protocol
    return f"{p.shots} prompts, {p.candidates} candidates, {p.episodes} test and {p.select_episodes} select layouts"


def summary_table(records: Sequence[RunRecord]) -> Table:
    """Every metric of the aggregate: a row a method, with what it used and what it took."""
    ordered = in_order(records)
    rows: list[tuple[Cell, ...]] = [
        (label, *(_shown(record, metric, AGGREGATE) for metric in METRICS), record.method.uses, *_costs(record))
        for record, label in zip(ordered, method_labels(ordered), strict=True)
    ]
    first = ordered[0]
    notes = [LEGACY_NOTE, ORACLE_NOTE, COST_NOTE]
    if any(record.method.deterministic_candidates for record in ordered):
        notes.append(ONE_POLICY_NOTE)
    if any(NOTHING in _costs(record) for record in ordered):
        notes.append(UNSAID_NOTE)
    metrics = [MARKED.get(metric, metric) for metric in METRICS]
    return Table(
        title=f"summary: {first.suite.name}, split {first.split.name}, mean of tasks",
        header=("method", *metrics, "uses", "parameters", "fit s", "adapt s", "test env steps", "peak MB"),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def own_table(records: Sequence[RunRecord]) -> Table:
    """What was measured of one method, or of a few that belong together: a row a record, which need not compare."""
    rows: list[tuple[Cell, ...]] = []
    for record in records:
        shown = (_shown(record, metric, AGGREGATE) for metric in ("mean", "top5_selected", "qualified_rate"))
        _, fit, adapt, *_ = _costs(record)
        about = record.method.name, f"{record.suite.name} {record.split.name}", str(len(record.seeds.train))
        rows.append((*about, *shown, fit, adapt))
    return Table(
        title="measured",
        header=("method", "split", "seeds", "mean", "top5_selected", "qualified_rate", "fit s", "adapt s"),
        rows=tuple(rows),
    )


def _costs(record: RunRecord) -> tuple[str, ...]:
    """Parameters, seconds to fit and to adapt, test-time environment steps, peak memory."""
    cost, seeds = record.cost, len(record.seeds.train)
    steps = cost.test_environment_steps
    return (
        NOTHING if cost.parameters is None else format_count(cost.parameters),
        format_seconds(cost.seconds.fit / seeds),
        format_seconds(cost.seconds.generate / seeds),
        NOTHING if steps is None else format_count(round(steps / seeds)),
        f"{cost.peak_mb:.0f}",
    )


def long_rows(records: Sequence[RunRecord]) -> list[tuple[str, ...]]:
    """One row a record, task and metric, with `LONG_COLUMNS`; in the order of `records`.

    A method of one policy has no row of a metric that selects among several.
    """
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
            str(record.candidates_evaluated),
            *_long_costs(record),
        )
        for task, values in record.metric_sets():
            for metric in METRICS:
                if metric in SELECTING and record.method.deterministic_candidates:
                    continue
                cell = values[metric]
                numbers = (f"{x:.6f}" for x in (cell.value, *cell.ci))
                rows.append((*group, *method, task, metric, *numbers))
    return rows


def _long_costs(record: RunRecord) -> tuple[str, ...]:
    cost, seeds = record.cost, len(record.seeds.train)
    steps = cost.test_environment_steps
    return (
        "" if cost.parameters is None else str(cost.parameters),
        f"{cost.seconds.fit / seeds:.3f}",
        f"{cost.seconds.generate / seeds:.3f}",
        "" if steps is None else f"{steps / seeds:.0f}",
        f"{cost.peak_mb:.1f}",
    )


def format_value(x: float) -> str:
    """`.41`, `1.00`."""
    return f"{x:.2f}".removeprefix("0")


def format_interval(cell: MetricValue) -> str:
    """`[.30, .52]`."""
    return f"[{format_value(cell.ci[0])}, {format_value(cell.ci[1])}]"


def format_count(count: int) -> str:
    """`950`, `12.4k`, `1.3M`: three digits."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= unit:
            return f"{count / unit:.{1 if count < 99.95 * unit else 0}f}{name}"
    return str(count)


def format_seconds(seconds: float) -> str:
    """`0.4`, `12`, `3600`."""
    return f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"
