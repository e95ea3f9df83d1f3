"""Steps a second of every way of `maa_bench.bench.ways`, and of physics alone, on the same episodes (pytest-benchmark).

pytest tests/benchmarks/test_rollouts.py --benchmark-only -o addopts=""

`maa-bench bench` runs the same ways in turns and gives the ratios; here is what pytest-benchmark makes of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from maa_bench.bench import Settings, mixture
from maa_bench.execution.local import LocalExecutor
from maa_bench.execution.threads import JOB_THREADS, threads
from maa_bench.suite import load_suite

TASKS = ("drawer-open", "door-lock", "button-press")
ROUNDS = 5

pytestmark = [pytest.mark.simulator, pytest.mark.filterwarnings("ignore::UserWarning:gymnasium")]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads(JOB_THREADS):
        yield


@pytest.fixture(params=TASKS)
def work(request: pytest.FixtureRequest) -> Any:
    from maa_bench.bench.ways import Work

    suite = load_suite("metaworld-v1")
    return Work(suite, request.param, mixture(suite.policy, Settings.policies), Settings.layouts)


def _measure(benchmark: Any, way: Any) -> None:
    lap = way.run()  # warm
    benchmark.pedantic(way.run, rounds=ROUNDS, iterations=1)
    benchmark.extra_info["steps_per_second"] = round(lap.steps / benchmark.stats.stats.median)


def test_naive(benchmark: Any, work: Any) -> None:
    from maa_bench.bench.ways import Naive

    _measure(benchmark, Naive(work))


def test_stock_numpy(benchmark: Any, work: Any) -> None:
    from maa_bench.bench.ways import StockNumpy

    _measure(benchmark, StockNumpy(work))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_vector(benchmark: Any, work: Any, kind: str) -> None:
    from maa_bench.bench.ways import Vector

    way = Vector(work, kind, Settings.workers, [work.suite.horizon] * len(work.episodes))
    _measure(benchmark, way)
    way.close()


@pytest.mark.parametrize("workers", [1, Settings.workers])
def test_ours(benchmark: Any, work: Any, workers: int) -> None:
    from maa_bench.bench.ways import Ours

    with LocalExecutor(workers) as executor:
        _measure(benchmark, Ours(work, executor, Settings.laps * workers))


def test_physics_alone(benchmark: Any, work: Any) -> None:
    from maa_bench.bench.limit import Limit

    _measure(benchmark, Limit(work))


def test_resets(benchmark: Any, work: Any) -> None:
    from maa_bench.bench.limit import Limit

    limit = Limit(work)
    benchmark.extra_info.update(vars(benchmark.pedantic(limit.resets, rounds=1, iterations=1)))
