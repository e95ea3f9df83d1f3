"""Doing the cells of a plan: fits first, and each fit's episodes as soon as its candidates are there.

One executor runs both kinds of job, so that a method still being fitted on one core leaves the others to the episodes
of methods that are done. Episodes go before fits that have not begun: candidates, which may be whole networks, wait in
memory for no more methods than are being worked on. What goes wrong in one cell, or with one candidate, is kept with
its reason; the rest goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench import evaluator, fitting
from maa_bench.cache import Cache, CellFailure, CellResult
from maa_bench.dataset.build import build_dataset, is_complete
from maa_bench.dataset.config import DatasetPlan
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.environment import environment_info
from maa_bench.episodes import FailedEpisode
from maa_bench.errors import one_line
from maa_bench.evaluator import EpisodeJob, Episodes
from maa_bench.execution import Executor, Job, JobLostError
from maa_bench.execution.threads import JOB_THREADS
from maa_bench.fitting import FitJob, Fitted, Generated
from maa_bench.method import FlatPolicies
from maa_bench.novelty import path_spread, spread
from maa_bench.plan import Cell, Plan
from maa_bench.policy import Float32
from maa_bench.progress import JobStages, Progress
from maa_bench.simulators import check_tasks


def ensure_dataset(
    plan: DatasetPlan, cache: Cache, progress: Progress, executor: Executor, thorough: bool = False
) -> CheckpointDataset:
    """Open a dataset, building it (or what was deleted or truncated) first if the cache has not all of it.

    Args:
        plan: the dataset.
        cache: where it lies.
        progress: shows the build.
        executor: runs it.
        thorough: also hash what is there, so that altered shards are built again.

    Raises:
        SuiteError: it must be built, and its simulator is missing or of another version.
    """
    folder = cache.dataset_folder(plan.id)
    if not is_complete(plan, folder, thorough):
        check_tasks(plan.suite, plan.tasks)
        if folder.exists():
            progress.note(f"dataset {plan.id} in {cache.folder} is not whole: going on with it")
        else:
            progress.note(f"no dataset {plan.id} in {cache.folder}: building it")
        build_dataset(plan, folder, executor, progress)
    return CheckpointDataset(folder, plan.suite)


def opened_dataset(plan: Plan, cache: Cache, progress: Progress, executor: Executor) -> CheckpointDataset:
    """The dataset of a plan, built if need be.

    Raises:
        ProtocolError: it has fewer prompts than the plan could know.
    """
    if isinstance(plan.dataset, CheckpointDataset):
        return plan.dataset
    data = ensure_dataset(plan.dataset, cache, progress, executor)
    plan.check_prompts(data)
    return data


@dataclass
class _Pending:
    """A cell that waits for its episodes."""

    cell: Cell
    generated: Generated
    first_success: npt.NDArray[np.int64]
    missing: int
    failures: list[FailedEpisode] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    peak_mb: float = 0.0
    paths: dict[int, Float32] = field(default_factory=dict)

    def add(self, candidates: tuple[int, ...], episodes: Episodes) -> None:
        """Take a job's result."""
        self.first_success[list(candidates)] = episodes.first_success
        self.failures += episodes.failures
        self.steps += episodes.steps
        self.seconds += episodes.seconds
        self.peak_mb = max(self.peak_mb, episodes.peak_mb)
        self.missing -= len(candidates)
        if episodes.paths is not None:
            self.paths.update(zip(candidates, episodes.paths, strict=True))

    def result(self, environment: dict[str, Any]) -> CellResult:
        agents = self.generated.agents
        return CellResult(
            first_success=self.first_success,
            params=agents.params if isinstance(agents, FlatPolicies) else None,
            failures=tuple(sorted(self.failures)),
            seconds={"generate": round(self.generated.seconds, 3), "evaluate": round(self.seconds, 3)},
            steps=self.steps,
            peak_mb=max(self.peak_mb, self.generated.peak_mb),
            environment=environment,
            test_steps=self.generated.steps,
            measures=self._measures(),
        )

    def _measures(self) -> dict[str, npt.NDArray[np.float64]]:
        """How new the candidates are, by the columns of `candidate_rows.DISTANCES`; nothing if they are not flat."""
        agents = self.generated.agents
        if not isinstance(agents, FlatPolicies) or self.generated.train_distance is None:
            return {}
        measures = {"train_distance": self.generated.train_distance, "spread": spread(agents.params)}
        if self.paths:
            unknown = np.full_like(next(iter(self.paths.values())), np.nan)
            paths = np.array([self.paths.get(i, unknown) for i in range(len(agents))])
            measures["path_spread"] = path_spread(paths)
        return measures


class Campaign:
    """Some cells of a plan, from fits to finished cells in the cache.

    Args:
        plan: the plan.
        cells: those to do.
        dataset: the dataset's folder.
        cache: where fits and cells go.
        progress: shows fits and episodes.
        afresh: fit, too, even where the cache has the fit.
        step_timeout: seconds that a fit, one task's generation or one candidate's episodes may take; default: any.
    """

    def __init__(
        self,
        plan: Plan,
        cells: list[Cell],
        dataset: Path,
        cache: Cache,
        progress: Progress,
        afresh: bool = False,
        step_timeout: float | None = None,
    ) -> None:
        self._plan, self._dataset, self._cache, self._progress = plan, dataset, cache, progress
        self._afresh, self._step_timeout = afresh, step_timeout
        self._environment = environment_info(plan.protocol.device, JOB_THREADS).model_dump(mode="json")
        self._layouts = evaluator.layout_names(plan.layouts())
        self._fit_jobs: list[Job] = []
        self._n_jobs = 0
        self._fits: dict[int, tuple[FitJob, list[Cell]]] = {}
        self._episodes: dict[int, tuple[EpisodeJob, _Pending]] = {}
        self._results: dict[str, CellResult | CellFailure] = {}
        groups: dict[tuple[str, int], list[Cell]] = {}
        for cell in cells:
            groups.setdefault((cell.method.card.name, cell.train_seed), []).append(cell)
        for group in groups.values():
            self._fit_jobs.append(self._add_fit(self._fit_job(group), group))
        self._n_episodes = sum(map(self._episodes_of, cells))

    def run(self, executor: Executor) -> dict[str, CellResult | CellFailure]:
        """Run everything; returns the cells' results without their policies, or why there is none, by key.

        Of hundreds of cells those would be gigabytes: they stay in the cache.
        """
        with (
            JobStages(self._progress) as self._stages,
            self._progress.stage("evaluate", self._n_episodes, "episodes") as evaluate,
        ):
            self._evaluate = evaluate
            executor.run(self._fit_jobs, self._finished, self._reported, self._lost, self._step_timeout)
        return self._results

    def _episodes_of(self, cell: Cell) -> int:
        one = cell.method.card.deterministic_candidates
        return len(self._layouts) * (1 if one else self._plan.protocol.candidates)

    def _fit_job(self, cells: list[Cell]) -> FitJob:
        plan, cell = self._plan, cells[0]
        return FitJob(
            method=cell.method.name,
            uses=cell.method.card.uses,
            fingerprint=cell.method.fingerprint,
            suite=plan.suite.source,
            split=plan.split.name,
            protocol=plan.protocol,
            dataset=self._dataset,
            train_seed=cell.train_seed,
            tasks=tuple(c.task for c in cells),
            cache=self._cache.folder,
            key=plan.fit_key(cell.method, cell.train_seed),
            afresh=self._afresh,
        )

    def _add_fit(self, job: FitJob, cells: list[Cell]) -> FitJob:
        self._fits[self._n_jobs] = job, cells
        self._n_jobs += 1
        return job

    def _add_episodes(self, job: EpisodeJob, pending: _Pending) -> EpisodeJob:
        self._episodes[self._n_jobs] = job, pending
        self._n_jobs += 1
        return job

    def _finished(self, index: int, result: Any) -> Iterable[Job]:
        if index in self._fits:
            self._stages.close(index)
            return self._start_episodes(self._fits[index][1], result)
        job, pending = self._episodes.pop(index)
        self._take(pending, job.candidates, result)
        return ()

    def _start_episodes(self, cells: list[Cell], fitted: Fitted) -> list[Job]:
        new: list[Job] = []
        for cell in cells:
            if cell.task in fitted.failures:
                self._fail(cell, fitted.failures[cell.task])
                continue
            made = fitted.generated[cell.task]
            first = np.full((len(made.agents), len(self._layouts)), -1, np.int64)
            pending = _Pending(cell, made, first, len(made.agents))
            jobs = evaluator.episode_jobs(
                self._plan.suite.source, cell.task, made.agents, self._plan.layouts(), self._plan.conditions
            )
            new += [self._add_episodes(job, pending) for job in jobs]
        return new

    def _take(self, pending: _Pending, candidates: tuple[int, ...], episodes: Episodes) -> None:
        pending.add(candidates, episodes)
        self._evaluate.advance(episodes.first_success.size)
        if not pending.missing:
            cell = pending.result(self._environment)
            self._cache.save_cell(pending.cell.key, cell, replace=self._afresh)
            self._results[pending.cell.key] = replace(cell, params=None)

    def _lost(self, index: int, error: JobLostError) -> list[Job]:
        """A job hung or killed its process: blame the step that it was in, and do the rest of it again."""
        if index in self._fits:
            self._stages.close(index)
            fit, cells = self._fits[index]
            blamed = [cell for cell in cells if fitting.step_name(cell.task) == error.step] or cells
            for cell in blamed:
                self._fail(cell, f"method {cell.method.name!r}: {error.step or 'fit'}: {error}")
            rest = fit.without({cell.task for cell in blamed})
            return [self._add_fit(rest, [cell for cell in cells if cell not in blamed])] if rest else []
        job, pending = self._episodes.pop(index)
        blame = [c for c in job.candidates if evaluator.step_name(c) == error.step] or list(job.candidates)
        nothing = np.full((len(blame), len(self._layouts)), -1, np.int64)
        failures = tuple(FailedEpisode(c, *name, str(error)) for c in blame for name in self._layouts)
        self._take(pending, tuple(blame), Episodes(nothing, failures, 0, 0.0, 0.0))
        left = job.without(set(blame))
        return [self._add_episodes(left, pending)] if left else []

    def _fail(self, cell: Cell, reason: str) -> None:
        failure = CellFailure(one_line(reason))
        self._cache.save_failure(cell.key, failure)
        self._results[cell.key] = failure
        self._evaluate.update(self._evaluate.done, self._evaluate.total - self._episodes_of(cell))

    def _reported(self, index: int, name: str, done: int, total: int) -> None:
        if not total or index not in self._fits:
            return  # the name of a step
        cell = self._fits[index][1][0]
        title = f"{cell.method.card.name}: {name}"
        if len(self._plan.train_seeds) > 1:
            title += f" (seed {cell.train_seed})"
        self._stages.show(index, title, done, total)
