"""Metrics: the definitions on tables small enough to work out by hand, and the release's own numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maa_bench import metrics

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def outcomes() -> tuple[np.ndarray, np.ndarray]:
    """Two seeds, three candidates, four test layouts, two select layouts."""
    success = np.array(
        [
            [[1, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]],
            [[0, 0, 1, 0], [1, 1, 1, 1], [1, 1, 0, 1]],
        ],
        dtype=bool,
    )
    select = np.array([[[0, 1], [1, 1], [1, 1]], [[1, 0], [0, 1], [0, 0]]], dtype=bool)
    return success, select


def test_mean_counts_every_candidate_and_layout(outcomes: tuple[np.ndarray, np.ndarray]) -> None:
    assert metrics.mean(outcomes[0]) == pytest.approx((4 + 2 + 0 + 1 + 4 + 3) / 24)


def test_best_is_chosen_on_select_layouts_with_ties_to_the_lower_index(
    outcomes: tuple[np.ndarray, np.ndarray],
) -> None:
    # Seed 0: candidates 1 and 2 tie on select, 1 is taken (test 2/4), though 0 is best on test. Seed 1: 0 and
    # 1 tie.
    assert metrics.best_selected(*outcomes) == pytest.approx((2 / 4 + 1 / 4) / 2)


def test_ties_do_not_look_at_test_outcomes() -> None:
    success = np.zeros((1, 6, 2))
    success[0, 5] = 1
    select = np.ones((1, 6, 3))
    assert metrics.best_selected(success, select) == 0
    assert metrics.top5_selected(success, select) == 0


def test_top5_takes_five_of_many_and_all_of_few(outcomes: tuple[np.ndarray, np.ndarray]) -> None:
    assert metrics.top5_selected(*outcomes) == metrics.mean(outcomes[0])
    success = np.linspace(0, 1, 8)[None, :, None] * np.ones((1, 1, 2))
    select = np.array([0, 1, 0, 1, 0, 1, 1, 1])[None, :, None] * np.ones((1, 1, 2))
    assert metrics.top5_selected(success, select) == pytest.approx(np.mean([1, 3, 5, 6, 7]) / 7)


def test_qualified_needs_every_layout(outcomes: tuple[np.ndarray, np.ndarray]) -> None:
    assert metrics.qualified_rate(outcomes[0]) == pytest.approx(2 / 6)
    nearly = np.ones((1, 1, 1000))
    nearly[0, 0, 0] = 0
    assert metrics.qualified_rate(nearly) == 0


def test_legacy_top5_sorts_each_of_the_first_two_layouts_on_its_own() -> None:
    success = np.zeros((1, 10, 4), dtype=bool)
    success[0, :5, 0] = True  # Five candidates solve layout 0 only,
    success[0, 5:, 1] = True  # five others layout 1 only: no candidate is better than .5 ...
    success[0, :, 2:] = False  # (and layouts 2 and 3 do not count)
    assert metrics.legacy_top5(success) == 1.0  # ... but the released metric reads 1.
    assert metrics.legacy_top5(success[:, :5]) == 0.5


def test_legacy_top5_averages_seeds() -> None:
    success = np.stack([np.ones((7, 2)), np.zeros((7, 2))])
    assert metrics.legacy_top5(success) == 0.5


def test_legacy_best_mixes_candidates_and_oracle_best_does_not() -> None:
    success = np.zeros((2, 3, 4), dtype=bool)
    success[:, 0, 0] = success[:, 1, 1] = True  # No candidate solves both of the first two layouts ...
    success[0, 2, 2:] = True  # ... and one of seed 0 solves two others.
    assert metrics.legacy_best(success) == 1.0
    assert metrics.oracle_best(success) == pytest.approx((2 / 4 + 1 / 4) / 2)


def test_all_metrics_follow_the_table_of_names(outcomes: tuple[np.ndarray, np.ndarray]) -> None:
    values = metrics.all_metrics(*outcomes)
    assert list(values) == list(metrics.METRICS)
    assert values["mean"] == metrics.mean(outcomes[0])
    floats = metrics.all_metrics(outcomes[0].astype(float), outcomes[1].astype(float))
    assert floats == values


def test_one_candidate_needs_no_selection() -> None:
    success = np.array([[[1, 0, 1, 1]]], dtype=bool)
    values = metrics.all_metrics(success, None)
    assert values == {
        "mean": 0.75,
        "best_selected": 0.75,
        "top5_selected": 0.75,
        "qualified_rate": 0.0,
        "oracle_best": 0.75,
        "legacy_top5": 0.5,
        "legacy_best": 0.5,
    }
    with pytest.raises(ValueError, match="select layouts"):
        metrics.all_metrics(np.ones((1, 2, 3)), None)


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        metrics.best_selected(np.ones((1, 3, 4)), np.ones((1, 2, 4)))


def _legacy_tables() -> list[dict[str, Any]]:
    folder = Path(os.environ.get("MAA_BENCH_GOLDEN") or REPOSITORY.parent / "shared" / "golden")
    path = folder / "legacy_metric.json"
    if not path.is_file():
        pytest.skip(f"no golden vectors: {path} is missing (set MAA_BENCH_GOLDEN)")
    tables: list[dict[str, Any]] = json.loads(path.read_text())["tables"]
    with np.load(folder / "legacy_metric.npz") as arrays:
        for table in tables:
            for name in ("success", "reward", "length", "legacy_success_by_rank"):
                table[name] = arrays[f"{name}_{table['table']}"]
    return tables


@pytest.mark.golden
def test_legacy_metric_equals_the_released_code() -> None:
    tables = _legacy_tables()
    assert len(tables) >= 6
    for table in tables:
        np.testing.assert_allclose(
            metrics.legacy_by_rank(table["success"]), table["legacy_success_by_rank"], rtol=0, atol=1e-12
        )
        for quantity in ("success", "reward", "length"):
            values, expected = table[quantity], table["legacy"]
            got = {
                f"avg_{quantity}": metrics.legacy_by_rank(values).mean(),
                f"top5_{quantity}": metrics.legacy_top_k(values, 5),
                f"top10_{quantity}": metrics.legacy_top_k(values, 10),
            }
            if quantity == "reward":
                got["max_reward"] = metrics.legacy_top_k(values, 1)
            if quantity == "length":
                got["min_length"] = metrics.legacy_by_rank(values)[-1]
            for name, value in got.items():
                assert value == pytest.approx(expected[name], rel=1e-12, abs=1e-12), (table["table"], name)


@pytest.mark.golden
def test_legacy_metric_is_not_the_per_policy_one() -> None:
    """The golden tables tell the two rules apart, so the test above can fail."""
    table = _legacy_tables()[2]
    per_policy = np.sort(table["success"].mean(axis=1))[::-1][:5].mean()
    assert per_policy == pytest.approx(table["per_policy"]["top5_success"], abs=1e-12)
    assert per_policy < metrics.legacy_top_k(table["success"], 5)


@pytest.mark.golden
def test_a_record_column_is_the_released_top5() -> None:
    """Tables of two layouts, as the release runs them, give the record's `legacy_top5`."""
    for table in _legacy_tables():
        if table["n_seeds"] == metrics.LEGACY_LAYOUTS:
            value = metrics.legacy_top5(table["success"][None].astype(bool))
            assert value == pytest.approx(table["legacy"]["top5_success"], abs=1e-12)
