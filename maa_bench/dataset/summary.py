"""What a dataset holds, in numbers: from its manifest, and from the few columns that the manifest does not sum up."""

from __future__ import annotations

from typing import Any

import numpy as np

from maa_bench.dataset.collect import KINDS
from maa_bench.dataset.peek import look
from maa_bench.dataset.store import CheckpointDataset, Entry
from maa_bench.protocol import PROMPT_SOURCES

COUNTS = ("rows", *KINDS, "duplicates", "surplus", "diverged")
"""Sums over a task's checkpoint shards."""


def summary(data: CheckpointDataset) -> dict[str, Any]:
    """Counts, success, prompts and sizes, as JSON.

    Raises:
        DataError: a shard is missing, truncated or cannot be read.
    """
    tasks = [_task_summary(data, task) for task in data.tasks]
    totals = {name: sum(task[name] for task in tasks) for name in (*COUNTS, "transitions")}
    every = data.shards.values()
    return {
        "id": data.id,
        "folder": str(data.folder),
        "suite": data.suite.name,
        "producer": data.producer,
        "bytes": sum(int(entry["bytes"]) for entry in every),
        "environment_steps": _total(every, "environment_steps"),
        **totals,
        "tasks": tasks,
    }


def _task_summary(data: CheckpointDataset, task: str) -> dict[str, Any]:
    """One task; `prompts` are the trajectories of each source that the protocol may show."""
    checkpoints, transitions = data.entries("checkpoints", task), data.entries("transitions", task)
    every = [*checkpoints.values(), *transitions.values()]
    return {
        "task": task,
        **{name: _total(checkpoints.values(), name) for name in COUNTS},
        "transitions": _total(transitions.values(), "rows"),
        "bytes": _total(every, "bytes"),
        "environment_steps": _total(every, "environment_steps"),
        "prompts": {source: data.n_prompts(task, source) for source in PROMPT_SOURCES},
        "runs": [_run_summary(data, shard, entry) for shard, entry in checkpoints.items()],
    }


def _run_summary(data: CheckpointDataset, shard: str, entry: Entry) -> dict[str, Any]:
    """One run; its mean success is over its rows, None without any."""
    success = look(data, shard, ["success"])["success"].to_numpy()
    return {
        "run": entry["run"],
        "role": entry["role"],
        **{name: int(entry[name]) for name in ("rows", *KINDS)},
        "mean_success": round(float(np.mean(success, dtype=np.float64)), 6) if len(success) else None,
    }


def _total(entries: Any, name: str) -> int:
    return sum(int(entry[name]) for entry in entries)
