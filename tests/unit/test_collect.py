"""From snapshots to rows: quotas, near-duplicates, episodes that break off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maa_bench.dataset.collect import RunRows, kind_of
from maa_bench.dataset.config import DatasetPlan, plan_dataset
from maa_bench.dataset.producers import Snapshot, TrainingRun
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.policy import Float32
from maa_bench.simulators import EpisodeError, simulator_of
from maa_bench.suite import load_suite

RUN = TrainingRun("goal-000", "train", "train-00", 0, 3, 1, 2)


@pytest.fixture
def plan(tiny_suite: Path) -> DatasetPlan:
    return plan_dataset(load_suite(str(tiny_suite)))


@pytest.fixture
def rows(plan: DatasetPlan) -> RunRows:
    return RunRows(RUN, plan, simulator_of(plan.suite).open_task(plan.suite.task("goal-000")), 0)


@pytest.fixture
def good(tiny_dataset: CheckpointDataset) -> list[Float32]:
    """Policies of success 1."""
    table = tiny_dataset.hf("goal-000", ["params", "success"])
    return [np.array(row["params"], np.float32) for row in table if row["success"] == 1.0]


def take(rows: RunRows, *params: Float32) -> None:
    for p in params:
        rows.take(Snapshot(0, len(rows.rows), 10, p))


def test_kinds() -> None:
    assert [kind_of(s) for s in (1.0, 0.8, 0.2, 0.0)] == ["verified", "partial", "partial", "failing"]


def test_a_run_keeps_what_it_wants_of_each_kind_and_counts_the_rest(rows: RunRows, good: list[Float32]) -> None:
    still = [np.zeros_like(good[0]) for _ in range(4)]
    for i, params in enumerate(still):
        params[-1] = i + 1  # of the log_std head, which does not act
    take(rows, *still, *good)
    assert rows.kept["failing"] == 2
    assert rows.kept["verified"] == 3
    assert rows.kept["partial"] <= 1
    assert rows.surplus == 4 + len(good) - len(rows.rows)
    assert rows.duplicates == 0
    assert [row["success"] == 0.0 for row in rows.rows] == [True] * 2 + [False] * (len(rows.rows) - 2)
    assert not rows.wants("verified")


def test_what_hardly_differs_from_the_last_kept_row_is_not_even_rolled_out(rows: RunRows, good: list[Float32]) -> None:
    take(rows, good[0])
    steps, length = rows.env_steps, float(np.linalg.norm(good[0]))
    direction = np.random.default_rng(0).standard_normal(len(good[0]))
    direction *= length / np.linalg.norm(direction)
    take(rows, good[0], (good[0] + 0.9e-3 * direction).astype(np.float32))
    assert (rows.duplicates, len(rows.rows), rows.env_steps) == (2, 1, steps)
    take(rows, (good[0] + 1.1e-3 * direction).astype(np.float32))
    assert (rows.duplicates, len(rows.rows)) == (2, 2)


def test_a_run_that_never_moves_ends_with_one_row(plan: DatasetPlan, rows: RunRows, good: list[Float32]) -> None:
    take(rows, *[good[0]] * 50)
    assert rows.kept["verified"] == 1


def test_layouts_come_first_in_turn(rows: RunRows, good: list[Float32], plan: DatasetPlan) -> None:
    rows.run = replace(RUN, verified=12)
    take(rows, *good[:6])
    assert {row["layouts"][0] for row in rows.rows} == set(range(len(plan.suite.layouts("goal-000", "train"))))
    assert all(len(set(row["layouts"])) == plan.config.episodes for row in rows.rows)


def test_a_simulation_that_diverges_after_the_success_costs_the_snapshot_only(
    rows: RunRows, good: list[Float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(*_: Any) -> None:
        raise EpisodeError.of_simulation(50)

    with monkeypatch.context() as patch:
        patch.setattr("maa_bench.dataset.collect.record_behavior", diverges)
        take(rows, good[0])
    take(rows, good[1])
    assert (rows.diverged, len(rows.rows)) == (1, 1)


def test_checkpoints_spread_over_the_run_act_with_rewards(rows: RunRows, good: list[Float32]) -> None:
    take(rows, *good[:3])
    steps = rows.act()
    assert list(dict.fromkeys(steps.source)) == [rows.rows[0]["row_id"], rows.rows[2]["row_id"]]
    assert not steps.noise_std.any()
    for start, stop in steps.bounds():
        assert steps.success[start:stop].any()
        first = int(np.flatnonzero(steps.success[start:stop])[0]) + 1
        assert stop - start == min(first + rows.plan.config.experts.tail, rows.plan.suite.horizon)
