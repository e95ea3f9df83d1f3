"""A small dataset shard of a real task: what it says was measured is measured again, on stock and on the fast path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maa_bench.suite import load_suite

pytest.importorskip("metaworld")

from maa_bench.dataset.config import DatasetConfig, DatasetPlan
from maa_bench.dataset.experts import ExpertConfig
from maa_bench.dataset.jobs import ExpertJob, RunsJob, checkpoint_shard
from maa_bench.dataset.measure import record_behavior
from maa_bench.dataset.producers.distill import DistillConfig
from maa_bench.execution.local import LocalExecutor
from maa_bench.forward import PackedPolicy
from maa_bench.simulators.metaworld import open_task
from maa_bench.simulators.metaworld.stock import StockTask

pytestmark = [pytest.mark.simulator, pytest.mark.filterwarnings("ignore:Constant")]

SUITE = load_suite("metaworld-v1")
CONFIG = DatasetConfig(
    train_runs=1,
    prompt_runs=1,
    unseen_runs=1,
    per_run=4,
    partial_prompts=2,
    episodes=2,
    experts=ExpertConfig(demonstrations=8),
)
SETTINGS = DistillConfig(updates=600, batch_size=64, first_checkpoint=150)


def build(folder: Path, task: str, workers: int = 1) -> list[Path]:
    trained = tuple(name for name in SUITE.split("unseen").train if name == task)
    plan = DatasetPlan(SUITE, (task,), trained, (task,), CONFIG, "distill", SETTINGS)
    runs = tuple(plan.runs(task))
    with LocalExecutor(workers) as executor:
        executor.run([ExpertJob(plan, task, folder)], lambda index, entries: ())
        executor.run([RunsJob(plan, runs, folder)], lambda index, entries: ())
    return [folder / checkpoint_shard(run) for run in runs]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Path]]:
    """The shards of a task, built once in this process."""
    return cache(lambda task: build(tmp_path_factory.mktemp("shards"), task))


@pytest.fixture(scope="module", params=["window-close", "handle-press"])
def shard(request: pytest.FixtureRequest, built: Callable[[str], list[Path]]) -> tuple[str, list[dict[str, Any]]]:
    import pyarrow.parquet as pq

    task: str = request.param
    paths = built(task)
    return task, [row for path in paths for row in pq.read_table(path).to_pylist()]


def test_the_shard_has_the_runs_of_its_task(shard: tuple[str, list[dict[str, Any]]]) -> None:
    task, rows = shard
    # window-close is an unseen task: it has no train run
    assert {row["role"] for row in rows} == ({"train", "prompt"} if task == "handle-press" else {"prompt"})
    assert all(sum(r["success"] == 1.0 for r in rows if r["run"] == run) == 4 for run in {r["run"] for r in rows})
    assert {len(row["params"]) for row in rows} == {22_664}
    assert any(row["success"] == 1.0 for row in rows)


@pytest.mark.parametrize("stock", [True, False])
def test_success_measured_again_is_the_recorded_one(shard: tuple[str, list[dict[str, Any]]], stock: bool) -> None:
    task, rows = shard
    simulator = StockTask(SUITE.task(task)) if stock else open_task(SUITE.task(task))
    layouts = SUITE.layouts(task, "train")
    for row in rows[::-1]:
        policy = PackedPolicy(SUITE.policy, np.array(row["params"], np.float32))
        firsts = [simulator.first_success(policy, layouts[i], SUITE.horizon)[0] for i in row["layouts"]]
        assert firsts == row["first_success_steps"], row["row_id"]
        assert row["success"] == np.mean([first > 0 for first in firsts])


def test_behaviour_recorded_again_on_stock_is_the_recorded_one(shard: tuple[str, list[dict[str, Any]]]) -> None:
    task, rows = shard
    simulator = StockTask(SUITE.task(task))
    for row in (row for row in rows if row["behavior_layout"] >= 0):
        policy = PackedPolicy(SUITE.policy, np.array(row["params"], np.float32))
        layout = SUITE.layouts(task, "train")[row["behavior_layout"]]
        again = dataclasses.asdict(record_behavior(simulator, policy, layout, SUITE.horizon)[0])
        for name, values in again.items():
            assert np.array(row[name], np.float32).tobytes() == values.tobytes(), (row["row_id"], name)
        goal = np.array(row["observations"], np.float32).reshape(60, 39)[:, 36:]
        assert goal.any(axis=1).all(), "the goal is visible in every state of a behaviour"


def test_a_shard_has_the_same_bytes_in_a_worker_process(built: Callable[[str], list[Path]], tmp_path: Path) -> None:
    there = build(tmp_path, "handle-press", workers=2)
    assert [path.read_bytes() for path in built("handle-press")] == [path.read_bytes() for path in there]
