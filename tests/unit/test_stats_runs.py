"""Scores of training runs: against scipy, against rliable's formulas written out, and by listing all resamples."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats as scipy_stats

from maa_bench.metrics import legacy_best, legacy_top5
from maa_bench.stats import runs
from maa_bench.stats.legacy import legacy_expectation
from maa_bench.stats.multiple import holm


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 1), (5, 7), (4, 18), (10, 45)])
def test_interquartile_mean_is_scipys_trimmed_mean(rng: np.random.Generator, shape: tuple[int, int]) -> None:
    scores = rng.random(shape)
    assert float(runs.iqm(scores)) == pytest.approx(scipy_stats.trim_mean(scores, 0.25, axis=None), abs=1e-15)


def test_interquartile_mean_by_hand() -> None:
    assert float(runs.iqm(np.array([[0.0, 0.1, 0.2, 0.3], [0.4, 0.5, 0.6, 100.0]]))) == pytest.approx(0.35)


def test_aggregates_are_rliables(rng: np.random.Generator) -> None:
    """Its metrics.py, in words: mean and median of the tasks' means; gamma less the mean of scores cut at gamma."""
    scores = rng.random((5, 4)) * 1.5
    of_tasks = [sum(column) / 5 for column in scores.T]
    assert float(runs.mean(scores)) == pytest.approx(sum(of_tasks) / 4)
    low, high = sorted(of_tasks)[1:3]
    assert float(runs.median(scores)) == pytest.approx((low + high) / 2)
    for target in (1.0, 0.5):
        gap = target - sum(min(x, target) for x in scores.ravel()) / 20
        assert float(runs.optimality_gap(scores, target)) == pytest.approx(gap)


def test_profile_is_the_share_of_runs_above(rng: np.random.Generator) -> None:
    scores = rng.integers(0, 5, (6, 3)) / 4
    thresholds = np.array([-0.1, 0.0, 0.25, 0.6, 1.0])
    expected = [sum(x > t for x in scores.ravel()) / 18 for t in thresholds]
    assert runs.performance_profile(scores, thresholds) == pytest.approx(expected)
    assert expected[0] == 1
    assert expected[-1] == 0


def test_probability_of_improvement_is_mann_whitneys_u(rng: np.random.Generator) -> None:
    x, y = rng.integers(0, 5, (6, 4)) / 4, rng.integers(0, 5, (9, 4)) / 4  # Coarse: there are ties.
    u = [scipy_stats.mannwhitneyu(x[:, t], y[:, t]).statistic / 54 for t in range(4)]
    assert float(runs.probability_of_improvement(x, y)) == pytest.approx(np.mean(u))
    both = runs.probability_of_improvement(x, y) + runs.probability_of_improvement(y, x)
    assert float(both) == pytest.approx(1)
    assert float(runs.probability_of_improvement(x, x)) == pytest.approx(0.5)


@pytest.mark.parametrize("statistic", [runs.mean, runs.median, runs.iqm, runs.optimality_gap])
def test_leading_axes_are_kept(rng: np.random.Generator, statistic: runs.Statistic) -> None:
    scores = rng.random((2, 3, 5, 4))
    each = [[float(statistic(scores[i, j])) for j in range(3)] for i in range(2)]
    np.testing.assert_allclose(statistic(scores), each, atol=1e-15)


@pytest.mark.parametrize("whole_runs", [False, True])
def test_interval_is_that_of_all_possible_resamples(rng: np.random.Generator, whole_runs: bool) -> None:
    """Three runs of two tasks: 27 draws of whole runs, or 27 x 27 apart for each task."""
    scores = rng.random((3, 2))
    draws = list(product(range(3), repeat=3))
    if whole_runs:
        means = [scores[list(d)].mean() for d in draws]
    else:
        means = [(scores[list(d), 0].mean() + scores[list(e), 1].mean()) / 2 for d, e in product(draws, draws)]
    got = runs.interval(rng, runs.mean, scores, resamples=200_000, whole_runs=whole_runs)
    # The bootstrap's own quantiles are steps; the one it falls on must be an end, or its neighbour.
    steps = np.unique(np.round(means, 12))
    for end, tail in ((got.lo, 0.025), (got.hi, 0.975)):
        exact = np.quantile(means, tail)
        near = np.abs(np.searchsorted(steps, end) - np.searchsorted(steps, exact))
        assert near <= 1
    assert got.value == pytest.approx(scores.mean())


def test_interval_of_many_runs_is_the_normal_one(rng: np.random.Generator) -> None:
    scores = rng.normal(0.5, 0.1, (400, 3))
    got = runs.interval(rng, runs.mean, scores)
    half = 1.96 * np.sqrt((scores.var(axis=0) / 400).sum()) / 3
    assert got.hi - got.lo == pytest.approx(2 * half, rel=0.06)


def test_tasks_that_share_their_luck_need_whole_runs(rng: np.random.Generator) -> None:
    """A run that is good is good on all nine tasks: drawn apart, the interval is three times too narrow."""
    scores = np.repeat(rng.random((50, 1)), 9, axis=1)
    narrow, wide = (runs.interval(rng, runs.mean, scores, whole_runs=whole) for whole in (False, True))
    assert (wide.hi - wide.lo) / (narrow.hi - narrow.lo) == pytest.approx(3, rel=0.1)


def test_two_tables_are_resampled_apart(rng: np.random.Generator) -> None:
    scores = rng.random((20, 5))
    got = runs.interval(rng, runs.probability_of_improvement, scores, scores)
    assert got.value == 0.5
    assert got.lo < 0.45
    assert got.hi > 0.55


def test_a_band_holds_its_curve_and_is_the_interval_at_each_threshold(rng: np.random.Generator) -> None:
    scores, thresholds = rng.random((5, 8)), np.linspace(0, 1, 11)
    band = runs.profile_band(np.random.default_rng(1), scores, thresholds)
    assert (band.lo <= band.value).all()
    assert (band.value <= band.hi).all()

    def above_half(table: np.ndarray) -> np.ndarray:
        return (table > thresholds[5]).mean(axis=(-2, -1))

    at = runs.interval(np.random.default_rng(1), above_half, scores)
    assert (band.value[5], band.lo[5], band.hi[5]) == pytest.approx(tuple(at))


def test_same_generator_same_interval() -> None:
    scores = np.random.default_rng(2).random((4, 3))
    first, second = (runs.interval(np.random.default_rng(3), runs.iqm, scores) for _ in range(2))
    assert first == second


def test_what_has_no_spread_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="one training run"):
        runs.interval(rng, runs.mean, np.ones((1, 3)))
    with pytest.raises(ValueError, match="n_runs, n_tasks"):
        runs.resampled(rng, np.ones(3), 10)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        # S. Holm's rule on the example that textbooks use: two of four hypotheses fall at .05.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        # statsmodels 0.15.0, stats.multitest.multipletests(..., method="holm")[1].
        ([0.02, 0.02, 0.5, 0.001, 0.9, 0.04], [0.1, 0.1, 1.0, 0.006, 1.0, 0.12]),
        ([0.6, 0.7, 0.8], [1.0, 1.0, 1.0]),
        (
            [0.2584, 0.0196, 0.0001, 0.0, 0.5379, 0.7604, 0.2232, 0.3882],
            [1.0, 0.1176, 0.0007, 0.0, 1.0, 1.0, 1.0, 1.0],
        ),
        ([0.3], [0.3]),
        ([], []),
    ],
)
def test_holm(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values) == pytest.approx(adjusted)


def test_holm_keeps_the_promise_that_it_makes(rng: np.random.Generator) -> None:
    """Twenty true nulls: some p-value is below .05 in 64 % of all experiments, adjusted ones in 5 %."""
    experiments = rng.random((2000, 20))
    raw = np.mean([min(p) < 0.05 for p in experiments])
    assert raw == pytest.approx(1 - 0.95**20, abs=0.04)
    assert np.mean([min(holm(p)) < 0.05 for p in experiments]) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(("success", "top5", "best"), [(0.05, 0.83, 0.99), (0.1, 0.99, 1.0), (0.01, 0.20, 0.63)])
def test_legacy_metric_of_a_hundred_poor_policies(
    rng: np.random.Generator, success: float, top5: float, best: float
) -> None:
    """What 100 candidates of one true success read: in closed form, by scipy, and when it is run."""
    solved = np.arange(101)
    chance = scipy_stats.binom.pmf(solved, 100, success)
    for k, reads, metric in ((5, top5, legacy_top5), (1, best, legacy_best)):
        expected = legacy_expectation(success, 100, k)
        assert expected == pytest.approx(chance @ (np.minimum(solved, k) / k), abs=1e-12)
        assert expected == pytest.approx(reads, abs=0.005)
        simulated = metric(rng.random((3000, 100, 2)) < success)
        assert simulated == pytest.approx(expected, abs=0.015)


def test_legacy_expectation_at_the_ends() -> None:
    assert legacy_expectation(0.0) == 0
    assert legacy_expectation(1.0) == 1
    assert legacy_expectation(0.3, candidates=1) == pytest.approx(0.3)
    assert legacy_expectation(0.3, candidates=4) == pytest.approx(0.3)  # All four are the top five.
    with pytest.raises(ValueError, match="no such benchmark"):
        legacy_expectation(1.5)
