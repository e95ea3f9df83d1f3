"""Steps to success: hand-made tables, an independent bootstrap, and nothing where nothing succeeds."""

from __future__ import annotations

import numpy as np
import pytest

from maa_bench.stats.steps import Steps, steps_to_success


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
    assert points["a"].ci is not None
    assert 10 <= points["a"].ci[0] < 20 < points["a"].ci[1] <= 30


def test_nothing_succeeds() -> None:
    assert steps_to_success({"never": np.full((2, 3, 4), -1)}) == ({"never": None}, None)


@pytest.mark.filterwarnings("error")
def test_resamples_without_a_success_are_left_out_without_a_word() -> None:
    first = np.full((1, 6, 6), -1)
    first[0, 0, 0] = 40
    first[0, 1, 1] = 50
    _, steps = steps_to_success({"t": first, "u": first})
    assert steps == (45, (40, 50))


ONE_OF_FOUR = [[10, -1], [-1, -1]]


@pytest.mark.parametrize(
    ("first", "value", "known"),
    [
        ([ONE_OF_FOUR], 10, False),
        ([[[70, 70], [-1, 70]]], 70, False),
        ([[[10, 20], [30, 40]], [[-1, -1], [-1, -1]]], 25, False),
        ([[[10, 20], [30, 40]]], 25, True),
        ([[[10, 20], [-1, -1]], [[-1, -1], [-1, 30]]], 20, True),
    ],
    ids=["one success", "all alike", "one seed of two", "the only seed", "both seeds"],
)
def test_without_a_spread_there_is_no_interval(first: list[list[list[int]]], value: float, known: bool) -> None:
    found = steps_to_success({"t": np.array(first)})
    assert found[0]["t"] == found[1]
    assert found[1] is not None
    assert (found[1].value, found[1].ci is not None) == (value, known)


def test_the_mean_has_no_interval_if_a_task_has_none() -> None:
    many = np.random.default_rng(0).integers(1, 100, (1, 2, 2))
    found, mean = steps_to_success({"many": many, "one": np.array([ONE_OF_FOUR])})
    assert found["many"] is not None
    assert found["many"].ci is not None
    assert mean == Steps((many.mean() + 10) / 2, None)


def test_the_interval_of_one_agent_is_that_of_a_mean() -> None:
    """One candidate on many layouts, always successful: mean +- 1.96 s / sqrt(n)."""
    first = np.random.default_rng(3).integers(50, 150, (1, 1, 400))
    steps = steps_to_success({"t": first})[0]["t"]
    assert steps is not None
    assert steps.ci is not None
    half = 1.96 * first.std() / 20
    assert steps.value == pytest.approx(first.mean())
    assert (steps.ci[1] - steps.ci[0]) / 2 == pytest.approx(half, rel=0.08)


def test_same_episodes_same_interval_and_it_covers() -> None:
    """Crossed effects of candidates and layouts, 60 benchmarks: 95 % intervals hold the truth nearly always."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(60):
        effects = 100 + 15 * rng.standard_normal((3, 12, 1)) + 15 * rng.standard_normal((1, 1, 12))
        first = np.maximum(effects + 5 * rng.standard_normal((3, 12, 12)), 1).round().astype(np.int64)
        first[rng.random(first.shape) < 0.3] = -1
        _, steps = steps_to_success({"t": first}, 400)
        assert steps is not None
        assert steps.ci is not None
        covered += steps.ci[0] <= 100 <= steps.ci[1]
    assert steps_to_success({"t": first}, 400)[1] == steps
    assert covered >= 52
