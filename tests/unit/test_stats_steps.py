"""Steps to success: hand-made tables, an independent bootstrap, and nothing where nothing succeeds."""

from __future__ import annotations

import numpy as np
import pytest

from maa_bench.stats.steps import steps_to_success


def test_the_mean_is_over_successes_and_the_aggregate_over_tasks_that_have_one() -> None:
    tasks = {
        "a": np.array([[[10, -1], [20, 30]]]),
        "b": np.array([[[100, 100], [-1, -1]]]),
        "never": np.full((1, 2, 2), -1),
    }
    points, aggregate = steps_to_success(tasks)
    assert points["a"] is not None
    assert points["b"] is not None
    assert aggregate is not None
    assert (points["a"].value, points["b"].value, points["never"]) == (20, 100, None)
    assert aggregate.value == 60
    assert points["b"].lo == points["b"].hi == 100
    assert 10 <= points["a"].lo < 20 < points["a"].hi <= 30


def test_nothing_succeeds() -> None:
    assert steps_to_success({"never": np.full((2, 3, 4), -1)}) == ({"never": None}, None)


def test_the_interval_of_one_agent_is_that_of_a_mean() -> None:
    """One candidate on many layouts, always successful: mean +- 1.96 s / sqrt(n)."""
    first = np.random.default_rng(3).integers(50, 150, (1, 1, 400))
    estimate = steps_to_success({"t": first})[0]["t"]
    assert estimate is not None
    half = 1.96 * first.std() / 20
    assert estimate.value == pytest.approx(first.mean())
    assert (estimate.hi - estimate.lo) / 2 == pytest.approx(half, rel=0.08)


def test_same_episodes_same_interval_and_it_covers() -> None:
    """Crossed effects of candidates and layouts, 60 benchmarks: 95 % intervals hold the truth nearly always."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(60):
        effects = 100 + 15 * rng.standard_normal((3, 12, 1)) + 15 * rng.standard_normal((1, 1, 12))
        first = np.maximum(effects + 5 * rng.standard_normal((3, 12, 12)), 1).round().astype(np.int64)
        first[rng.random(first.shape) < 0.3] = -1
        _, estimate = steps_to_success({"t": first}, 400)
        assert estimate is not None
        covered += estimate.lo <= 100 <= estimate.hi
    assert steps_to_success({"t": first}, 400)[1] == estimate
    assert covered >= 52
