"""Doing the missing cells of a plan: fits first, and each fit's episodes as soon as its candidates are there.

One executor runs both kinds of job, so that a method still being fitted on one core leaves the others to the episodes
of methods that are done.
"""

from __future__ import annotations

import pickle
import time
import traceback
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from maa_bench import evaluator
from maa_bench.cache import Cache, CellResult
from maa_bench.dataset.build import build_dataset, dataset_config, dataset_id
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.environment import environment_info
from maa_bench.errors import MaaBenchError, MethodError
from maa_bench.execution.local import JOB_THREADS, Job, LocalExecutor, Report
from maa_bench.files import hashes, whole_folder, write_json
from maa_bench.method import Agents, Context, FlatPolicies, Method, Saveable, TrainingSet
from maa_bench.plan import Cell, Plan
from maa_bench.progress import Progress, Stage
from maa_bench.prompts import PromptSet
from maa_bench.protocol import Protocol
from maa_bench.registry import load_method
from maa_bench.resources import peak_mb
from maa_bench.suite import Scale, Suite, load_suite


def ensure_dataset(
    suite: Suite, scale: Scale, cache: Cache, progress: Progress, executor: LocalExecutor
) -> CheckpointDataset:
    """Open a suite's dataset, building it (or shards that were deleted) first if the cache has none."""
    config = dataset_config(suite, scale)
    name = dataset_id(suite, config)
    folder = cache.dataset_folder(name)
    if not all((folder / file).exists() for file in ["manifest.json", *(f"{task}.parquet" for task in suite.tasks)]):
        progress.note(f"no dataset {name} in {cache.folder}: building it ({scale} scale)")
        with progress.stage("dataset", len(suite.tasks), "tasks") as stage:
            build_dataset(suite.source, config, folder, executor.run, stage.update)
    return CheckpointDataset(folder, suite)


@dataclass(frozen=True)
class Generated:
    """One task's candidates, and how long they took."""

    agents: Agents
    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class FitJob:
    """Fit a method for one training seed and generate candidates for some tasks; picklable, runs anywhere.

    Attributes:
        method: as `load_method` takes it.
        suite, split, protocol: as in the plan.
        dataset: the dataset's folder.
        train_seed: seed of the fit, of the candidates and of the draw of prompts.
        tasks: test tasks to generate for.
        cache: where fits are kept. key: the fit's address.
    """

    method: str
    suite: str
    split: str
    protocol: Protocol
    dataset: Path
    train_seed: int
    tasks: tuple[str, ...]
    cache: Path
    key: str

    def __call__(self, report: Report) -> dict[str, Generated]:
        context = Context(self.train_seed, self.protocol.device, report)
        data, training_set = _training_set(self.dataset, self.suite, self.split)
        prompts = {task: data.prompts(task, self.protocol.shots, self.train_seed) for task in self.tasks}
        fitted = self._fitted(training_set, context)
        generated = {}
        for task in self.tasks:
            started = time.monotonic()
            agents = self._generate(fitted, prompts[task], training_set, context)
            generated[task] = Generated(agents, time.monotonic() - started, peak_mb())
        # What another process may have to receive is tried here, where the method can be named.
        self._guard("its agents cannot be pickled: sending them", lambda: pickle.dumps(generated))
        return generated

    def _fitted(self, training_set: TrainingSet, context: Context) -> Method:
        make = load_method(self.method).make
        made: Method = self._guard("calling it with scale=...", lambda: make(scale=self.protocol.scale))
        cache = Cache(self.cache)
        if isinstance(made, Saveable) and cache.fit_seconds(self.key) is not None:
            state = cache.check_fit(self.key)
            self._guard(f"load from {state}", lambda: made.load(state, training_set))
            return made
        started = time.monotonic()
        self._guard("fit", lambda: made.fit(training_set, context))
        seconds = round(time.monotonic() - started, 3)
        with whole_folder(cache.fit_folder(self.key)) as folder:
            if isinstance(made, Saveable):
                (folder / "state").mkdir()
                self._guard("save", lambda: made.save(folder / "state"))
            write_json(folder / "meta.json", {"seconds": seconds, "files": hashes(folder / "state")})
        return made

    def _generate(self, fitted: Method, prompts: PromptSet, training_set: TrainingSet, context: Context) -> Agents:
        one = fitted.card.deterministic_candidates
        n = 1 if one else self.protocol.candidates
        agents = self._guard(f"generate for task {prompts.task!r}", lambda: fitted.generate(prompts, n, context))
        where = f"method {self.method!r}: generate for task {prompts.task!r} returned"
        if not isinstance(agents, Agents):
            raise MethodError(f"{where} {type(agents).__name__}, not Agents (such as FlatPolicies)")
        if len(agents) != n:
            raise MethodError(f"{where} {len(agents)} candidates, not {n}")
        if isinstance(agents, FlatPolicies) and agents.spec != training_set.spec:
            raise MethodError(f"{where} policies {agents.spec.id}, not {training_set.spec.id}")
        return agents

    def _guard(self, what: str, call: Any) -> Any:
        try:
            return call()
        except MaaBenchError as error:
            raise MethodError(f"method {self.method!r}: {what}: {error}") from error
        except OSError:
            raise  # a full disk is not the method's fault
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise MethodError(
                f"method {self.method!r}: {what} raised {type(error).__name__}: {error} "
                f"({Path(last.filename).name}, line {last.lineno}; --debug shows all)"
            ) from error


@lru_cache(maxsize=1)
def _training_set(folder: Path, suite: str, split: str) -> tuple[CheckpointDataset, TrainingSet]:
    data = CheckpointDataset(folder, load_suite(suite))
    return data, data.training_set(split)


@dataclass
class _Pending:
    """A cell that waits for its episodes."""

    cell: Cell
    generated: Generated
    parts: list[Any]
    missing: int
    steps: int = 0
    seconds: float = 0.0
    peak_mb: float = 0.0

    def result(self, environment: dict[str, Any]) -> CellResult:
        agents = self.generated.agents
        return CellResult(
            first_success=np.concatenate(self.parts),
            params=agents.params if isinstance(agents, FlatPolicies) else None,
            seconds={"generate": round(self.generated.seconds, 3), "evaluate": round(self.seconds, 3)},
            steps=self.steps,
            peak_mb=max(self.peak_mb, self.generated.peak_mb, peak_mb()),
            environment=environment,
        )


class Campaign:
    """The missing cells of a plan, from fits to finished cells in the cache.

    Args:
        plan: the plan.
        missing: its cells that are not in the cache.
        dataset: the dataset's folder.
        cache: where fits and cells go.
        progress: shows fits and episodes.
    """

    def __init__(self, plan: Plan, missing: list[Cell], dataset: Path, cache: Cache, progress: Progress) -> None:
        self._plan, self._dataset, self._cache, self._progress = plan, dataset, cache, progress
        self._environment = environment_info(plan.protocol.device, JOB_THREADS).model_dump(mode="json")
        self._fits: dict[int, list[Cell]] = {}
        self._episodes: dict[int, tuple[_Pending, int]] = {}
        self._jobs: list[Job] = []
        self._results: dict[str, CellResult] = {}
        self._stages: dict[int, tuple[str, Stage, ExitStack]] = {}
        groups: dict[tuple[str, int], list[Cell]] = {}
        for cell in missing:
            groups.setdefault((cell.method.card.name, cell.train_seed), []).append(cell)
        for cells in groups.values():
            self._fits[len(self._jobs)] = cells
            self._jobs.append(self._fit_job(cells))
        per_candidate = sum(count for _, count in plan.layouts())
        self._n_episodes = per_candidate * sum(
            1 if cell.method.card.deterministic_candidates else plan.protocol.candidates for cell in missing
        )

    def run(self, executor: LocalExecutor) -> dict[str, CellResult]:
        """Run everything; returns the cells' results by key."""
        with ExitStack() as self._open, self._progress.stage("evaluate", self._n_episodes, "episodes") as evaluate:
            self._evaluate = evaluate
            executor.run(self._jobs, self._finished, self._reported)
        return self._results

    def _fit_job(self, cells: list[Cell]) -> FitJob:
        plan, cell = self._plan, cells[0]
        return FitJob(
            method=cell.method.name,
            suite=plan.suite.source,
            split=plan.split.name,
            protocol=plan.protocol,
            dataset=self._dataset,
            train_seed=cell.train_seed,
            tasks=tuple(c.task for c in cells),
            cache=self._cache.folder,
            key=plan.fit_key(cell.method, cell.train_seed),
        )

    def _finished(self, index: int, result: Any) -> Iterable[Job]:
        if index in self._fits:
            self._close_stage(index)
            return self._start_episodes(self._fits[index], result)
        pending, part = self._episodes.pop(index)
        pending.parts[part] = result.first_success
        pending.steps += result.steps
        pending.seconds += result.seconds
        pending.peak_mb = max(pending.peak_mb, result.peak_mb)
        pending.missing -= 1
        self._evaluate.advance(result.first_success.size)
        if not pending.missing:
            cell = pending.result(self._environment)
            self._cache.save_cell(pending.cell.key, cell)
            self._results[pending.cell.key] = cell
        return ()

    def _start_episodes(self, cells: list[Cell], generated: dict[str, Generated]) -> Iterable[Job]:
        new: list[Job] = []
        for cell in cells:
            made = generated[cell.task]
            jobs = evaluator.episode_jobs(self._plan.suite.source, cell.task, made.agents, self._plan.layouts())
            pending = _Pending(cell, made, [None] * len(jobs), len(jobs))
            for part, job in enumerate(jobs):
                self._episodes[len(self._jobs) + len(new)] = (pending, part)
                new.append(job)
        self._jobs = [*self._jobs, *new]
        return new

    def _reported(self, index: int, name: str, done: int, total: int) -> None:
        if not total:
            return  # nothing to do in this stage
        current, stage, _ = self._stages.get(index, ("", None, None))
        if stage is None or current != name:
            self._close_stage(index)
            cell = self._fits[index][0]
            title = f"{cell.method.card.name}: {name}"
            if len(self._plan.train_seeds) > 1:
                title += f" (seed {cell.train_seed})"
            own = self._open.enter_context(ExitStack())
            stage = own.enter_context(self._progress.stage(title, total, "steps"))
            self._stages[index] = (name, stage, own)
        stage.update(done, total)

    def _close_stage(self, index: int) -> None:
        """A fit shows one stage at a time."""
        if index in self._stages:
            self._stages.pop(index)[2].close()
