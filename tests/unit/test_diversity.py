"""Diversity of a dataset, against scipy's distances and against what the rows say."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from maa_bench.dataset.diversity import (
    Spread,
    diversity,
    nearest_distances,
    pairwise_distances,
    split_pairs,
    spread_of,
    trajectory_distances,
)
from maa_bench.dataset.peek import look, n_groups
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.dataset.tables import write_checkpoints
from maa_bench.errors import DataError
from maa_bench.prompts import SEGMENT

EVERYTHING = 10_000


def points(n: int = 40, d: int = 300) -> np.ndarray:
    """Far from the origin and some of them near-duplicates, which is where a Gram matrix loses digits."""
    rng = np.random.default_rng(3)
    x = 5.0 + rng.standard_normal((n, d))
    x[1] = x[0] + 1e-3 * rng.standard_normal(d)
    return x.astype(np.float32)


def test_distances_are_scipys() -> None:
    x = points()
    expected = squareform(pdist(x.astype(np.float64)))
    np.testing.assert_allclose(pairwise_distances(x), expected, rtol=1e-9, atol=1e-6)
    np.fill_diagonal(expected, np.inf)
    np.testing.assert_allclose(nearest_distances(x), expected.min(axis=1), rtol=1e-6)
    assert nearest_distances(x[:1]).shape == (0,)


def test_a_duplicate_has_distance_zero() -> None:
    x = points()
    x[7] = x[3]
    assert nearest_distances(x)[[3, 7]] == pytest.approx([0, 0], abs=1e-6)


def test_pairs_are_counted_once_within_and_between_runs() -> None:
    run = np.array([0, 0, 1, 1, 1])
    distances = np.arange(25.0).reshape(5, 5)
    within, between = split_pairs(distances, run)
    assert sorted(within) == [1, 13, 14, 19]
    assert sorted(between) == [2, 3, 4, 7, 8, 9]


def test_trajectories_are_compared_on_one_layout_only() -> None:
    rng = np.random.default_rng(0)
    states = rng.standard_normal((5, SEGMENT, 4))
    within, between = trajectory_distances(states, np.array([3, 3, 9, 3, 9]), np.array([0, 0, 0, 1, 1]))

    def rms(i: int, j: int) -> float:
        return float(np.sqrt(np.mean([np.linalg.norm(a - b) ** 2 for a, b in zip(states[i], states[j], strict=True)])))

    assert within == pytest.approx([rms(0, 1)])
    assert sorted(between) == pytest.approx(sorted([rms(0, 3), rms(1, 3), rms(2, 4)]))


def test_spread() -> None:
    assert spread_of([]) is None
    assert spread_of(np.arange(101)) == Spread(5.0, 50.0, 95.0, 101)


def test_a_whole_task_measured(tiny_dataset: CheckpointDataset) -> None:
    """A sample of everything gives what scipy gives from the rows."""
    found = diversity(tiny_dataset, "goal-000", "train", sample=EVERYTHING)
    rows = [row for row in tiny_dataset.hf("goal-000", role="train") if row["success"] == 1.0]
    params = np.array([row["params"] for row in rows])
    run = np.array([row["run"] for row in rows])
    relative = squareform(pdist(params)) / np.linalg.norm(params, axis=1).mean()
    same = run[:, None] == run[None, :]
    upper = np.triu(np.ones_like(same), 1)
    assert (found.runs, found.rows, found.role) == (len(set(run)), len(rows), "train")
    for spread, pairs in ((found.params_within, same & upper), (found.params_between, ~same & upper)):
        assert spread is not None
        expected = [*np.quantile(relative[pairs], [0.05, 0.5, 0.95]), pairs.sum()]
        np.testing.assert_allclose([spread.low, spread.median, spread.high, spread.count], expected, rtol=1e-6)
    nearest = np.where(same & ~np.eye(len(run), dtype=bool), relative, np.inf).min(axis=1)
    assert found.nearest is not None
    assert found.nearest.median == pytest.approx(np.median(nearest), rel=1e-6)
    firsts = [step for row in rows for step in row["first_success_steps"]]
    assert found.first_success is not None
    assert (found.first_success.median, found.first_success.count) == (np.median(firsts), len(firsts))


def test_a_sample_is_drawn_by_its_own_generator(tiny_dataset: CheckpointDataset) -> None:
    np.random.seed(1)  # noqa: NPY002 - whatever others did to the global one
    one = diversity(tiny_dataset, "goal-000", sample=12)
    np.random.seed(2)  # noqa: NPY002
    assert diversity(tiny_dataset, "goal-000", sample=12) == one
    assert diversity(tiny_dataset, "goal-000", sample=12, seed=1) != one
    assert one.params_within is not None
    assert one.params_within.count < diversity(tiny_dataset, "goal-000").params_within.count  # type: ignore[union-attr]


def test_a_single_run_has_no_pairs_between_runs(tiny_dataset: CheckpointDataset) -> None:
    data = CheckpointDataset(tiny_dataset.folder, tiny_dataset.suite)
    data.shards = data.entries("checkpoints", "goal-000", "train")
    first = next(iter(data.shards))
    data.shards = {first: {**data.shards[first], "duplicates": 7}}
    found = diversity(data, "goal-000")
    assert (found.runs, found.params_between, found.trajectories_between, found.duplicates) == (1, None, None, 7)
    data.shards[first]["verified"] = 0
    assert diversity(data, "goal-000").first_success is None


def test_only_some_row_groups_of_a_long_run_are_read(
    tiny_dataset: CheckpointDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "long"
    shutil.copytree(tiny_dataset.folder, folder)
    data = CheckpointDataset(folder, tiny_dataset.suite)
    shard, entry = next(iter(data.entries("checkpoints", "goal-000", "train").items()))
    rows = [row for row in tiny_dataset.hf("goal-000", role="train") if row["success"] == 1.0]
    write_checkpoints(folder / shard, (rows * 100)[:950], data.suite.policy)
    entry.update(rows=950, verified=950, bytes=(folder / shard).stat().st_size)
    data.shards = {shard: entry}
    assert n_groups(data, shard) == 10
    groups: list[list[int]] = []

    def watched(data: CheckpointDataset, shard: str, columns: list[str], chosen: list[int] | None = None) -> object:
        if "params" in columns:
            assert chosen is not None
            groups.append(chosen)
        return look(data, shard, columns, chosen)

    monkeypatch.setattr("maa_bench.dataset.diversity.look", watched)
    found = diversity(data, "goal-000")
    assert [len(own) for own in groups] == [4]
    assert found.rows == 950
    assert found.params_within is not None
    assert found.params_within.count == 200 * 199 // 2


@pytest.mark.parametrize("damage", ["missing", "truncated", "altered", "other rows"])
def test_a_damaged_shard_is_one_clear_line(tiny_dataset: CheckpointDataset, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_dataset.folder, folder)
    data = CheckpointDataset(folder, tiny_dataset.suite)
    shard, entry = next(iter(data.entries("checkpoints", "goal-090").items()))
    path = folder / shard
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[:-100])
    elif damage == "altered":
        path.write_bytes(b"x" * len(content))
    else:
        entry["rows"] += 1
    with pytest.raises(DataError, match=r"data build") as caught:
        diversity(data, "goal-090")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
