"""Building a checkpoint dataset: experts first, then groups of runs, each job writing whole shards.

A build resumes by shard, so a killed one loses at most the jobs that were at work, and ends with the same bytes.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from maa_bench.dataset.card import write_card
from maa_bench.dataset.config import DatasetPlan
from maa_bench.dataset.jobs import (
    ROWS,
    ExpertJob,
    RunsJob,
    checkpoint_shard,
    entry_path,
    expert_shard,
    finished_entry,
    run_transitions_shard,
)
from maa_bench.dataset.producers import TrainingRun
from maa_bench.dataset.producers.registry import load_producer
from maa_bench.dataset.store import CARD, MANIFEST, CheckpointDataset, Entry
from maa_bench.errors import DataError
from maa_bench.execution import Executor, Job
from maa_bench.files import sha256_of, write_json
from maa_bench.progress import JobStages, Progress
from maa_bench.prompts import OUTCOME, SEGMENT


def expected_bytes(plan: DatasetPlan) -> int:
    """About how much disk a dataset takes, before compression (which saves a tenth of it)."""
    spec, config = plan.suite.policy, plan.config
    behavior = SEGMENT * (spec.obs_dim + spec.action_dim) + OUTCOME * spec.obs_dim
    runs = [run for task in plan.tasks for run in plan.runs(task)]
    # Where a producer keeps all, as many again may not reach success 1.
    rows = sum(run.verified + min(run.partial + run.failing, run.verified) for run in runs)
    episodes = len(plan.tasks) * config.experts.demonstrations + len(runs) * config.run_episodes
    transition = 2 * (spec.obs_dim + spec.action_dim) + 8
    return 4 * (rows * (spec.n_params + behavior + 100) + episodes * config.experts.max_episode_steps * transition)


def check_disk(plan: DatasetPlan, folder: Path) -> None:
    """Before any work.

    Raises:
        DataError: there is not room for what is still missing.
    """
    there = sum((folder / shard).stat().st_size for shard in shards_of(plan) if (folder / shard).exists())
    existing = next(path for path in [folder, *folder.parents] if path.exists())
    needed, free = expected_bytes(plan) - there, shutil.disk_usage(existing).free
    if needed > free:
        raise DataError(
            f"dataset {plan.id} needs about {needed / 1e9:.1f} GB in {existing}, where {free / 1e9:.1f} GB are free: "
            "make room, choose another --cache-dir, or fewer checkpoints (--per-task)"
        )


def build_dataset(plan: DatasetPlan, folder: Path, executor: Executor, progress: Progress) -> None:
    """Build a dataset in `folder`; shards that are there already are kept.

    Args:
        plan: the dataset.
        folder: its folder; complete once it holds `manifest.json`.
        executor: runs the jobs.
        progress: shows how far they have come.

    Raises:
        DataError: too little disk, or a task never reaches success 1.
    """
    check_disk(plan, folder)
    folder.mkdir(parents=True, exist_ok=True)
    found = {shard: finished_entry(folder, shard) for shard in shards_of(plan)}
    entries = {shard: entry for shard, entry in found.items() if entry is not None}
    runs = [run for task in plan.tasks for run in plan.runs(task)]
    groups = load_producer(plan.producer).groups(runs, plan.settings)
    # What several jobs need is recorded first; else the one that needs it does so, with the simulator that it opens.
    users = Counter(task for group in groups for task in {run.task for run in group})
    _record_experts(plan, folder, executor, progress, [task for task in plan.tasks if users[task] > 1], entries)
    _train_runs(plan, folder, executor, progress, groups, entries)
    _check_success(plan, entries, progress)
    write_manifest(plan, folder, entries)
    write_card(CheckpointDataset(folder, plan.suite))


def _record_experts(
    plan: DatasetPlan,
    folder: Path,
    executor: Executor,
    progress: Progress,
    tasks: Sequence[str],
    entries: dict[str, Entry],
) -> None:
    lacking = [task for task in tasks if expert_shard(task) not in entries]
    if not lacking:
        return
    with progress.stage("experts", len(tasks), "tasks", found=len(tasks) - len(lacking)) as stage:

        def finished(index: int, result: dict[str, Entry]) -> Iterable[Job]:
            entries.update(result)
            stage.advance()
            return ()

        executor.run([ExpertJob(plan, task, folder) for task in lacking], finished)


def _train_runs(
    plan: DatasetPlan,
    folder: Path,
    executor: Executor,
    progress: Progress,
    groups: Sequence[tuple[TrainingRun, ...]],
    entries: dict[str, Entry],
) -> None:
    def lacks(run: TrainingRun) -> bool:
        return any(shard not in entries for shard in [expert_shard(run.task), *_shards(plan, run)])

    runs = [run for group in groups for run in group]
    missing = [group for group in groups if any(map(lacks, group))]
    wanted = sum(run.verified for run in runs)
    lacking = {checkpoint_shard(run) for group in missing for run in group}
    finished_rows = sum(_verified(entries, run) for run in runs if checkpoint_shard(run) not in lacking)
    running: dict[int, int] = {}
    shown = progress.stage("checkpoints", wanted, "checkpoints", found=finished_rows)
    with shown as stage, JobStages(progress) as stages:

        def finished(index: int, result: dict[str, Entry]) -> Iterable[Job]:
            nonlocal finished_rows
            entries.update(result)
            stages.close(index)
            running.pop(index, None)
            finished_rows += sum(_verified(result, run) for run in missing[index])
            stage.update(finished_rows + sum(running.values()), wanted)
            return ()

        def reported(index: int, name: str, done: int, total: int) -> None:
            if name == ROWS:
                running[index] = done
                stage.update(finished_rows + sum(running.values()), wanted)
            elif total:
                stages.show(index, f"{plan.producer}: {name}", done, total)

        executor.run([RunsJob(plan, group, folder) for group in missing], finished, reported)


def _verified(entries: dict[str, Entry], run: TrainingRun) -> int:
    return int(entries[checkpoint_shard(run)]["verified"])


def _check_success(plan: DatasetPlan, entries: dict[str, Entry], progress: Progress) -> None:
    """What was wanted against what there is: said if it is less, refused if it is nothing.

    Raises:
        DataError: the runs of a role, which a task's `fit` or prompts need, have no checkpoint of success 1 at all.
    """
    never, short = [], []
    for task in plan.tasks:
        for role in ("train", "prompt"):
            runs = [run for run in plan.runs(task) if run.role == role]
            wanted, found = sum(run.verified for run in runs), sum(_verified(entries, run) for run in runs)
            if runs and not found:
                never.append(f"{task} ({role} runs)")
            elif found < wanted:
                short.append(f"{task}: {found} of {wanted} checkpoints of success 1 in its {role} runs")
    if never:
        raise DataError(
            f"no checkpoint reached success 1 of {', '.join(never)}: give the producer {plan.producer!r} more steps "
            "(--set) or leave these tasks out (--tasks); finished runs are kept"
        )
    for line in short:
        progress.note(f"fewer than wanted: {line}")


def _shards(plan: DatasetPlan, run: TrainingRun) -> list[str]:
    transitions = [run_transitions_shard(run)] if plan.config.run_episodes else []
    return [checkpoint_shard(run), *transitions]


def shards_of(plan: DatasetPlan) -> list[str]:
    """Every shard of a dataset, in the manifest's order."""
    shards: list[str] = []
    for task in plan.tasks:
        shards += [shard for run in plan.runs(task) for shard in _shards(plan, run)]
        shards.append(expert_shard(task))
    return shards


def write_manifest(plan: DatasetPlan, folder: Path, entries: dict[str, Entry]) -> None:
    """Write what makes the folder a dataset, once all shards are there."""
    shards = {
        shard: {key: value for key, value in entries[shard].items() if key != "seconds"} for shard in shards_of(plan)
    }
    write_json(folder / MANIFEST, {"id": plan.id, "identity": plan.identity, "shards": shards})


def is_complete(plan: DatasetPlan, folder: Path, thorough: bool = False) -> bool:
    """Whether a dataset lies in its folder with all files, each as long as it should (`thorough`: with its bytes)."""
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["shards"]
        whole = all((folder / shard).stat().st_size == entries[shard]["bytes"] for shard in shards_of(plan))
        if thorough:
            whole = whole and all(sha256_of(folder / shard) == entries[shard]["sha256"] for shard in shards_of(plan))
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return whole and (folder / CARD).exists()


def build_seconds(data: CheckpointDataset) -> float:
    """Seconds of work that a dataset took, summed over workers; 0 for one that was not built here."""
    total = 0.0
    for shard in data.shards:
        with suppress(OSError, ValueError, KeyError, TypeError):
            total += float(json.loads(entry_path(data.folder, shard).read_text())["seconds"])
    return round(total, 3)
