"""Writing checkpoints in the released format, one raw `.pt` file a task, as the official training reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maa_bench.dataset.official import write_raw
from maa_bench.dataset.schema import ROLES
from maa_bench.dataset.share import require_room
from maa_bench.dataset.store import CheckpointDataset, params_of
from maa_bench.dataset.tables import concatenated, vectors
from maa_bench.errors import DataError, did_you_mean
from maa_bench.policy import Float32
from maa_bench.progress import Progress
from maa_bench.prompts import OUTCOME, SEGMENT, STRIDE, Behaviors


def export_official(
    data: CheckpointDataset,
    folder: Path,
    progress: Progress,
    *,
    tasks: Sequence[str] = (),
    role: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write `<task>.pt` for each task: its checkpoints of success 1, in the manifest's order; each file whole or not.

    Args:
        data: the dataset.
        folder: where the files go.
        progress: shows the tasks.
        tasks: only these; default: all.
        role: of the runs; default: train for tasks that some split trains on, prompt for others.
        overwrite: files that are there may be replaced.

    Returns:
        The files.

    Raises:
        DataError: a task that is not in the dataset or has no such checkpoint, a file that is there, too little disk,
            a damaged shard.
    """
    if role is not None and role not in ROLES:
        raise DataError(f"unknown role {role!r}.{did_you_mean(role, ROLES)}")
    spec = data.suite.policy
    chosen = {task: _shards(data, task, role) for task in tasks or data.tasks}
    files = [folder / f"{task}.pt" for task in chosen]
    there = [file for file in files if file.exists()]
    if there and not overwrite:
        raise DataError(f"{there[0]} is there already: --overwrite replaces it")
    behavior = SEGMENT // STRIDE * (spec.obs_dim + STRIDE * spec.action_dim) + OUTCOME * spec.obs_dim
    rows = sum(data.shards[shard]["verified"] for shards in chosen.values() for shard in shards)
    require_room(folder, rows * (4 * spec.n_params + 8 * behavior), f"the export of {data.id}")
    with progress.stage("export", len(chosen), "tasks") as stage:
        for file, shards in zip(files, chosen.values(), strict=True):
            write_raw(file, *_read(data, shards))
            stage.advance()
    return files


def _shards(data: CheckpointDataset, task: str, role: str | None) -> list[str]:
    """The shards to be read of a task."""
    if task not in data.tasks:
        raise DataError(f"dataset {data.id} has no task {task!r}.{did_you_mean(task, data.tasks)}")
    role = role or ("train" if task in data.identity["trained"] else "prompt")
    found = [shard for shard, entry in data.entries("checkpoints", task, role).items() if entry["verified"]]
    if not found:
        raise DataError(f"dataset {data.id} has no {role} checkpoint of success 1 of {task!r}: see --role, --tasks")
    return found


def _read(data: CheckpointDataset, shards: list[str]) -> tuple[Float32, Behaviors]:
    """Policies of success 1, and what they did."""
    import pyarrow.compute as pc

    columns = ["success", "params", "observations", "actions", "outcome"]
    tables = [data.table(shard, columns) for shard in shards]
    table = concatenated(table.filter(pc.equal(table["success"], 1.0)) for table in tables)
    spec = data.suite.policy
    behaviors = Behaviors(
        vectors(table["observations"], (SEGMENT, spec.obs_dim)),
        vectors(table["actions"], (SEGMENT, spec.action_dim)),
        vectors(table["outcome"], (OUTCOME, spec.obs_dim)),
    )
    return params_of(table, spec.n_params), behaviors
