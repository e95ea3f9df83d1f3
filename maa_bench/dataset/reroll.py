"""Rolling checkpoints of a dataset out again: what was measured then must come out now, to the bit."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maa_bench.dataset.checks import Problems
from maa_bench.dataset.measure import first_success_steps, no_behavior, record_behavior
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.dataset.tables import vectors
from maa_bench.errors import one_line
from maa_bench.execution import Report
from maa_bench.forward import PackedPolicy
from maa_bench.simulators import TaskSimulator, simulator_of
from maa_bench.suite import Suite, load_suite

ROWS = "rows"
"""The stage that a job reports."""
ROWS_A_JOB = 16

Place = tuple[str, int]
"""A row: its shard and its number in it."""


@dataclass(frozen=True)
class RerollJob:
    """Roll some rows of one task out again; returns its `Problems`.

    Attributes:
        suite: name or path of the suite.
        folder: the dataset's.
        task: the rows' task.
        rows: where they are, sorted.
    """

    suite: str
    folder: Path
    task: str
    rows: tuple[Place, ...]

    def __call__(self, report: Report) -> Problems:
        suite, problems = load_suite(self.suite), Problems()
        simulator = simulator_of(suite).open_task(suite.task(self.task))
        for done, (shard, number) in enumerate(self.rows, start=1):
            row = _read_row(self.folder / shard, number)
            problem = _difference(suite, simulator, row)
            if problem is not None:
                problems.add(f"{shard}, row {one_line(row['row_id'])}: {problem}")
            report(ROWS, done, len(self.rows))
        return problems


def draw_rows(data: CheckpointDataset, sample: int, seed: int) -> dict[str, list[Place]]:
    """A random sample of checkpoints by task: as many of each as there are, and one of every task at least."""
    rng = np.random.default_rng(seed)
    waiting: dict[str, list[Place]] = {}
    for task in data.tasks:
        places = [(shard, i) for shard, e in data.entries("checkpoints", task).items() for i in range(e["rows"])]
        waiting[task] = [places[i] for i in rng.permutation(len(places))]
    drawn: dict[str, list[Place]] = defaultdict(list)
    left = max(sample, sum(bool(places) for places in waiting.values()))
    while left > 0 and any(waiting.values()):
        for task, places in waiting.items():
            if places and left > 0:
                drawn[task].append(places.pop())
                left -= 1
    return {task: sorted(places) for task, places in drawn.items()}


def reroll_jobs(data: CheckpointDataset, drawn: dict[str, list[Place]]) -> list[RerollJob]:
    """The jobs that roll a sample out."""
    return [
        RerollJob(data.suite.source, data.folder, task, tuple(places[i : i + ROWS_A_JOB]))
        for task, places in drawn.items()
        for i in range(0, len(places), ROWS_A_JOB)
    ]


def _read_row(path: Path, number: int) -> dict[str, Any]:
    """One row of a shard, without reading the row groups of others."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, memory_map=True) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if number < rows:
                table = file.read_row_group(group).slice(number, 1)
                break
            number -= rows
    fixed = {f.name: f.type.list_size for f in table.schema if hasattr(f.type, "list_size")}
    row: dict[str, Any] = table.drop_columns(list(fixed)).to_pylist()[0]
    return row | {name: vectors(table[name], (size,))[0] for name, size in fixed.items()}


def _difference(suite: Suite, simulator: TaskSimulator, row: dict[str, Any]) -> str | None:
    """What comes out otherwise than the row says."""
    layouts = suite.layouts(row["task"], "train")
    policy = PackedPolicy(suite.policy, row["params"])
    firsts, _ = first_success_steps(simulator, policy, layouts[row["layouts"]], suite.horizon)
    if firsts != row["first_success_steps"]:
        return f"first-success steps {row['first_success_steps']}, but rolled out again {firsts}"
    if max(firsts) < 0:
        again = no_behavior(suite.policy)
    else:
        again, _ = record_behavior(simulator, policy, layouts[row["behavior_layout"]], suite.horizon)
    for name in ("observations", "actions", "outcome"):
        if getattr(again, name).astype(np.float32).tobytes() != row[name].tobytes():
            return f"its {name} are not those of its policy, rolled out again"
    return None
