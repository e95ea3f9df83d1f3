"""The main job: methods and controls are fitted on a split's training tasks, asked for its test tasks, rolled out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from maa_bench.cache import Cache, CellFailure, CellResult, dataset_folder, default_cache_dir
from maa_bench.dataset.build import is_complete
from maa_bench.dataset.config import DatasetPlan
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import MethodError, ProtocolError, did_you_mean
from maa_bench.execution import Executor
from maa_bench.execution.local import LocalExecutor
from maa_bench.files import remove_leftovers
from maa_bench.named_protocol import OWN_TO_A_RUN, SETTINGS, load_protocol
from maa_bench.plan import Cell, Plan, make_plans
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.simulators import check_tasks
from maa_bench.suite import DEFAULT_SUITE
from maa_bench.work import Campaign, ensure_dataset, opened_dataset

if TYPE_CHECKING:
    from maa_bench.record import RunRecord

Overwrite = Literal["never", "missing", "failed", "always"]
"""Which cells are computed: none; those that the cache does not have; those that failed before or have candidates that
did, too; all, fits too."""

Backend = Literal["local", "ray"]
"""Where jobs run: in processes of this machine, or on a Ray cluster."""


@dataclass(frozen=True)
class Execution:
    """How a run is carried out; none of it changes a result, but for a `cell_timeout` that is exceeded.

    Attributes:
        workers: processes; default: one a core.
        overwrite: which cells are computed, see `Overwrite`.
        cell_timeout: seconds that a fit, the generation for one task, or the episodes of one candidate may take;
            what takes longer is ended and recorded as failed. Default: any.
        backend: see `Backend`.
        address: of a running Ray cluster; default: one is started on this machine.

    Raises:
        ProtocolError: a value that cannot be.
    """

    workers: int | None = None
    overwrite: Overwrite = "missing"
    cell_timeout: float | None = None
    backend: Backend = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ProtocolError(f"--workers must be at least 1, not {self.workers}")
        if self.overwrite not in get_args(Overwrite):
            hint = did_you_mean(self.overwrite, get_args(Overwrite))
            raise ProtocolError(f"--overwrite knows no {self.overwrite!r}.{hint}")
        if self.cell_timeout is not None and not 0 < self.cell_timeout < float("inf"):
            raise ProtocolError(f"--cell-timeout must be a number of seconds above 0, not {self.cell_timeout}")
        if self.backend not in get_args(Backend):
            raise ProtocolError(f"--backend knows no {self.backend!r}.{did_you_mean(self.backend, get_args(Backend))}")
        if self.address is not None and self.backend != "ray":
            raise ProtocolError("--address is of a Ray cluster: it needs --backend ray")


def open_executor(how: Execution, cache: Cache) -> AbstractContextManager[Executor]:
    """What runs the jobs.

    Raises:
        ClusterError: on entering: Ray or its cluster cannot be used.
    """
    if how.backend == "local":
        return LocalExecutor(how.workers)
    from maa_bench.execution.ray_cluster import RayExecutor

    return RayExecutor(how.address, how.workers, shared=cache.folder)


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        records: of the methods all of whose cells have results, in the plan's order.
        failures: one line a failed cell or candidate: method, seed, task, candidate, reason.
        incomplete: names of the methods that have no record, those that could not be loaded among them.
    """

    records: list[RunRecord] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)


def execute(plan: Plan, cache: Cache, progress: Progress, how: Execution) -> tuple[dict[str, Any], set[str]]:
    """Do what of a plan is to be done.

    Returns:
        Every cell's `CellResult`, without its policies, or `CellFailure` by key, and the keys of those that were there
        before.

    Raises:
        MaaBenchError: a file in the cache is damaged, the dataset cannot be built, the disk is full, the simulator
            is missing.
    """
    results = found_cells(plan, cache)
    todo = [cell for cell in plan.cells if is_due(results.get(cell.key), how.overwrite)]
    kept = set(results) - {cell.key for cell in todo}
    if todo:
        check_tasks(plan.suite, plan.tasks)  # before methods are fitted for hours
        with open_executor(how, cache) as executor:
            dataset = opened_dataset(plan, cache, progress, executor)
            afresh = how.overwrite == "always"
            campaign = Campaign(plan, todo, dataset.folder, cache, progress, afresh, how.cell_timeout)
            results |= campaign.run(executor)
    not_computed = CellFailure("not computed: --overwrite never")
    return {cell.key: results.get(cell.key, not_computed) for cell in plan.cells}, kept


def found_cells(plan: Plan, cache: Cache) -> dict[str, CellResult | CellFailure]:
    """What the cache has of a plan, by key, without policies."""
    return {cell.key: cache.load_cell(cell.key, with_params=False) for cell in plan.cells if cache.has_cell(cell.key)}


def is_due(found: CellResult | CellFailure | None, overwrite: Overwrite) -> bool:
    """Whether a cell is to be computed, given what the cache has of it."""
    if overwrite in ("never", "always"):
        return overwrite == "always"
    return found is None or (overwrite == "failed" and (isinstance(found, CellFailure) or bool(found.failures)))


def run_all(
    plan: Plan, *, how: Execution, results_dir: Path, cache_dir: Path | None = None, progress: Progress | None = None
) -> Outcome:
    """Carry a plan out and write the records of its methods; whatever fails of one method leaves the others alone."""
    from maa_bench.recording import failed_candidates, record_of, write_failures

    progress = progress or Progress()
    remove_leftovers(results_dir, "*/.*")
    cache = Cache(cache_dir or default_cache_dir())
    results, kept = execute(plan, cache, progress, how)
    outcome = Outcome(
        failures=[f"{name}: {reason}" for name, reason in plan.broken.items()], incomplete=list(plan.broken)
    )
    for method in plan.methods:
        cells = [cell for cell in plan.cells if cell.method is method]
        failed = {c.key: results[c.key] for c in cells if isinstance(results[c.key], CellFailure)}
        for cell in cells:
            hint = " (failed before; --overwrite failed tries it again)" if cell.key in kept else ""
            if cell.key in failed:
                outcome.failures.append(f"{_where(cell, plan)}: {failed[cell.key].reason}{hint}")
            else:
                for bad in failed_candidates([cell], results):
                    total = len(results[cell.key].first_success[0])
                    outcome.failures.append(
                        f"{_where(cell, plan)}, candidate {bad.candidate}: {bad.reason} "
                        f"({bad.episodes} of {total} episodes, counted as unsuccessful){hint}"
                    )
        if failed:
            outcome.incomplete.append(method.card.name)
            if how.overwrite != "never":
                write_failures(plan, method, failed, results_dir)
        else:
            outcome.records.append(record_of(plan, method, results, kept, cache, results_dir))
    return outcome


def run_plans(
    plans: Sequence[Plan], *, how: Execution, results_dir: Path, cache_dir: Path, progress: Progress
) -> list[Outcome]:
    """Carry plans out, one after the other, once their datasets are known to have the prompts for all of them.

    Raises:
        ProtocolError: a dataset has too few. Only that dataset was built.
    """
    for notice in dict.fromkeys(plan.suite.notice for plan in plans):
        if notice:
            progress.note(notice)
    many = len(plans) > 1
    if many and how.overwrite != "never":
        _check_datasets(plans, how, Cache(cache_dir), progress)
    outcomes: list[Outcome] = []
    for plan in plans:
        label = f"{plan.split.name}, {plan.protocol.condition or 'base'}"
        if many:
            progress.note(f"{plan.suite.name}, {label} ({len(outcomes) + 1} of {len(plans)})")
        outcome = run_all(plan, how=how, results_dir=results_dir, cache_dir=cache_dir, progress=progress)
        if many:
            outcome = replace(outcome, failures=[f"{label}: {line}" for line in outcome.failures])
        outcomes.append(outcome)
    return outcomes


def _check_datasets(plans: Sequence[Plan], how: Execution, cache: Cache, progress: Progress) -> None:
    """Open, or build, what the plans need, and look for the prompts of each plan before work on the first."""
    opened: dict[str, CheckpointDataset] = {}
    for plan in plans:
        if plan.dataset_id not in opened and isinstance(plan.dataset, DatasetPlan):
            if is_complete(plan.dataset, cache.dataset_folder(plan.dataset_id)):
                opened[plan.dataset_id] = CheckpointDataset(cache.dataset_folder(plan.dataset_id), plan.suite)
            else:
                with open_executor(how, cache) as executor:
                    opened[plan.dataset_id] = ensure_dataset(plan.dataset, cache, progress, executor)
        if plan.dataset_id in opened:
            plan.check_prompts(opened[plan.dataset_id])


def _where(cell: Cell, plan: Plan) -> str:
    seed = f", seed {cell.train_seed}" if len(plan.train_seeds) > 1 else ""
    return f"{cell.method.card.name}{seed}, {cell.task}"


def run_methods(
    methods: Sequence[str],
    *,
    suite: str = DEFAULT_SUITE,
    split: str = "unseen",
    tasks: Sequence[str] | None = None,
    protocol: Protocol | str | Sequence[Protocol] | None = None,
    seeds: int | None = None,
    seed: int = 0,
    dataset: str | Path | None = None,
    results_dir: str | Path = "results",
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
    **execution: Any,
) -> list[RunRecord]:
    """Run methods and the controls on one split; returns their records, methods first, and writes them.

    Args:
        methods: registered names, `package.module:Class`, or `all` for every registered method.
        suite: name, or path of a TOML file.
        split: one of the suite's splits.
        tasks: only these of the split's test tasks.
        protocol: shots, candidates, episodes, scale, device and all other settings; or a named protocol (or the path
            of one), of which all conditions are run, the base first; or some conditions of one.
        seeds: number of training seeds: seed, seed + 1, ...; default: 1, or what the named protocol asks for.
        seed: the first of them.
        dataset: id of a dataset in the cache, or a dataset's folder; default: the suite's own at the protocol's scale.
        results_dir: where records go, as `<method>/<run_id>/`.
        cache_dir: where finished work is kept; default: the platform's cache folder.
        progress: how to show progress; default: bars or lines on standard error.
        execution: `workers`, `overwrite`, `cell_timeout`, `backend`, `address`: see `Execution`.

    Raises:
        MethodError: cells failed. What was asked for beside them was done first, and is kept and recorded.
        MaaBenchError: one line that says what is wrong, where, and what to do.
    """
    how = Execution(**execution)
    cache = Path(cache_dir) if cache_dir else default_cache_dir()
    given = None if dataset is None else dataset_folder(str(dataset), cache)
    named = load_protocol(protocol) if isinstance(protocol, str) else None
    protocols = named.conditions() if named else _as_list(protocol)
    seeds = seeds if seeds is not None else named.seeds if named else 1
    plans = make_plans(methods, suite, [(split, tasks)], protocols, seeds, seed, given)
    outcomes = run_plans(
        plans, how=how, results_dir=Path(results_dir), cache_dir=cache, progress=progress or Progress()
    )
    if any(outcome.incomplete for outcome in outcomes):
        raise MethodError("; ".join(line for outcome in outcomes for line in outcome.failures))
    return [record for outcome in outcomes for record in outcome.records]


def _as_list(protocol: Any) -> list[Protocol]:
    return [protocol or Protocol()] if protocol is None or isinstance(protocol, Protocol) else list(protocol)


@overload
def run(method: str = ..., *, protocol: str, **options: Any) -> list[RunRecord]: ...
@overload
def run(method: str = ..., *, protocol: None = ..., **options: Any) -> RunRecord: ...
def run(method: str = "make_an_agent", *, protocol: str | None = None, **options: Any) -> RunRecord | list[RunRecord]:
    """Run one method (and the controls beside it) and return its record.

    The controls' records are written beside it under `results_dir`.

    Args:
        method: as in `run_methods`.
        protocol: a named protocol; then its records are returned, one of each condition, the base's first.
        options: settings of `Protocol`, such as `shots=4`, which a named protocol has its own of, but for `scale` and
            `device`; all else as in `run_methods`.

    Raises:
        ProtocolError: a setting beside a protocol that settles it.
        MaaBenchError: as `run_methods`.
    """
    settings = {name: options.pop(name) for name in [*SETTINGS, *OWN_TO_A_RUN] if name in options}
    if protocol is None:
        return run_methods([method], protocol=Protocol(**settings), **options)[0]
    named = load_protocol(protocol)
    own = {name: settings.pop(name) for name in OWN_TO_A_RUN if name in settings}
    named.refuse_changes(settings)
    conditions = named.conditions(**own)
    if options.get("seeds") is None:
        options["seeds"] = named.seeds
    records = run_methods([method], protocol=conditions, **options)
    return records[:: len(records) // len(conditions)]
