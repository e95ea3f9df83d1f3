"""Differences and lifts: against the t-tests that they become where only one thing varies, and against the truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from synthetic import Model, Outcomes

from maa_bench.metrics import METRICS, all_metrics
from maa_bench.stats import RESAMPLES, Resampled, TaskOutcomes, mean_of_tasks, resample, wilson
from maa_bench.stats.joint import difference, lift

MANY = 20_000
"""Resamples enough for three digits."""


def of_runs(shares: list[float], seeds: tuple[int, ...] | None = None) -> Outcomes:
    """One task on which nothing but the training seed matters: a share of the 20 candidates always succeeds."""
    rows = np.arange(20) < np.round(np.array(shares) * 20)[:, None]
    table = np.broadcast_to(rows[:, :, None], (len(shares), 20, 6))
    return Outcomes(seeds or tuple(range(len(shares))), {"t": TaskOutcomes(table, table)})


def resample_together(
    methods: dict[str, Outcomes], metric: str = "mean", resamples: int = RESAMPLES
) -> dict[str, dict[str, Resampled]]:
    """One metric of every method and task."""
    drawn = resample(methods, resamples)
    return {method: {task: of[metric] for task, of in tasks.items()} for method, tasks in drawn.items()}


A, B = [0.5, 0.7, 0.85, 0.6, 0.75], [0.3, 0.4, 0.6, 0.35, 0.4]


def test_one_metric_alone_is_what_it_is_among_all() -> None:
    tables = dict(zip("ab", Model(seeds=3, candidates=6).draw(np.random.default_rng(4)), strict=True))
    every = resample(tables, 50)
    for metric in METRICS:
        alone = resample(tables, 50, (metric,))
        for method, tasks in alone.items():
            for task, found in tasks.items():
                assert list(found) == [metric]
                same = every[method][task][metric]
                assert (found[metric].value, found[metric].drawn.tolist()) == (same.value, same.drawn.tolist())
                assert (found[metric].below, found[metric].above) == (same.below, same.above)


def test_with_the_same_seeds_it_is_the_paired_t_test() -> None:
    drawn = resample_together({"a": of_runs(A), "b": of_runs(B)}, resamples=MANY)
    got = difference(drawn["a"]["t"], drawn["b"]["t"])
    expected = scipy_stats.ttest_rel(A, B)
    lo, hi = expected.confidence_interval()
    assert got.value == pytest.approx(np.mean(A) - np.mean(B))
    assert (got.lo, got.hi) == pytest.approx((lo, hi), abs=0.004)
    assert got.p == pytest.approx(expected.pvalue, rel=0.15)


def test_with_other_seeds_it_is_welchs_t_test() -> None:
    others = (10, 11, 12)
    drawn = resample_together({"a": of_runs(A), "b": of_runs(B[:3], others)}, resamples=MANY)
    got = difference(drawn["a"]["t"], drawn["b"]["t"])
    expected = scipy_stats.ttest_ind(A, B[:3], equal_var=False)
    lo, hi = expected.confidence_interval()
    assert (got.lo, got.hi) == pytest.approx((lo, hi), abs=0.01)
    assert got.p == pytest.approx(expected.pvalue, rel=0.15)


def test_with_one_policy_each_it_is_the_paired_t_test_over_layouts() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random(60) < 0.6, rng.random(60) < 0.4
    tables = {k: Outcomes((0,), {"t": TaskOutcomes(v[None, None], None)}) for k, v in (("x", x), ("y", y))}
    drawn = resample_together(tables, resamples=MANY)
    got = difference(drawn["x"]["t"], drawn["y"]["t"])
    lo, hi = scipy_stats.ttest_rel(x.astype(float), y.astype(float)).confidence_interval()
    assert (got.lo, got.hi) == pytest.approx((lo, hi), abs=0.01)


def test_what_is_shared_cancels() -> None:
    """Layouts that are hard for both say nothing of the difference; on their own they would."""
    rng = np.random.default_rng(1)
    hard = rng.random(8) < 0.5
    tables = {}
    for name in "ab":
        noise = rng.random((4, 16, 8)) < 0.1
        table = hard ^ noise
        tables[name] = Outcomes((0, 1, 2, 3), {"t": TaskOutcomes(table, table)})
    drawn = resample_together(tables)
    apart = np.sqrt(drawn["a"]["t"].drawn.var() + drawn["b"]["t"].drawn.var())
    together = (drawn["a"]["t"].drawn - drawn["b"]["t"].drawn).std()
    assert together < 0.3 * apart


def test_luck_of_a_seed_is_luck_on_all_tasks() -> None:
    """Nine equal tasks whose seeds are shared average nothing away."""
    one = of_runs(A).tasks["t"]
    drawn = resample_together({"a": Outcomes((0, 1, 2, 3, 4), {f"t{i}": one for i in range(9)})}, resamples=5000)
    mean = mean_of_tasks(drawn["a"])
    assert mean.drawn.std() == pytest.approx(drawn["a"]["t0"].drawn.std(), rel=0.01)
    assert mean.drawn.std() == pytest.approx(np.std(A, ddof=1) / np.sqrt(5), rel=0.04)


def test_every_metric_is_that_of_the_record() -> None:
    a, b = Model(seeds=3).draw(np.random.default_rng(2))
    for metric in METRICS:
        drawn = resample_together({"a": a, "b": b}, metric, 50)
        for task, outcomes in a.tasks.items():
            part = drawn["a"][task]
            assert part.value == pytest.approx(all_metrics(outcomes.success, outcomes.select)[metric], abs=1e-12)
            each = [all_metrics(outcomes.success[s : s + 1], outcomes.select[s : s + 1])[metric] for s in range(3)]
            assert part.by_seed == pytest.approx(each, abs=1e-12)
        assert mean_of_tasks(drawn["a"]).value == pytest.approx(np.mean([p.value for p in drawn["a"].values()]))


@pytest.mark.parametrize("seeds", [1, 4])
def test_a_pair_does_not_depend_on_company_or_order(seeds: int) -> None:
    a, b = Model(seeds=seeds).draw(np.random.default_rng(3))
    pair = resample_together({"a": a, "b": b}, "best_selected", 200)
    more = resample_together({"c": b, "b": b, "a": a}, "best_selected", 200)
    for task in a.tasks:
        got, again = (difference(d["a"][task], d["b"][task]) for d in (pair, more))
        assert again == got
        mirrored = difference(pair["b"][task], pair["a"][task])
        assert mirrored == pytest.approx((-got.value, -got.hi, -got.lo, got.p))


def test_p_is_below_5_percent_exactly_where_the_interval_leaves_out_0() -> None:
    rng = np.random.default_rng(4)
    seen = set()
    for _ in range(30):
        a, b = Model(seeds=int(rng.integers(1, 5)), advantage=(0.0, rng.normal(0, 1.5)), layouts=6).draw(rng)
        drawn = resample_together({"a": a, "b": b}, "mean", 200)
        for got in [difference(drawn["a"][t], drawn["b"][t]) for t in a.tasks]:
            assert (got.p < 0.05) == (got.lo > 0 or got.hi < 0)
            assert -1 <= got.lo <= got.value <= got.hi <= 1
            seen.add(got.p < 0.05)
    assert seen == {True, False}


def test_outcomes_all_alike_are_not_certain() -> None:
    """One always succeeds, the other never: the interval is Newcombe's, made of two of Wilson's."""
    ones = np.ones((2, 10, 10), dtype=bool)
    alike = {
        "a": Outcomes((0, 1), {"t": TaskOutcomes(ones, ones)}),
        "b": Outcomes((0, 1), {"t": TaskOutcomes(~ones, ~ones)}),
    }
    drawn = resample_together(alike)
    got = difference(drawn["a"]["t"], drawn["b"]["t"])
    below = np.hypot(1 - wilson(10, 10)[0], wilson(0, 10)[1])
    assert (got.value, got.hi) == (1, 1)
    assert got.lo == pytest.approx(1 - below)


def controls(rng: np.random.Generator) -> dict[str, Resampled]:
    """A method, the floor and the ceiling, in the mean of five tasks."""
    names = ("method", "floor", "ceiling")
    tables = Model(advantage=(0.5, -1.0, 2.5)).draw(rng)
    drawn = resample_together(dict(zip(names, tables, strict=True)))
    return {name: mean_of_tasks(drawn[name]) for name in names}


def test_lift_is_0_at_the_floor_and_1_at_the_ceiling() -> None:
    parts = controls(np.random.default_rng(5))
    floor, ceiling = parts["floor"], parts["ceiling"]
    assert lift(floor, floor, ceiling) == pytest.approx((0, 0, 0), abs=1e-6)
    assert lift(ceiling, floor, ceiling) == pytest.approx((1, 1, 1), abs=1e-6)
    below = lift(Resampled(**{**vars(floor), "value": floor.value - 0.1}), floor, ceiling)
    assert below is not None
    assert below.value < 0  # Nothing is cut off.


def test_the_ends_of_a_lift_are_just_not_refuted() -> None:
    """At either end method - floor - L * (ceiling - floor) is t standard errors from 0, for one t: Fieller's."""
    parts = controls(np.random.default_rng(6))
    got = lift(parts["method"], parts["floor"], parts["ceiling"])
    assert got is not None
    assert got.lo is not None
    assert got.hi is not None
    assert got.lo < got.value < got.hi
    gain, span = (
        (parts[top].value - parts["floor"].value, parts[top].drawn - parts["floor"].drawn)
        for top in ("method", "ceiling")
    )
    assert got.value == pytest.approx(gain[0] / span[0])
    ratios = [(gain[0] - end * span[0]) / (gain[1] - end * span[1]).std() for end in (got.lo, got.hi)]
    assert ratios[0] == pytest.approx(-ratios[1], rel=1e-6)
    assert scipy_stats.t.ppf(0.975, 40) < ratios[0] < scipy_stats.t.ppf(0.975, 2)
    # Where the ceiling is far above the floor, this is nearly what resampled ratios would give.
    lo, hi = np.quantile(gain[1] / span[1], [0.025, 0.975])
    assert got.hi - got.lo == pytest.approx((hi - lo) * ratios[0] / 1.96, rel=0.15)


def test_lift_without_room_below_the_ceiling() -> None:
    parts = controls(np.random.default_rng(7))
    assert lift(parts["method"], parts["ceiling"], parts["floor"]) is None
    assert lift(parts["method"], parts["floor"], parts["floor"]) is None
    near = Resampled(**{**vars(parts["floor"]), "drawn": parts["method"].drawn, "value": parts["floor"].value + 0.001})
    got = lift(parts["method"], parts["floor"], near)
    assert got is not None
    assert got.value > 1
    assert (got.lo, got.hi) == (None, None)


def test_methods_that_were_not_tested_alike_are_refused() -> None:
    a, b = Model().draw(np.random.default_rng(8))
    fewer = Outcomes(b.seeds, {k: v for k, v in b.tasks.items() if k != "task-0"})
    with pytest.raises(ValueError, match="other tasks"):
        resample({"a": a, "b": fewer})
    shorter = Outcomes(b.seeds, {k: TaskOutcomes(v.success[..., 1:], v.select) for k, v in b.tasks.items()})
    with pytest.raises(ValueError, match="differ in layouts"):
        resample({"a": a, "b": shorter})
    with pytest.raises(ValueError, match="no methods"):
        resample({})


def _coverage(model: Model, benchmarks: int) -> float:
    """Share of synthetic benchmarks whose interval of the difference holds the true one."""
    rng = np.random.default_rng(9)
    truth_a, truth_b = model.truth()
    covered = 0
    for _ in range(benchmarks):
        a, b = model.draw(rng)
        drawn = resample_together({"a": a, "b": b}, "mean", 300)
        got = difference(mean_of_tasks(drawn["a"]), mean_of_tasks(drawn["b"]))
        covered += got.lo <= truth_a - truth_b <= got.hi
    return covered / benchmarks


def test_the_truth_of_the_model_is_what_it_gives_on_average() -> None:
    model = Model(advantage=(-1.0, 1.0))
    rng = np.random.default_rng(10)
    means = [[np.mean([t.success.mean() for t in m.tasks.values()]) for m in model.draw(rng)] for _ in range(400)]
    error = np.std(means, axis=0) / 20
    assert (np.abs(np.mean(means, axis=0) - model.truth()) < 4 * error).all()


def test_intervals_of_differences_cover_the_truth() -> None:
    """200 benchmarks of four training seeds: .95 has a standard error of .015."""
    model = Model(levels=(-1.0, 1.0), candidates=8, layouts=6, advantage=(0.0, 1.0), seeds=4)
    assert 0.91 <= _coverage(model, 200) <= 0.99


@pytest.mark.heavy
@pytest.mark.parametrize("of_seed", [0.5, 1.0])
def test_intervals_of_differences_cover_93_to_97_percent(of_seed: float) -> None:
    """2,000 benchmarks of four seeds that differ moderately, and much; more: benchmarks/interval_coverage.py."""
    model = Model(candidates=8, seeds=4, of_seed=of_seed, advantage=(0.0, -1.0))
    assert 0.93 <= _coverage(model, 2000) <= 0.97
