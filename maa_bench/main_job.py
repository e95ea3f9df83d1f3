"""The main job: methods and controls are fitted on a split's training tasks, asked for its test tasks, rolled out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maa_bench.cache import Cache, CellResult, default_cache_dir
from maa_bench.errors import ProtocolError
from maa_bench.execution.local import LocalExecutor
from maa_bench.plan import Plan, make_plan
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.work import Campaign, ensure_dataset

if TYPE_CHECKING:
    from maa_bench.record import RunRecord


def execute(plan: Plan, cache: Cache, progress: Progress, workers: int | None = None) -> dict[str, CellResult]:
    """Do what of a plan is not done yet; returns every cell's result by key.

    Raises:
        MaaBenchError: a method breaks its contract, a file in the cache is damaged, the disk is full.
    """
    results = {cell.key: cache.load_cell(cell.key) for cell in plan.cells if cache.has_cell(cell.key)}
    missing = [cell for cell in plan.cells if cell.key not in results]
    if missing:
        with LocalExecutor(workers) as executor:
            dataset = ensure_dataset(plan.suite, plan.protocol.scale, cache, progress, executor)
            results |= Campaign(plan, missing, dataset.folder, cache, progress).run(executor)
    return results


def run_methods(
    methods: Sequence[str],
    *,
    suite: str = "metaworld-v1",
    split: str = "unseen",
    tasks: Sequence[str] | None = None,
    protocol: Protocol | None = None,
    seeds: int = 1,
    seed: int = 0,
    workers: int | None = None,
    results_dir: str | Path = "results",
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> list[RunRecord]:
    """Run methods and the controls on one split; returns their records, methods first, and writes them.

    Args:
        methods: registered names or `package.module:Class`.
        suite: name, or path of a TOML file.
        split: one of the suite's splits.
        tasks: only these of the split's test tasks.
        protocol: shots, candidates, episodes, scale, device.
        seeds: number of training seeds: seed, seed + 1, ...
        seed: the first of them.
        workers: processes for building and rollouts; default: one a core.
        results_dir: where records go, as `<method>/<run_id>/`.
        cache_dir: where finished work is kept; default: the platform's cache folder.
        progress: how to show progress; default: bars or lines on standard error.

    Raises:
        MaaBenchError: one line that says what is wrong, where, and what to do.
    """
    from maa_bench.recording import record_of

    if workers is not None and workers < 1:
        raise ProtocolError(f"--workers must be at least 1, not {workers}")
    plan = make_plan(methods, suite, split, tasks, protocol, seeds, seed)
    cache = Cache(Path(cache_dir) if cache_dir else default_cache_dir())
    before = {cell.key for cell in plan.cells if cache.has_cell(cell.key)}
    results = execute(plan, cache, progress or Progress(), workers)
    return [record_of(plan, method, results, before, cache, Path(results_dir)) for method in plan.methods]


def run(
    method: str = "make_an_agent",
    *,
    shots: int = Protocol.shots,
    candidates: int = Protocol.candidates,
    episodes: int = Protocol.episodes,
    select_episodes: int = Protocol.select_episodes,
    scale: Any = "small",
    device: str = "cpu",
    **options: Any,
) -> RunRecord:
    """Run one method (and the controls beside it) and return its record; see `run_methods` for the other options.

    The controls' records are written beside it under `results_dir`.
    """
    protocol = Protocol(scale, shots, candidates, episodes, select_episodes, device)
    return run_methods([method], protocol=protocol, **options)[0]
