"""From run records to rows: what stands in which cell. Pure; `maa_bench.report.render` does the drawing.

A table holds records of one group only: same suite and layouts, split, dataset and protocol. Anything else
would compare numbers that do not compare.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from maa_bench.errors import RecordError
from maa_bench.metrics import METRICS
from maa_bench.record import AGGREGATE, RunRecord
from maa_bench.record_metrics import MetricSet

CONTROLS = ("random_seen", "nearest_checkpoint", "bc_on_prompts", "random_weights", "expert")
"""The controls of a table, in their fixed order, after the methods under test. `bc_on_prompts`, the strongest, is not
among `registry.CONTROLS`: it is fitted for each prompt, so a run makes it only when asked."""

MARKED = {"oracle_best": "oracle_best (‡)", "legacy_top5": "legacy_top5 (†)", "legacy_best": "legacy_best (†)"}
"""Headers of the metrics that need a warning."""
LIFT = "lift"
LIFT_DEFINITION = (
    "(method - random_seen) / (expert - random_seen), of the aggregate mean: 0 is drawing checkpoints of the training "
    "tasks, 1 is the expert."
)
LIFT_NOTE = (
    "lift: (method - random_seen) / (expert - random_seen), of mean: 0 is random seen checkpoints, 1 the expert; the "
    "interval is paired, and missing where the data allow any"
)
IQM = "iqm"
IQM_DEFINITION = (
    "Interquartile mean: the mean of the middle half of all runs (a training seed on a task is one). It tells of the "
    "bulk of the runs; `mean` tells of all of them. The interval draws the training seeds of each task apart, as "
    "rliable does, and says nothing of layouts; of a single training seed there is none."
)
IQM_NOTE = (
    "iqm: interquartile mean over runs and tasks, with rliable's interval, which draws training seeds alone and is too "
    "narrow with few of them: decide by mean"
)
STEPS = "steps to success"
STEPS_NOTE = f"{STEPS}: mean first-success step of the episodes that succeed; {{}}: none does"
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


@runtime_checkable
class Measured(Protocol):
    """A number with its 95 % interval: a record's metric, or a `Ranged`."""

    @property
    def value(self) -> float:
        """Point estimate."""
        ...

    @property
    def ci(self) -> tuple[float, float]:
        """(low, high)."""
        ...


class Ranged(NamedTuple):
    """A number of any range with its interval."""

    value: float
    ci: tuple[float, float]


Cell = str | float | Measured
"""Text; a number whose interval stands elsewhere or is none; a number with its interval."""


@dataclass(frozen=True)
class Extra:
    """What the files beside a record say of it and of those that it compares with.

    Attributes:
        iqm: `stats.runs.iqm` of its runs; without an interval where there is a single training seed.
        lift: None where there is no scale, as without `random_seen` or `expert`.
        distances: by task or `AGGREGATE`, then by name; without what was not measured (`report.diversity`).
    """

    iqm: Cell
    lift: Cell | None = None
    distances: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


Extras = Mapping[str, Extra]
"""By `key_of` the record."""


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

    return sorted(records, key=place)


def place(record: RunRecord) -> tuple[int, int, float, str, str]:
    """What `in_order` sorts by."""
    name, family = record.method.name, record.method.family
    kind = 2 if name == "expert" or family == "ceiling" else 1 if name in CONTROLS or family == "control" else 0
    rank = CONTROLS.index(name) if name in CONTROLS else len(CONTROLS)
    return kind, rank, -record.metrics.aggregate.mean.value, name, record.run_id


def standing(record: RunRecord) -> tuple[int, str]:
    """Of a method's records that compare, the one that stands for it has the highest: training seeds, then `run_id`."""
    return len(record.seeds.train), record.run_id


def key_of(record: RunRecord) -> str:
    """What a record is filed under: its folder."""
    return f"{record.method.name}/{record.run_id}"


def method_labels(records: Sequence[RunRecord]) -> list[str]:
    """The method's name; with the run's where a method stands there more than once."""
    times = Counter(record.method.name for record in records)
    return [
        record.method.name if times[record.method.name] == 1 else f"{record.method.name} ({record.run_id})"
        for record in records
    ]


def result_table(records: Sequence[RunRecord], metric: str = "mean") -> Table:
    """One metric: a row a task, then the aggregate; a column a method.

    With more methods than `MANY`: as `method_rows`.
    """
    ordered = in_order(records)
    if len(ordered) > MANY:
        return method_rows(ordered, metric)
    tasks = (*ordered[0].split.test, AGGREGATE)
    rows = tuple((task, *(shown(r, metric, task) for r in ordered)) for task in tasks)
    header = ("task", *method_labels(ordered))
    return Table(_result_title(ordered, metric), header, rows, _result_notes(ordered, metric))


def method_rows(records: Sequence[RunRecord], metric: str = "mean") -> Table:
    """One metric: a row a method; the aggregate with its interval, then a column a task without."""
    ordered = in_order(records)
    rows: list[tuple[Cell, ...]] = []
    for record, label in zip(ordered, method_labels(ordered), strict=True):
        by_task = (shown(record, metric, task) for task in record.split.test)
        points = (cell.value if isinstance(cell, Measured) else cell for cell in by_task)
        rows.append((label, shown(record, metric, AGGREGATE), *points))
    header = ("method", AGGREGATE, *ordered[0].split.test)
    return Table(_result_title(ordered, metric), header, tuple(rows), _result_notes(ordered, metric))


def _result_title(ordered: Sequence[RunRecord], metric: str) -> str:
    first = ordered[0]
    return (
        f"{MARKED.get(metric, metric)}: {first.suite.name}, split {first.split.name}, success with 95 % intervals; "
        f"{protocol_text(first)}"
    )


def _result_notes(ordered: Sequence[RunRecord], metric: str) -> tuple[str, ...]:
    one_policy = any(shown(r, metric, AGGREGATE) == NOTHING for r in ordered)
    return (*metric_notes(metric), *((ONE_POLICY_NOTE,) if one_policy else ()))


def metric_notes(metric: str) -> tuple[str, ...]:
    """The warning that belongs under every number of a metric of `MARKED`."""
    if metric not in MARKED:
        return ()
    return (ORACLE_NOTE,) if metric == "oracle_best" else (LEGACY_NOTE,)


def shown(record: RunRecord, metric: str, task: str) -> str | Measured:
    """A metric of one task (or the aggregate), unless there is nothing that it could select from."""
    if metric in SELECTING and record.method.deterministic_candidates:
        return NOTHING
    return record.metrics.aggregate[metric] if task == AGGREGATE else record.metrics.tasks[task][metric]


def steps_cell(values: MetricSet) -> Cell | None:
    """Steps to success: the number alone where a single success gives no interval, None where nothing succeeded."""
    steps = values.steps_to_success
    if steps is None:
        return None
    ci: tuple[float, float] | None = steps.ci
    return float(steps.value) if ci is None else Ranged(steps.value, ci)


def protocol_text(record: RunRecord) -> str:
    """The protocol in a few words."""
    p = record.protocol
    return f"{p.shots} prompts, {p.candidates} candidates, {p.episodes} test and {p.select_episodes} select layouts"


def metric_table(records: Sequence[RunRecord], extras: Extras | None = None) -> Table:
    """Every metric of the aggregate: a row a method.

    Args:
        records: of one group.
        extras: without them there is no interquartile mean; there is no lift where none of them has one.
    """
    ordered = in_order(records)
    found = [(extras or {}).get(key_of(record)) for record in ordered]
    columns: list[tuple[str, Sequence[Cell]]] = [("method", method_labels(ordered))]
    for metric in METRICS:
        columns.append((MARKED.get(metric, metric), [shown(record, metric, AGGREGATE) for record in ordered]))
        if metric == "mean" and any(found):
            columns.append((IQM, [NOTHING if extra is None else extra.iqm for extra in found]))
        if metric == "mean" and any(extra and extra.lift is not None for extra in found):
            columns.append((LIFT, [NOTHING if extra is None or extra.lift is None else extra.lift for extra in found]))
    columns.append((STEPS, [steps_cell(record.metrics.aggregate) or NOTHING for record in ordered]))
    header, cells = zip(*columns, strict=True)
    about = {IQM: IQM_NOTE, LIFT: LIFT_NOTE}
    notes = [about[name] for name in header if name in about]
    notes += [LEGACY_NOTE, ORACLE_NOTE, STEPS_NOTE.format(NOTHING)]
    if any(record.method.deterministic_candidates for record in ordered):
        notes.append(ONE_POLICY_NOTE)
    return Table(_summary_title(ordered), header, tuple(zip(*cells, strict=True)), tuple(notes))


def cost_table(records: Sequence[RunRecord]) -> Table:
    """What each method used and what it took: a row a method."""
    ordered = in_order(records)
    rows: list[tuple[Cell, ...]] = [
        (label, record.method.uses, str(len(record.seeds.train)), *_costs(record))
        for record, label in zip(ordered, method_labels(ordered), strict=True)
    ]
    notes = (COST_NOTE, UNSAID_NOTE) if any(NOTHING in row for row in rows) else (COST_NOTE,)
    costs = ("parameters", "fit s", "adapt s", "test env steps", "peak MB")
    return Table(f"cost: {_summary_title(ordered)}", ("method", "uses", "seeds", *costs), tuple(rows), notes)


def summary_table(records: Sequence[RunRecord]) -> Table:
    """`metric_table` and `cost_table` beside one another."""
    metrics, costs = metric_table(records), cost_table(records)
    return Table(
        title=f"summary: {metrics.title}",
        header=(*metrics.header, *costs.header[1:]),
        rows=tuple((*left, *right[1:]) for left, right in zip(metrics.rows, costs.rows, strict=True)),
        notes=(*metrics.notes, *costs.notes),
    )


def _summary_title(ordered: Sequence[RunRecord]) -> str:
    return f"{ordered[0].suite.name}, split {ordered[0].split.name}, mean of tasks"


def own_table(records: Sequence[RunRecord]) -> Table:
    """What was measured of one method, or of a few that belong together: a row a record, which need not compare."""
    rows: list[tuple[Cell, ...]] = []
    for record in records:
        cells = (shown(record, metric, AGGREGATE) for metric in ("mean", "top5_selected", "qualified_rate"))
        _, fit, adapt, *_ = _costs(record)
        about = record.method.name, f"{record.suite.name} {record.split.name}", str(len(record.seeds.train))
        rows.append((*about, *cells, fit, adapt))
    return Table(
        title="measured",
        header=("method", "split", "seeds", "mean", "top5_selected", "qualified_rate", "fit s", "adapt s"),
        rows=tuple(rows),
    )


class SeedCost(NamedTuple):
    """What one training seed took, the mean of all: seconds, and environment steps (None if not recorded)."""

    fit_s: float
    adapt_s: float
    test_env_steps: int | None


def seed_cost(record: RunRecord) -> SeedCost:
    """The costs of a record that grow with the number of its training seeds."""
    cost, seeds = record.cost, len(record.seeds.train)
    steps = cost.test_environment_steps
    return SeedCost(
        cost.seconds.fit / seeds, cost.seconds.generate / seeds, None if steps is None else round(steps / seeds)
    )


def _costs(record: RunRecord) -> tuple[str, ...]:
    """Parameters, seconds to fit and to adapt, test-time environment steps, peak memory."""
    parameters, of_seed = record.cost.parameters, seed_cost(record)
    return (
        NOTHING if parameters is None else format_count(parameters),
        format_seconds(of_seed.fit_s),
        format_seconds(of_seed.adapt_s),
        NOTHING if of_seed.test_env_steps is None else format_count(of_seed.test_env_steps),
        f"{record.cost.peak_mb:.0f}",
    )


def format_value(x: float) -> str:
    """`.41`, `1.00`, `-.05`; of 10 and more without decimals: `57`."""
    if abs(x) >= 9.995:
        return f"{x:.0f}"
    sign, digits = ("-", f"{-x:.2f}") if round(x, 2) < 0 else ("", f"{abs(x):.2f}")
    return sign + digits.removeprefix("0")


def format_interval(cell: Measured) -> str:
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
