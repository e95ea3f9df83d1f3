"""Verifying a dataset: every file, every row, and a random sample of checkpoints rolled out again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from maa_bench.dataset.checks import Problems, ShardJob
from maa_bench.dataset.manifest import manifest_problems, unlisted_files
from maa_bench.dataset.reroll import ROWS, draw_rows, reroll_jobs
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import DataError, SuiteError
from maa_bench.execution import Executor, Job
from maa_bench.progress import Progress, Stage
from maa_bench.simulators import simulator_of


@dataclass(frozen=True)
class Verified:
    """What was checked.

    Attributes:
        shards, bytes: files read from end to end.
        checkpoints, transitions: rows of them.
        rerolled, tasks: checkpoints that were rolled out again, and of how many tasks.
        problems: what is wrong.
    """

    shards: int
    bytes: int
    checkpoints: int
    transitions: int
    rerolled: int
    tasks: int
    problems: Problems


def verify(data: CheckpointDataset, sample: int, seed: int, executor: Executor, progress: Progress) -> Verified:
    """Check a dataset. Rows are rolled out again only if all that can be read of them is right.

    Args:
        data: the dataset.
        sample: checkpoints to roll out again, at least one of every task; 0: none, and no simulator is needed.
        seed: of the draw.
        executor: runs the jobs.
        progress: shows them.

    Raises:
        DataError: a sample below 0; the simulator is not here, or has other versions than the dataset's.
    """
    if sample < 0:
        raise DataError(f"--sample must be at least 0, not {sample}")
    if sample:
        try:
            simulator_of(data.suite)
        except SuiteError as error:
            raise DataError(f"{error}; --sample 0 checks all that needs no simulator") from None
    problems = Problems()
    for problem in manifest_problems(data):
        problems.add(f"manifest.json: {problem}")
    drawn = {}
    if not problems.count:
        for file in unlisted_files(data):
            problems.add(f"{file}: not in the manifest")
        _check_shards(data, problems, executor, progress)
    if sample and not problems.count:
        drawn = draw_rows(data, sample, seed)
        jobs = reroll_jobs(data, drawn)
        with progress.stage("roll out again", sum(map(len, drawn.values())), ROWS) as stage:
            _run(jobs, [len(job.rows) for job in jobs], problems, executor, stage)
    rows = {table: sum(e["rows"] for e in data.entries(table).values()) for table in ("checkpoints", "transitions")}
    return Verified(
        shards=len(data.shards),
        bytes=sum(entry["bytes"] for entry in data.shards.values()),
        **rows,
        rerolled=sum(map(len, drawn.values())),
        tasks=len(drawn),
        problems=problems,
    )


def raise_problems(data: CheckpointDataset, problems: Problems) -> None:
    """One line that tells the first ones.

    Raises:
        DataError: there are any.
    """
    if not problems.count:
        return
    more = problems.count - len(problems.told)
    told = "; ".join(problems.told) + (f"; and {more} more" if more else "")
    raise DataError(
        f"dataset {data.folder} is not sound: {told}. Delete the shards that are named, and build, pull or import it "
        "again"
    )


def _check_shards(data: CheckpointDataset, problems: Problems, executor: Executor, progress: Progress) -> None:
    jobs = [ShardJob(data.suite.source, data.folder, *shard, data.identity) for shard in data.shards.items()]
    rows = [int(entry["rows"]) for entry in data.shards.values()]
    with progress.stage("check rows", sum(rows), ROWS) as stage:
        _run(jobs, rows, problems, executor, stage)


def _run(jobs: Sequence[Job], rows: list[int], problems: Problems, executor: Executor, stage: Stage) -> None:
    """Run jobs that return problems; these are told in the jobs' order, whoever is done first."""
    found: dict[int, Problems] = {}
    running: dict[int, int] = {}
    done = 0

    def finished(index: int, result: Any) -> Iterable[Job]:
        nonlocal done
        found[index] = result
        running.pop(index, None)
        done += rows[index]
        stage.update(done + sum(running.values()), stage.total)
        return ()

    def reported(index: int, name: str, now: int, total: int) -> None:
        running[index] = now
        stage.update(done + sum(running.values()), stage.total)

    executor.run(jobs, finished, reported)
    for index in sorted(found):
        problems.extend(found[index])
