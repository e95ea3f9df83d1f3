"""The two kinds of job that a build consists of: recording a task's experts, and training runs together."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maa_bench.dataset.collect import RunRows
from maa_bench.dataset.config import DatasetPlan
from maa_bench.dataset.experts import expert_episodes
from maa_bench.dataset.producers import Training, TrainingRun
from maa_bench.dataset.producers.registry import load_producer
from maa_bench.dataset.store import Entry
from maa_bench.dataset.tables import transitions_of, write_checkpoints, write_transitions
from maa_bench.execution import Report
from maa_bench.files import sha256_of, write_json
from maa_bench.simulators import opened_task

ROWS = "rows"
"""The stage that a job reports: checkpoints of success 1 so far."""

BUILD = "build"
"""Folder inside a dataset's that is the builder's own: what is finished, and what producers want to find again."""


def checkpoint_shard(run: TrainingRun) -> str:
    """Where a run's checkpoints lie in a dataset's folder."""
    return f"checkpoints/{run.task}/{run.name}.parquet"


def run_transitions_shard(run: TrainingRun) -> str:
    """Where the episodes of a run's checkpoints lie."""
    return f"transitions/{run.task}/{run.name}.parquet"


def expert_shard(task: str) -> str:
    """Where the episodes of a task's experts lie."""
    return f"transitions/{task}/expert-00.parquet"


def entry_path(folder: Path, shard: str) -> Path:
    """Where a build keeps the entry of a finished shard."""
    return (folder / BUILD / shard).with_suffix(".json")


def finished_entry(folder: Path, shard: str) -> Entry | None:
    """The entry of a shard that is there and whole."""
    try:
        entry: Entry = json.loads(entry_path(folder, shard).read_text())
        return entry if entry["sha256"] == sha256_of(folder / shard) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def new_entry(folder: Path, shard: str, started: float, **about: Any) -> Entry:
    """Describe a shard that was just written, and keep that for a build that goes on later."""
    path = folder / shard
    entry = {
        **about,
        "bytes": path.stat().st_size,
        "sha256": sha256_of(path),
        "seconds": round(time.monotonic() - started, 3),
    }
    write_json(entry_path(folder, shard), entry)
    return entry


@dataclass(frozen=True)
class ExpertJob:
    """Record the noisy experts of one task."""

    plan: DatasetPlan
    task: str
    folder: Path

    def __call__(self, report: Report) -> dict[str, Entry]:
        """Write the shard; returns its manifest entry by its path."""
        started = time.monotonic()
        suite = self.plan.suite
        simulator = opened_task(suite, self.task)
        rng = np.random.default_rng([list(suite.tasks).index(self.task), 1])
        episodes = expert_episodes(simulator, suite.layouts(self.task, "train"), self.plan.experts(self.task), rng)
        role = "train" if self.task in self.plan.trained else "prompt"
        shard = expert_shard(self.task)
        write_transitions(self.folder / shard, self.task, role, episodes, suite.policy)
        about = {"table": "transitions", "task": self.task, "role": role, "run": "expert-00"}
        counts = {"rows": len(episodes), "environment_steps": len(episodes)}
        return {shard: new_entry(self.folder, shard, started, **about, **counts)}


@dataclass(frozen=True)
class RunsJob:
    """Train some runs together, and write the shards of each; of their tasks' experts too, where nobody else does."""

    plan: DatasetPlan
    runs: tuple[TrainingRun, ...]
    folder: Path

    def __call__(self, report: Report) -> dict[str, Entry]:
        """Write the shards; returns their manifest entries by path."""
        import pyarrow.parquet as pq

        started = time.monotonic()
        suite, runs = self.plan.suite, self.runs
        tasks = list(dict.fromkeys(run.task for run in runs))
        simulators = {task: opened_task(suite, task) for task in tasks}
        entries: dict[str, Entry] = {}
        for task in tasks:
            shard = expert_shard(task)
            found = finished_entry(self.folder, shard)  # another process may have recorded it meanwhile
            entries |= ExpertJob(self.plan, task, self.folder)(report) if found is None else {shard: found}
        numbers = {(task, run.name): i for task in tasks for i, run in enumerate(self.plan.runs(task))}
        collected = [RunRows(run, self.plan, simulators[run.task], numbers[run.task, run.name]) for run in runs]
        tables = {task: pq.read_table(self.folder / expert_shard(task)) for task in tasks}
        training = Training(
            suite=suite,
            runs=runs,
            settings=self.plan.settings,
            experts={task: transitions_of(table, suite.policy) for task, table in tables.items()},
            work=self._work_folder(),
            wants=lambda run, kind: collected[run].wants(kind),
            kept=lambda run, kind: collected[run].kept[kind],
            report=report,
            device=self.plan.device,
        )
        wanted = sum(run.verified for run in runs)
        done = 0
        for snapshot in load_producer(self.plan.producer).train(training):
            own = collected[snapshot.run]
            before = own.kept["verified"]
            own.take(snapshot)
            done += own.kept["verified"] - before
            report(ROWS, done, wanted)
        for own in collected:
            entries |= self._write(own, started)
            started = time.monotonic()
        shutil.rmtree(training.work, ignore_errors=True)
        return entries

    def _work_folder(self) -> Path:
        first = self.runs[0]
        work = self.folder / BUILD / "work" / f"{first.task}.{first.name}"
        work.mkdir(parents=True, exist_ok=True)
        return work

    def _write(self, own: RunRows, started: float) -> dict[str, Entry]:
        run, spec = own.run, self.plan.suite.policy
        episodes = own.act()
        shard = checkpoint_shard(run)
        write_checkpoints(self.folder / shard, own.rows, spec)
        about = {"table": "checkpoints", "task": run.task, "role": run.role, "run": run.name, "rows": len(own.rows)}
        counts = {
            **own.kept,
            "duplicates": own.duplicates,
            "surplus": own.surplus,
            "diverged": own.diverged,
            "environment_steps": own.env_steps,
        }
        entries = {shard: new_entry(self.folder, shard, started, **about, **counts)}
        if self.plan.config.run_episodes:
            started = time.monotonic()
            shard = run_transitions_shard(run)
            write_transitions(self.folder / shard, run.task, run.role, episodes, spec)
            about = {"table": "transitions", "task": run.task, "role": run.role, "run": run.name}
            entries[shard] = new_entry(self.folder, shard, started, **about, rows=len(episodes), environment_steps=0)
        return entries
