"""Figures of the leaderboard: the numbers that are drawn are those of the records, and many methods stay readable."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from record_samples import CANDIDATES, TASKS, episode_rows, episode_table, make_record, sample
from scipy.stats import trim_mean

from maa_bench.record import RunRecord
from maa_bench.report.curves import families
from maa_bench.report.drawing import plain, style
from maa_bench.report.evidence import Evidence
from maa_bench.report.figures import (
    _spread,
    axis_curves,
    cost_figure,
    curves_figure,
    memorisation_figure,
    profile_figure,
)
from maa_bench.report.gallery import THRESHOLDS, figures_of
from maa_bench.report.looks import A_PANEL, in_panels
from maa_bench.report.order import entries
from maa_bench.report.tables import Ranged, key_of
from maa_bench.results import write_record
from maa_bench.stats.runs import Band


def written(results: Path, method: str, success: float, measures: bool = False, **changes: object) -> RunRecord:
    """A record on disk, with distances of its candidates if asked."""
    record, table = sample(method, success, **changes)
    distances = np.arange(CANDIDATES, dtype=np.float64) + 1
    cells = {f"{seed}/{task}": {"train_distance": distances} for seed in record.seeds.train for task in TASKS}
    return write_record(results / method / record.run_id, record, table, measures=cells if measures else None)


@pytest.mark.parametrize("count", [0, 1, A_PANEL, A_PANEL + 1, 13, 40])
def test_no_panel_has_too_many_methods_and_none_is_lost(count: int) -> None:
    names = [f"m{i}" for i in range(count)]
    panels = in_panels(names)
    assert [name for panel in panels for name in panel] == names
    assert max(map(len, panels)) <= A_PANEL
    assert len(panels) == max(1, -(-count // A_PANEL))


@pytest.mark.parametrize("wanted", [[1.0] * 20, [0.0] * 20, [0.9, 0.5, 0.49, 0.48, 0.0], [1.0, 0.5, 0.0]])
def test_labels_keep_apart_and_in_order(wanted: list[float]) -> None:
    gap = 1.06 / 20
    places = _spread(wanted, gap)
    assert all(a - b >= gap - 1e-9 for a, b in pairwise(places))
    assert min(places) >= -gap
    assert max(places) <= 1 + gap
    if wanted == [1.0, 0.5, 0.0]:
        assert places == wanted


def test_names_are_drawn_as_they_stand() -> None:
    assert plain("a $x^2$ b") == r"a \$x^2\$ b"
    assert plain("_hidden").strip() == "_hidden"
    assert not plain("_hidden").startswith("_")
    assert "\n" not in plain("a\nb")
    assert len(plain("x" * 99)) == 40


def test_curves_are_the_means_of_the_records() -> None:
    labels = {"protocol__name": "few-shot-v1"}
    made = [
        sample(method, success, run_id=f"r{shots}", protocol__shots=shots, protocol__condition=label, **labels)[0]
        for method, success in (("make_an_agent", 0.6), ("$bad$", 0.4), ("random_seen", 0.2))
        for shots, label in ((4, "base"), (1, "shots=1"), (10, "shots=10"))
        if (method, shots) != ("$bad$", 10)
    ]
    (family,) = families(made)
    with style():
        figure = curves_figure(family.axes, ["make_an_agent", "$bad$"], ["random_seen"])
    (panel,) = figure.axes
    curves = axis_curves(family.axes[0])
    drawn = sorted(repr(np.asarray(line.get_ydata()).tolist()) for line in panel.get_lines())
    assert drawn == sorted(repr(curve.value.tolist()) for curve in curves.values())
    assert [text.get_text() for text in panel.get_xticklabels()] == ["1", "4", "10"]
    mean = {r.protocol.shots: r.metrics.aggregate.mean for r in made if r.method.name == "make_an_agent"}
    assert curves["make_an_agent"].value.tolist() == [mean[n].value for n in (1, 4, 10)]
    assert curves["make_an_agent"].lo.tolist() == [mean[n].ci[0] for n in (1, 4, 10)]
    assert np.isnan(curves["$bad$"].value).tolist() == [False, False, True]


def test_profiles_and_costs_draw_what_they_are_given() -> None:
    with style():
        a = Band(1 - THRESHOLDS, (1 - THRESHOLDS) / 2, 1 - THRESHOLDS / 2)
        lone, control = Band(*[THRESHOLDS] * 3), Band(THRESHOLDS * 0, THRESHOLDS * 0, THRESHOLDS * 0 + 0.5)
        figure = profile_figure(THRESHOLDS, {"a": a, "lone": lone, "c": control}, ["a", "lone"], ["c"])
        heights = [line.get_ydata().tolist() for line in figure.axes[0].get_lines()]
        (band,) = figure.axes[0].collections  # Of the method that has one; controls stay lines.
        assert sorted(heights) == sorted([a.value.tolist(), lone.value.tolist(), control.value.tolist()])
        ends = band.get_paths()[0].vertices[:, 1]
        assert {round(y, 6) for y in ends} == {round(y, 6) for y in (*a.lo, *a.hi)}
        costs = cost_figure({"a": (12.0, 0.4), "c": (0.0, 0.9)}, ["a"], ["c"])
    points = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in costs.axes[0].get_lines()}
    assert points == {(12.0, 0.4), (0.01, 0.9)}
    assert [text.get_text() for text in costs.axes[0].texts] == ["c", "a"], "best first"


def test_scores_are_of_each_seed_and_task(tmp_path: Path) -> None:
    record = written(tmp_path, "make_an_agent", 0.5)
    frame = episode_table(episode_rows("make_an_agent", success=0.5)).to_pandas()
    test = frame[frame.layout_set == "test"]
    expected = test.groupby(["train_seed", "task"])["success"].mean().unstack()[list(TASKS)].to_numpy()
    assert Evidence(tmp_path).scores(record) == pytest.approx(expected)


def test_memorisation_is_drawn_where_distances_were_measured(tmp_path: Path) -> None:
    known, unknown = written(tmp_path, "known", 0.5, measures=True), written(tmp_path, "unknown", 0.5)
    evidence = Evidence(tmp_path)
    assert evidence.newness(unknown) is None
    measured = evidence.newness(known)
    assert measured is not None
    distance, success = measured
    assert distance.tolist() == [1, 2, 3, 4] * (2 * len(TASKS))
    frame = episode_table(episode_rows("known", success=0.5)).to_pandas()
    by_candidate = frame[frame.layout_set == "test"].groupby(["task", "train_seed", "candidate"], sort=False)["success"]
    assert success == pytest.approx(by_candidate.mean().to_numpy())
    with style():
        figure = memorisation_figure({"known": measured})
    assert figure.axes[0].collections[0].get_offsets().tolist() == np.stack(measured, axis=1).tolist()
    (entry,) = entries([known, unknown])
    kinds = {name.partition("-")[0] for name in figures_of(entry, evidence)}
    assert kinds == {"profiles", "cost", "memorisation"}
    (entry,) = entries([unknown])
    assert figures_of(entry, evidence) == {}, "one method alone compares with nothing"


def test_lifts_need_both_ends(tmp_path: Path) -> None:
    made = [written(tmp_path, name, s) for name, s in (("a", 0.6), ("random_seen", 0.2), ("expert", 1.0), ("b", 0.2))]
    by_name = {record.method.name: record for record in made}
    evidence = Evidence(tmp_path)
    lifts = evidence.lifts(made)
    mean = {name: record.metrics.aggregate.mean.value for name, record in by_name.items()}
    for name in ("a", "b"):
        cell = lifts[key_of(by_name[name])]
        assert isinstance(cell, Ranged)
        expected = (mean[name] - mean["random_seen"]) / (mean["expert"] - mean["random_seen"])
        assert cell.value == pytest.approx(expected, abs=1e-6)
        assert cell.ci[0] <= cell.value <= cell.ci[1]
    assert (lifts[key_of(by_name["random_seen"])], lifts[key_of(by_name["expert"])]) == (0.0, 1.0)
    assert evidence.lifts(made[:2]) == {}
    assert Evidence(tmp_path).lifts(made[::-1]) == lifts


def test_the_floor_is_the_run_of_most_seeds_and_not_the_luckier_one(tmp_path: Path) -> None:
    """Of the same control run twice, which is the floor must not hang on what it scored."""
    made = [written(tmp_path, name, s) for name, s in (("a", 0.6), ("random_seen", 0.1), ("expert", 1.0))]
    table = episode_table(episode_rows("random_seen", seeds=(0,), success=0.7))
    lucky = make_record(table, run_id="lucky")
    lucky = write_record(tmp_path / "random_seen" / "lucky", lucky, table)
    assert lucky.metrics.aggregate.mean.value > made[1].metrics.aggregate.mean.value
    lifts = Evidence(tmp_path).lifts([*made, lucky])
    assert lifts[key_of(made[1])] == 0.0
    assert isinstance(lifts[key_of(lucky)], Ranged)


def test_profiles_have_bands_over_the_seeds_of_each_task(tmp_path: Path) -> None:
    record, evidence = written(tmp_path, "a", 0.6), Evidence(tmp_path)
    band = evidence.profile(record, THRESHOLDS)
    scores = evidence.scores(record)
    assert band.value == pytest.approx([(scores > threshold).mean() for threshold in THRESHOLDS])
    assert ((band.lo <= band.value) & (band.value <= band.hi)).all()
    assert (band.hi > band.lo).any()
    # Two seeds of each task: all of a task's draws are its lower run one time of four, and never below it.
    assert band.lo[0] >= (scores.min(axis=0) > 0).mean()
    assert band.hi[-1] == 0
    assert all(np.array_equal(x, y) for x, y in zip(band, Evidence(tmp_path).profile(record, THRESHOLDS), strict=True))


def test_interquartile_mean_is_of_all_runs_of_all_tasks(tmp_path: Path) -> None:
    made, table = written(tmp_path, "a", 0.6), episode_table(episode_rows("b", seeds=(3,)))
    one = write_record(tmp_path / "b" / "run-1", make_record(table), table)
    evidence = Evidence(tmp_path)
    cell = evidence.iqm(made)
    assert isinstance(cell, Ranged)
    scores = evidence.scores(made)
    assert cell.value == pytest.approx(trim_mean(scores, 0.25, axis=None))
    assert scores.min() <= cell.ci[0] <= cell.value <= cell.ci[1] <= scores.max()
    assert evidence.iqm(one) == pytest.approx(trim_mean(evidence.scores(one), 0.25, axis=None)), "one seed, no interval"
    extras = evidence.extras([made, one])
    assert {name: extra.iqm for name, extra in extras.items()} == {
        key_of(made): Evidence(tmp_path).iqm(made),
        key_of(one): evidence.iqm(one),
    }


def test_no_scale_no_lift(tmp_path: Path) -> None:
    made = [written(tmp_path, name, s) for name, s in (("a", 0.6), ("random_seen", 1.0), ("expert", 0.5))]
    assert Evidence(tmp_path).lifts(made) == {}
