"""From finished cells to a run record under `results/`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maa_bench import __version__
from maa_bench.cache import Cache, CellFailure, CellResult, FitCost
from maa_bench.dataset.build import build_seconds
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.episodes import sorted_episodes
from maa_bench.errors import RecordError
from maa_bench.files import digest, write_json
from maa_bench.plan import Cell, Plan
from maa_bench.policy import Float32
from maa_bench.record import (
    Cost,
    DatasetInfo,
    Environment,
    Failure,
    MethodInfo,
    ProtocolInfo,
    RunRecord,
    Seeds,
    SplitInfo,
    StageSeconds,
    SuiteInfo,
)
from maa_bench.registry import LoadedMethod
from maa_bench.results import FAILURES, load_episodes, metrics_of_episodes, validate_record, write_record

if TYPE_CHECKING:
    import pyarrow as pa


def run_id(plan: Plan, method: LoadedMethod) -> str:
    """Content address of a record: suite, split, all of its cells' keys, and the protocol: conditions that a method
    cannot tell apart share its cells, but each has a record."""
    keys = [cell.key for cell in plan.cells if cell.method is method]
    return f"{plan.suite.name}-{plan.split.name}-{digest([keys, plan.protocol.as_dict()])[:10]}"


def record_of(
    plan: Plan,
    method: LoadedMethod,
    results: Mapping[str, CellResult],
    before: set[str],
    cache: Cache,
    results_dir: Path,
) -> RunRecord:
    """The record of one method of a plan, made of its cells and written.

    A record that is there already is kept if nothing was computed anew, it is whole, its numbers follow from its
    episodes, and these are those of the cells; somebody else's record of the same run, from a checkout for example, is
    not taken for this one.

    Args:
        plan, method: which.
        results: every cell's result by key; policies are read from the cache.
        before: keys of the cells that were finished before this run.
        cache: where the dataset and fits lie.
        results_dir: where records go.
    """
    name = run_id(plan, method)
    folder = results_dir / method.card.name / name
    cells = [cell for cell in plan.cells if cell.method is method]
    table = _episode_table(plan, cells, results)
    if all(cell.key in before for cell in cells):
        try:
            found = validate_record(folder)
            whole = all((folder / file).exists() for file in found.files)
            if whole and load_episodes(folder).equals(sorted_episodes(table, plan.tasks)):
                (folder / FAILURES).unlink(missing_ok=True)  # of a later run that failed
                return found
        except RecordError:
            pass  # not there, or damaged: the cells hold everything that it takes to write it
    candidates = _candidates(cells, cache)
    record = RunRecord(
        run_id=name,
        created_with=__version__,
        method=MethodInfo.of(method.card, method.source),
        suite=SuiteInfo(
            name=plan.suite.name,
            simulator_versions=dict(plan.suite.versions),
            layouts_sha256=plan.suite.layouts_sha256,
        ),
        split=SplitInfo(name=plan.split.name, train=plan.split.train, test=plan.tasks),
        dataset=_dataset_info(plan, cache),
        protocol=_protocol_info(plan),
        seeds=Seeds(train=plan.train_seeds, base=plan.base_seed),
        metrics=metrics_of_episodes(table),
        environment=Environment.model_validate(results[cells[0].key].environment),
        cost=_cost(plan, method, cells, results, cache),
        failures=tuple(failed_candidates(cells, results)),
    )
    measures = {f"{cell.train_seed}/{cell.task}": results[cell.key].measures for cell in cells}
    return write_record(folder, record, table, candidates, measures)


def _protocol_info(plan: Plan) -> ProtocolInfo:
    settings = plan.protocol.as_dict()
    del settings["device"]  # stands in the environment
    return ProtocolInfo(**settings, horizon=plan.suite.horizon, success_rule=plan.suite.success)


def _candidates(cells: Iterable[Cell], cache: Cache) -> dict[str, Float32]:
    """Policies by training seed and task: (n, n_params) each, of cells whose candidates are flat."""
    found = {}
    for cell in cells:
        result = cache.load_cell(cell.key)
        if isinstance(result, CellResult) and result.params is not None:
            found[f"{cell.train_seed}/{cell.task}"] = result.params
    return found


def failed_candidates(cells: Iterable[Cell], results: Mapping[str, CellResult]) -> Iterator[Failure]:
    """The candidates of which episodes broke off, in the order of cells and candidates."""
    for cell in cells:
        by_candidate: dict[int, list[str]] = {}
        for failed in results[cell.key].failures:
            by_candidate.setdefault(failed.candidate, []).append(failed.reason)
        for candidate, reasons in sorted(by_candidate.items()):
            yield Failure(
                task=cell.task,
                train_seed=cell.train_seed,
                candidate=candidate,
                episodes=len(reasons),
                reason=reasons[0],
            )


def write_failures(plan: Plan, method: LoadedMethod, failed: Mapping[str, CellFailure], results_dir: Path) -> Path:
    """Write why a method has no record of this run: `failures.json`, where its record would be.

    A record that is there from before stays. Returns the file's path.
    """
    path = results_dir / method.card.name / run_id(plan, method) / FAILURES
    cells = [cell for cell in plan.cells if cell.method is method and cell.key in failed]
    rows = [{"task": cell.task, "train_seed": cell.train_seed, "reason": failed[cell.key].reason} for cell in cells]
    write_json(path, {"method": method.card.name, "run_id": run_id(plan, method), "failures": rows})
    return path


def _episode_table(plan: Plan, cells: list[Cell], results: Mapping[str, CellResult]) -> pa.Table:
    import pyarrow as pa

    from maa_bench.episodes import EPISODE_SCHEMA

    layout_sets = [name for name, count in plan.layouts() for _ in range(count)]
    layouts = [i for _, count in plan.layouts() for i in range(count)]
    tables = []
    for cell in cells:
        first = results[cell.key].first_success
        n, m = first.shape
        columns: dict[str, Any] = {
            "method": [cell.method.card.name] * first.size,
            "suite": [plan.suite.name] * first.size,
            "split": [plan.split.name] * first.size,
            "task": [cell.task] * first.size,
            "train_seed": np.full(first.size, cell.train_seed),
            "candidate": np.repeat(np.arange(n), m),
            "layout_set": layout_sets * n,
            "layout": np.tile(layouts, n),
            "success": (first > 0).ravel(),
            "first_success_step": first.ravel(),
        }
        tables.append(pa.table(columns, schema=EPISODE_SCHEMA))
    return pa.concat_tables(tables)


def _dataset_info(plan: Plan, cache: Cache) -> DatasetInfo:
    data = _opened(plan, cache)
    checkpoints = data.entries("checkpoints").values()
    return DatasetInfo(
        id=plan.dataset_id,
        content_sha256=data.content_sha256,
        producer=data.producer,
        rows=sum(entry["rows"] for entry in checkpoints),
        runs=len(checkpoints),
    )


def _opened(plan: Plan, cache: Cache) -> CheckpointDataset:
    if isinstance(plan.dataset, CheckpointDataset):
        return plan.dataset
    return CheckpointDataset(cache.dataset_folder(plan.dataset_id), plan.suite)


def _cost(plan: Plan, method: LoadedMethod, cells: list[Cell], results: Mapping[str, CellResult], cache: Cache) -> Cost:
    own = [results[cell.key] for cell in cells]
    fits = [cache.fit_cost(plan.fit_key(method, seed)) or FitCost(0.0) for seed in plan.train_seeds]
    test_steps = [r.test_steps for r in own if r.test_steps is not None]
    seconds = StageSeconds(
        dataset=build_seconds(_opened(plan, cache)),
        fit=round(sum(fit.seconds for fit in fits), 3),
        generate=round(sum(r.seconds["generate"] for r in own), 3),
        evaluate=round(sum(r.seconds["evaluate"] for r in own), 3),
    )
    return Cost(
        seconds=seconds,
        environment_steps=sum(r.steps for r in own),
        peak_mb=max([fit.peak_mb for fit in fits] + [r.peak_mb for r in own]),
        test_environment_steps=sum(test_steps) if len(test_steps) == len(own) else None,
        parameters=max((fit.n_parameters for fit in fits if fit.n_parameters is not None), default=None),
    )
