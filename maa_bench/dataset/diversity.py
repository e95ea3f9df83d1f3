"""How different a task's checkpoints are: in their parameters, and in what they do.

Only checkpoints of success 1 count: early, failing ones would make any dataset look diverse. What is measured is
sampled with a generator of its own, so that a large dataset takes seconds and the same numbers come out again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench.dataset.peek import look, n_groups
from maa_bench.dataset.store import CheckpointDataset, params_of
from maa_bench.dataset.tables import vectors
from maa_bench.prompts import SEGMENT

Float64 = npt.NDArray[np.float64]

SAMPLE = 200
"""Checkpoints of a task between which parameter distances are taken."""

GROUPS = 4
"""Row groups, of 100 checkpoints that follow one another, that are read of each run at most."""


@dataclass(frozen=True)
class Spread:
    """Of `count` values: the 5 % quantile, the median, the 95 % quantile."""

    low: float
    median: float
    high: float
    count: int


@dataclass(frozen=True)
class Diversity:
    """How different the checkpoints of success 1 of one task are. A spread is None where there is no value.

    Attributes:
        task: task name.
        role: the role whose runs were looked at, or None: all.
        runs: number of runs with such checkpoints.
        rows: number of such checkpoints, by the manifest.
        params_within: relative distances between the parameters of two checkpoints of one run: Euclidean, divided by
            the mean Euclidean length of the sampled vectors.
        params_between: the same of two runs.
        nearest: relative distance of a checkpoint to the nearest other one of its run.
        first_success: steps up to and with the first success, of every verification episode.
        trajectories_within: distances between the recorded trajectories of two checkpoints of one run that were shown
            on the same layout: root mean square, over the segment's steps, of the Euclidean distance of the states,
            in the simulator's units.
        trajectories_between: the same of two runs.
        duplicates: snapshots that the build dropped as near-duplicates.
    """

    task: str
    role: str | None
    runs: int
    rows: int
    params_within: Spread | None
    params_between: Spread | None
    nearest: Spread | None
    first_success: Spread | None
    trajectories_within: Spread | None
    trajectories_between: Spread | None
    duplicates: int


def diversity(
    data: CheckpointDataset, task: str, role: str | None = None, sample: int = SAMPLE, seed: int = 0
) -> Diversity:
    """Measure one task.

    Args:
        data: the dataset.
        task: task name.
        role: only runs of this role.
        sample: checkpoints, the same number of every run, between which parameter distances are taken.
        seed: of the draws of row groups and checkpoints.

    Raises:
        DataError: a shard that is missing, truncated or cannot be read.
    """
    rng = np.random.default_rng([seed, list(data.suite.tasks).index(task)])
    entries = data.entries("checkpoints", task, role)
    shards = [shard for shard, entry in entries.items() if entry["verified"]]
    params: list[Any] = []
    nearest: list[Any] = []
    states: list[Any] = []
    layouts: list[Any] = []
    firsts: list[int] = []
    for shard in shards:
        firsts += _first_successes(data, shard)
        rows = _verified_rows(data, shard, rng)
        own = params_of(rows, data.suite.policy.n_params)
        nearest.append(nearest_distances(own))
        chosen = np.sort(rng.permutation(len(own))[: max(2, sample // len(shards))])
        params.append(own[chosen])
        states.append(vectors(rows["observations"], (SEGMENT, data.suite.policy.obs_dim)))
        layouts.append(rows["behavior_layout"].to_numpy())
    spread: dict[str, Spread | None] = dict.fromkeys(
        ("params_within", "params_between", "nearest", "trajectories_within", "trajectories_between")
    )
    if any(len(own) for own in params):
        length = float(np.mean([np.linalg.norm(x) for x in np.concatenate(params)]))
        within, between = split_pairs(pairwise_distances(np.concatenate(params)) / length, _numbers(params))
        spread["params_within"], spread["params_between"] = spread_of(within), spread_of(between)
        spread["nearest"] = spread_of(np.concatenate(nearest) / length)
        within, between = trajectory_distances(np.concatenate(states), np.concatenate(layouts), _numbers(states))
        spread["trajectories_within"], spread["trajectories_between"] = spread_of(within), spread_of(between)
    return Diversity(
        task=task,
        role=role,
        runs=len(shards),
        rows=sum(int(entry["verified"]) for entry in entries.values()),
        first_success=spread_of(firsts),
        duplicates=sum(int(entry["duplicates"]) for entry in entries.values()),
        **spread,
    )


def _first_successes(data: CheckpointDataset, shard: str) -> list[int]:
    import pyarrow.compute as pc

    table = look(data, shard, ["success", "first_success_steps"])
    steps: list[int] = pc.list_flatten(table.filter(pc.equal(table["success"], 1.0))["first_success_steps"]).to_pylist()
    return steps


def _verified_rows(data: CheckpointDataset, shard: str, rng: np.random.Generator) -> Any:
    """Checkpoints of success 1 of some row groups of a shard, in the order of training."""
    import pyarrow.compute as pc

    groups = np.sort(rng.permutation(n_groups(data, shard))[:GROUPS]).tolist()
    table = look(data, shard, ["success", "params", "behavior_layout", "observations"], groups)
    return table.filter(pc.equal(table["success"], 1.0))


def _numbers(parts: Iterable[npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    """The number of its part for every row of `parts` joined."""
    lengths = [len(part) for part in parts]
    return np.repeat(np.arange(len(lengths)), lengths)


def spread_of(values: npt.ArrayLike) -> Spread | None:
    """Quantiles of (n,) values (linear interpolation); None if there are none."""
    array = np.asarray(values, np.float64)
    if not array.size:
        return None
    low, median, high = np.quantile(array, [0.05, 0.5, 0.95]).tolist()
    return Spread(low, median, high, array.size)


def pairwise_distances(points: npt.NDArray[np.floating]) -> Float64:
    """Euclidean distances between (n, d) points: (n, n) float64, symmetric, zeros on the diagonal.

    By the Gram matrix of the centred points, which needs no n x n x d numbers and loses nothing that matters here:
    the error is about 1e-8 of the points' distance from their mean.
    """
    centred = points.astype(np.float64)
    centred -= centred.mean(axis=0)
    gram = centred @ centred.T
    squares = np.diag(gram)
    squared = squares[:, None] + squares[None, :] - 2.0 * gram
    np.fill_diagonal(squared, 0.0)
    distances: Float64 = np.sqrt(np.maximum(squared, 0.0))
    return distances


def nearest_distances(points: npt.NDArray[np.floating]) -> Float64:
    """Euclidean distance of each of (n, d) points to the nearest other one: (n,), or (0,) for a single point."""
    if len(points) < 2:
        return np.zeros(0)
    distances = pairwise_distances(points)
    np.fill_diagonal(distances, np.inf)
    nearest: Float64 = distances.min(axis=1)
    return nearest


def split_pairs(distances: Float64, run: npt.NDArray[np.int64]) -> tuple[Float64, Float64]:
    """Distances of pairs within a run and of pairs of two runs, each pair once; `run`: (n,) for (n, n) distances."""
    rows, columns = np.triu_indices(len(distances), 1)
    pairs, same = distances[rows, columns], run[rows] == run[columns]
    return pairs[same], pairs[~same]


def trajectory_distances(
    states: npt.NDArray[np.floating], layout: npt.NDArray[Any], run: npt.NDArray[np.int64]
) -> tuple[Float64, Float64]:
    """Distances of trajectories on the same layout, within runs and between runs.

    Args:
        states: (n, steps, obs_dim). layout: (n,). run: (n,).

    Returns:
        (pairs,) each: root mean square over the steps of the Euclidean distance between the states.
    """
    within, between = [np.zeros(0)], [np.zeros(0)]
    for value in np.unique(layout):
        rows = np.flatnonzero(layout == value)
        flat = states[rows].reshape(len(rows), -1)
        same, other = split_pairs(pairwise_distances(flat) / np.sqrt(states.shape[1]), run[rows])
        within.append(same)
        between.append(other)
    return np.concatenate(within), np.concatenate(between)
