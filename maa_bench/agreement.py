"""A record against its episodes: are they those of its run, and do its numbers follow from them?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from maa_bench.episodes import EpisodeGrid
from maa_bench.errors import RecordError
from maa_bench.metrics import METRICS, all_metrics
from maa_bench.record import RunRecord
from maa_bench.record_metrics import Metrics, MetricSet, MetricValue, StepsValue
from maa_bench.stats import Estimate, intervals
from maa_bench.stats.steps import Steps, mean_steps, steps_to_success

if TYPE_CHECKING:
    import pyarrow as pa

TOLERANCE = 1.5e-6
"""Of numbers of six decimals; relative where they are above 1. The last decimal may be another on another machine."""

MAX_DRAWN = 10_000
"""Policies (training seeds x candidates) or layouts of a task, which are drawn thousands of times for an interval."""

STEPS = "steps_to_success"

Numbers = dict[str, tuple[float, ...]]
"""A value, a value with both ends of its interval, or nothing, by what it is of."""


def metrics_of_grid(grid: EpisodeGrid) -> Metrics:
    """Every metric, with its interval, as a record has them.

    Raises:
        RecordError: more policies or layouts than intervals can be made of.
    """
    for task, outcomes in grid.tasks.items():
        n_seeds, n_candidates, n_layouts = outcomes.success.shape
        most = max(n_seeds * n_candidates, n_layouts, 0 if outcomes.select is None else outcomes.select.shape[2])
        if most > MAX_DRAWN:
            raise RecordError(
                f"episodes: task {task!r} has {most:,} policies or layouts, at most {MAX_DRAWN:,} are allowed"
            )

    def metric_set(estimates: Mapping[str, Estimate], steps: Steps | None) -> MetricSet:
        values = {k: MetricValue(value=e.value, ci=(e.lo, e.hi)) for k, e in estimates.items()}
        return MetricSet(**values, steps_to_success=None if steps is None else StepsValue.of(steps))

    tasks, aggregate = intervals(grid.tasks)
    steps, steps_of_all = steps_to_success(grid.first)
    return Metrics(
        tasks={task: metric_set(e, steps[task]) for task, e in tasks.items()},
        aggregate=metric_set(aggregate, steps_of_all),
    )


def check_run(record: RunRecord, grid: EpisodeGrid, table: pa.Table) -> None:
    """The episodes are those that the record tells of, no fewer and no others.

    Args:
        record: the record.
        grid: its episodes' outcomes.
        table: the rows that they are of.

    Raises:
        RecordError: what differs.
    """

    def same(what: str, episodes: object, recorded: object) -> None:
        if episodes != recorded:
            raise RecordError(f"{what}: the episodes have {episodes}, the record says {recorded}")

    same("method", grid.method, record.method.name)
    same("suite", grid.suite, record.suite.name)
    same("split", grid.split, record.split.name)
    same("test tasks", sorted(grid.tasks), sorted(record.split.test))
    same("training seeds", list(grid.seeds), sorted(record.seeds.train))
    for task, outcomes in grid.tasks.items():
        _, candidates, layouts = outcomes.success.shape
        same(f"candidates of task {task!r}", candidates, record.candidates_evaluated)
        same(f"test layouts of task {task!r}", layouts, record.protocol.episodes)
        if outcomes.select is not None:
            same(f"select layouts of task {task!r}", outcomes.select.shape[2], record.protocol.select_episodes)
    latest = int(np.max(table.column("first_success_step").to_numpy()))
    if latest > record.protocol.horizon:
        raise RecordError(f"first_success_step: {latest} is beyond the horizon of {record.protocol.horizon} steps")


def check_numbers(record: RunRecord, grid: EpisodeGrid, with_intervals: bool = True) -> None:
    """The numbers that a record states are those that its episodes give.

    Args:
        record: of that run, see `check_run`.
        grid: its episodes' outcomes.
        with_intervals: make the intervals again, too. They take nearly all of the time.

    Raises:
        RecordError: the first number that is another one.
    """
    if with_intervals:
        again = record.model_copy(update={"metrics": metrics_of_grid(grid)})
        made: Iterator[Numbers] = (_stated(values) for _, values in again.metric_sets())
    else:
        made = _values(grid, record.split.test)
    for (task, values), numbers in zip(record.metric_sets(), made, strict=True):
        for name, was in _stated(values).items():
            now = numbers[name]
            stated = was if with_intervals else was[:1]
            if not _same(stated, now):
                says, give = (_said(numbers, with_intervals) for numbers in (stated, now))
                raise RecordError(f"{name} of {task!r} is {says}, but its episodes give {give}")


def _stated(values: MetricSet) -> Numbers:
    """What a record says of one task, or of the mean of all."""
    numbers: Numbers = {metric: (values[metric].value, *values[metric].ci) for metric in METRICS}
    steps = values.steps_to_success
    return {**numbers, STEPS: () if steps is None else (steps.value, *(steps.ci or ()))}


def _values(grid: EpisodeGrid, tasks: tuple[str, ...]) -> Iterator[Numbers]:
    """What the episodes give, without intervals: of each task, then of the mean of all."""
    sums = dict.fromkeys(METRICS, 0.0)
    known = []
    for task in tasks:
        outcomes, steps = grid.tasks[task], mean_steps(grid.first[task])
        values = all_metrics(outcomes.success, outcomes.select)
        sums = {metric: total + values[metric] for metric, total in sums.items()}
        known += [] if steps is None else [steps]
        yield {**{metric: (value,) for metric, value in values.items()}, STEPS: () if steps is None else (steps,)}
    means: Numbers = {metric: (total / len(tasks),) for metric, total in sums.items()}
    yield {**means, STEPS: (sum(known) / len(known),) if known else ()}


def _same(stated: tuple[float, ...], made: tuple[float, ...]) -> bool:
    numbers = zip(stated, made, strict=False)
    return len(stated) == len(made) and all(abs(a - b) <= TOLERANCE * max(1, b) for a, b in numbers)


def _said(numbers: tuple[float, ...], with_intervals: bool) -> str:
    if not numbers:
        return "none"
    value, *ends = numbers
    if not with_intervals:
        return str(round(value, 6))
    return f"{value} {ends}" if ends else f"{value} without an interval"
