"""Making a dataset of released `.pt` files: their policies, with a success and a behaviour of our own roll-outs.

The release says of a row neither how good it is nor which training run it comes from. So every row is measured anew,
what the file says of its behaviour is left aside, and a whole file counts as one run, which can never be split.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from maa_bench.cache import Cache
from maa_bench.dataset.build import write_manifest
from maa_bench.dataset.card import write_card
from maa_bench.dataset.collect import KINDS, RunRows, kind_of
from maa_bench.dataset.config import DatasetPlan, plan_dataset
from maa_bench.dataset.jobs import BUILD, ExpertJob, checkpoint_shard, new_entry
from maa_bench.dataset.official import RawFile, read_any, task_of_file
from maa_bench.dataset.official_processed import decode, read_weights
from maa_bench.dataset.producers import Snapshot, TrainingRun
from maa_bench.dataset.share import require_room
from maa_bench.dataset.store import MANIFEST, CheckpointDataset, Entry
from maa_bench.dataset.tables import write_checkpoints
from maa_bench.errors import DataError, SpecError
from maa_bench.execution import Executor, Job, Report
from maa_bench.files import sha256_of, whole_folder
from maa_bench.policy import Float32
from maa_bench.progress import Progress
from maa_bench.prompts import OUTCOME, SEGMENT
from maa_bench.simulators import simulator_of
from maa_bench.suite import Suite

PRODUCER = "official"
VERSION = 1
"""Part of the identity of imported datasets; raise it when other numbers come out."""
EPISODES = 5
UNKNOWN = -1
"""Seed and environment steps of an imported row."""
CHUNK = 25
"""Rows a job."""


@dataclass(frozen=True)
class ImportSettings:
    """What an imported dataset is made of.

    Attributes:
        files: task and SHA-256 of each file.
        autoencoder: SHA-256 of the file of the autoencoder's weights that decoded processed files, or None.
    """

    files: tuple[tuple[str, str], ...]
    autoencoder: str | None


@dataclass(frozen=True)
class ImportPlan(DatasetPlan):
    """An imported dataset, settled; its settings are `ImportSettings`."""

    @property
    def producer_version(self) -> int:
        """See `DatasetPlan`; no producer of that name is registered."""
        return VERSION

    def runs(self, task: str) -> list[TrainingRun]:
        """One run a file; it keeps all rows."""
        role = "train" if task in self.trained else "prompt"
        every = 10**9
        return [
            TrainingRun(task, role, f"imported-{sha256[:8]}", UNKNOWN, every, every, every)
            for named, sha256 in self.settings.files
            if named == task
        ]


@dataclass
class Chunk:
    """Rows of a file, measured: with the columns of `schema.COLUMNS`.

    Attributes:
        rows: them.
        env_steps: steps that measuring took.
        broken: rows that are left out: their simulation diverged while their behaviour was recorded.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    env_steps: int = 0
    broken: int = 0


@dataclass(frozen=True)
class ChunkJob:
    """Measure the rows `first` to `stop` of a file, whose parameters lie in an .npy file; returns a `Chunk`."""

    plan: DatasetPlan
    run: TrainingRun
    params: Path
    first: int
    stop: int

    def __call__(self, report: Report) -> Chunk:
        suite = self.plan.suite
        simulator = simulator_of(suite).open_task(suite.task(self.run.task))
        params: Float32 = np.load(self.params, mmap_mode="r")
        collected = RunRows(self.run, self.plan, simulator, number=0, measured=self.first)
        for step in range(self.first, self.stop):
            collected.take(Snapshot(0, step, UNKNOWN, np.array(params[step])))
        return Chunk(collected.rows, collected.env_steps, collected.diverged)


def import_official(
    files: Sequence[Path],
    suite: Suite,
    cache: Cache,
    executor: Executor,
    progress: Progress,
    *,
    task: str | None = None,
    autoencoder: Path | None = None,
    episodes: int = EPISODES,
) -> CheckpointDataset:
    """Make a dataset of released files in the cache, whole or not at all; one that is there already is opened.

    The scripted experts of its tasks are recorded, too, so that it has transitions and expert prompts.

    Args:
        files: raw or processed ones; one run each.
        suite: whose policies they are.
        cache: where the dataset goes.
        executor: runs the roll-outs.
        progress: shows them.
        task: of the file, if there is only one; default: what each file's name tells.
        autoencoder: the released autoencoder's weights, for processed files.
        episodes: verification episodes a row, on as many train layouts.

    Raises:
        DataError: a file that is damaged, malicious or of other policies; a file none of whose rows reaches success 1;
            too little disk.
    """
    plan = _plan(files, suite, task, autoencoder, episodes)
    simulator_of(suite)
    target = cache.dataset_folder(plan.id)
    if not (target / MANIFEST).exists():
        with whole_folder(target) as folder:
            work = folder / BUILD / "import"
            work.mkdir(parents=True)
            _Import(plan, folder, _read_all(files, plan, autoencoder, work), progress).run(executor)
            shutil.rmtree(work)
            write_card(CheckpointDataset(folder, suite))
    return CheckpointDataset(target, suite)


def _plan(files: Sequence[Path], suite: Suite, task: str | None, autoencoder: Path | None, episodes: int) -> ImportPlan:
    if task is not None:
        suite.task(task)
        if len(files) > 1:
            raise DataError(f"--task {task} is of one file, not of {len(files)}: import them by their names")
    if episodes < 1:
        raise DataError(f"--episodes must be at least 1, not {episodes}")
    named = [(_hash_of(file), task or task_of_file(file, suite)) for file in files]  # is it there, before: what is it
    named = [(name, sha256) for sha256, name in named]
    if len(set(named)) != len(named):
        raise DataError("the same file of the same task is given twice")
    none = (
        "train_runs",
        "validation_runs",
        "prompt_runs",
        "unseen_runs",
        "per_run",
        "partial_prompts",
        "partial_per_run",
    )
    no_runs: dict[str, Any] = dict.fromkeys((*none, "run_episodes"), 0)
    config = replace(plan_dataset(suite).config, **no_runs, near_duplicate=0.0, episodes=episodes)
    settings = ImportSettings(tuple(named), _hash_of(autoencoder) if autoencoder else None)
    tasks = tuple(name for name in suite.tasks if name in dict(named))
    trained = tuple(name for name in tasks if name in suite.dataset_tasks().trained)
    return ImportPlan(suite, tasks, trained, tasks, config, PRODUCER, settings)


def _hash_of(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def _read_all(
    files: Sequence[Path], plan: ImportPlan, autoencoder: Path | None, work: Path
) -> dict[TrainingRun, tuple[Path, Path, int]]:
    """Before anything is rolled out: all files are good, and there is room. By run: file, parameters, rows."""
    spec, found, total = plan.suite.policy, {}, 0
    for file, (task, sha256) in zip(files, plan.settings.files, strict=True):
        run = next(run for run in plan.runs(task) if run.name.endswith(sha256[:8]))
        params = _read(file, plan.suite, autoencoder)
        if _hash_of(file) != sha256:
            raise DataError(f"{file} was changed while it was read: import it again")
        np.save(work / f"{task}.{run.name}.npy", params)
        found[run] = file, work / f"{task}.{run.name}.npy", len(params)
        total += len(params)
    behavior = SEGMENT * (spec.obs_dim + spec.action_dim) + OUTCOME * spec.obs_dim
    require_room(work, 4 * total * (spec.n_params + behavior + 100), f"dataset {plan.id}")
    return found


def _read(file: Path, suite: Suite, autoencoder: Path | None) -> Float32:
    """The policies of a file: (n, n_params) float32."""
    found = read_any(file, suite.policy)
    if isinstance(found, RawFile):
        return found.params
    if autoencoder is None:
        raise DataError(
            f"{file} is a processed file, whose policies are latents: name the weights of the autoencoder that "
            "made them with --autoencoder, or import the raw file"
        )
    try:
        return suite.policy.check(decode(found, read_weights(autoencoder)))
    except SpecError as error:
        raise DataError(f"{file}, decoded with {autoencoder}: {error}") from None


class _Import:
    """The jobs of an import, and what becomes of their results."""

    def __init__(
        self, plan: ImportPlan, folder: Path, runs: Mapping[TrainingRun, tuple[Path, Path, int]], progress: Progress
    ) -> None:
        self._plan, self._folder, self._files, self._progress = plan, folder, runs, progress
        self._entries: dict[str, Entry] = {}
        self._jobs: list[ExpertJob | ChunkJob] = [ExpertJob(plan, task, folder) for task in plan.tasks]
        self._chunks: dict[TrainingRun, dict[int, Chunk]] = {}
        for run, (_, params, rows) in runs.items():
            cuts = [*range(0, rows, CHUNK), rows]
            self._jobs += [ChunkJob(plan, run, params, *cut) for cut in pairwise(cuts)]

    def run(self, executor: Executor) -> None:
        """Do all of it."""
        total = sum(rows for _, _, rows in self._files.values())
        with self._progress.stage("roll out", total, "rows") as stage:

            def finished(index: int, result: Any) -> Iterable[Job]:
                job = self._jobs[index]
                if isinstance(job, ExpertJob):
                    self._entries |= result
                    return ()
                stage.advance(job.stop - job.first)
                self._take(job, result)
                return ()

            executor.run(self._jobs, finished)
        write_manifest(self._plan, self._folder, self._entries)

    def _take(self, job: ChunkJob, chunk: Chunk) -> None:
        run = job.run
        chunks = self._chunks.setdefault(run, {})
        chunks[job.first] = chunk
        if len(chunks) == sum(isinstance(other, ChunkJob) and other.run == run for other in self._jobs):
            self._write(run, [chunks[first] for first in sorted(chunks)])
            chunks.clear()  # 1,500 rows are 150 MB

    def _write(self, run: TrainingRun, chunks: list[Chunk]) -> None:
        rows = [row for chunk in chunks for row in chunk.rows]
        kinds = dict.fromkeys(KINDS, 0)
        for row in rows:
            kinds[kind_of(row["success"])] += 1
        file, broken = self._files[run][0], sum(chunk.broken for chunk in chunks)
        if not kinds["verified"]:
            best = max((row["success"] for row in rows), default=0.0)
            raise DataError(
                f"{file}: none of its {len(rows) + broken} rows reaches success 1 on task {run.task!r} of "
                f"{self._plan.suite.name} (best: {best:.2f}): is it of another task (--task) or suite?"
            )
        if broken:
            self._progress.note(f"{file}: {broken} rows are left out, their simulation diverged")
        self._progress.note(
            f"{run.task}: {len(rows)} rows of {file.name}: {kinds['verified']} of success 1, {kinds['partial']} "
            f"between, {kinds['failing']} of success 0"
        )
        shard = checkpoint_shard(run)
        write_checkpoints(self._folder / shard, rows, self._plan.suite.policy)
        about = {"table": "checkpoints", "task": run.task, "role": run.role, "run": run.name, "rows": len(rows)}
        steps = sum(chunk.env_steps for chunk in chunks)
        counts = {**kinds, "duplicates": 0, "surplus": 0, "diverged": broken, "environment_steps": steps}
        self._entries[shard] = new_entry(self._folder, shard, time.monotonic(), **about, **counts)
