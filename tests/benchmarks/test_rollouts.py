"""Environment steps a second: stock, ours, and physics alone, on the same policy and layouts (pytest-benchmark).

pytest tests/benchmarks/test_rollouts.py --benchmark-only
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maa_bench.forward import PackedPolicy
from maa_bench.policy import initial_params
from maa_bench.simulators import simulator_of, step_until_success
from maa_bench.suite import load_suite

TASKS = ("drawer-open", "door-lock", "button-press")
STEPS = 200

pytestmark = pytest.mark.simulator


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _policy() -> PackedPolicy:
    spec = load_suite("metaworld-v1").policy
    return PackedPolicy(spec, initial_params(spec, np.random.default_rng(0)))


def _measure(benchmark: Any, roll: Any) -> None:
    roll()
    benchmark.pedantic(roll, rounds=10, iterations=1)
    benchmark.extra_info["steps_per_second"] = round(STEPS / benchmark.stats.stats.median)


def test_ours(benchmark: Any, task: str) -> None:
    suite = load_suite("metaworld-v1")
    simulator, policy = simulator_of(suite).open_task(suite.task(task)), _policy()
    layout = suite.layouts(task, "test")[0]
    _measure(benchmark, lambda: simulator.first_success(policy, layout, STEPS))


def test_stock(benchmark: Any, task: str) -> None:
    from maa_bench.simulators.metaworld.stock import StockTask

    suite = load_suite("metaworld-v1")
    simulator, policy = StockTask(suite.task(task)), _policy()
    layout = suite.layouts(task, "test")[0]
    _measure(benchmark, lambda: step_until_success(simulator, policy, layout, STEPS))


def test_physics_alone(benchmark: Any, task: str) -> None:
    import mujoco

    from maa_bench.simulators.metaworld.stock import StockTask

    suite = load_suite("metaworld-v1")
    simulator = StockTask(suite.task(task))
    simulator.reset(suite.layouts(task, "test")[0])
    model, data = simulator.env.model, simulator.env.data

    def roll() -> None:
        for _ in range(STEPS):
            mujoco.mj_step(model, data, nstep=5)
            mujoco.mj_forward(model, data)

    _measure(benchmark, roll)
