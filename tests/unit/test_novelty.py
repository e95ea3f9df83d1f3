"""Novelty: scipy's distances, copies, and policies that are all alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist, squareform

from maa_bench.novelty import path_spread, spread, train_distance


def policies(n: int, seed: int, size: int = 300) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, size)).astype(np.float32)


def test_train_distance_is_that_of_the_nearest() -> None:
    params, train = policies(7, 0), policies(20, 1) * np.linspace(0.5, 2, 20)[:, None].astype(np.float32)
    distances = cdist(params, train)
    nearest = distances.argmin(axis=1)
    expected = distances.min(axis=1) / np.linalg.norm(train.astype(np.float64), axis=1)[nearest]
    np.testing.assert_allclose(train_distance(params, train), expected, rtol=1e-6)


def test_a_copy_is_at_distance_0_and_a_nearly_copied_one_is_not() -> None:
    train = 30 * policies(50, 2, 5000)
    copied = train[[3, 44]].copy()
    copied[1] *= np.float32(1 + 1e-4)
    distances = train_distance(copied, train)
    assert distances[0] == 0
    assert distances[1] == pytest.approx(1e-4, rel=1e-2)


def test_spread_is_the_mean_distance_to_the_others() -> None:
    params = policies(6, 3)
    expected = squareform(pdist(params)).sum(axis=1) / 5 / np.linalg.norm(params, axis=1).mean()
    np.testing.assert_allclose(spread(params), expected, rtol=1e-5)
    assert (spread(np.repeat(params[:1], 4, axis=0)) == 0).all()
    assert np.isnan(spread(params[:1])).all()


def test_path_spread_counts_dimensions_alike_and_leaves_out_those_that_never_change() -> None:
    paths = np.random.default_rng(4).standard_normal((5, 60, 3))
    expected = path_spread(paths)
    scaled = np.concatenate([paths * [1.0, 1000.0, 1e-3], np.full((5, 60, 2), 7.0)], axis=2)
    np.testing.assert_allclose(path_spread(scaled), expected, rtol=1e-9)
    # Independent paths of unit variance differ by sqrt(2) on average.
    assert expected.mean() == pytest.approx(np.sqrt(2), rel=0.1)
    assert (path_spread(np.repeat(paths[:1], 3, axis=0)) == 0).all()
    assert np.isnan(path_spread(paths[:1])).all()


def test_a_path_that_broke_off_leaves_the_others_alone() -> None:
    paths = np.random.default_rng(5).standard_normal((4, 60, 3))
    broken = np.concatenate([paths, np.full((1, 60, 3), np.nan)])
    result = path_spread(broken)
    np.testing.assert_array_equal(result[:4], path_spread(paths))
    assert np.isnan(result[4])
