"""Averaging the checkpoints nearest to a prompt, on rows whose order by distance is known."""

from __future__ import annotations

import numpy as np
import pytest
from imitation_samples import SPEC, set_of, teacher

from maa_bench.baselines.controls import NearestCheckpoint
from maa_bench.baselines.mean_checkpoint import Config, MeanCheckpoint
from maa_bench.errors import MethodError
from maa_bench.method import Context, TrainingSet
from maa_bench.prompts import OUTCOME, SEGMENT, Behaviors, PromptSet

pytestmark = pytest.mark.baseline

POSITIONS = (0, 1, 2, 4, 7, 11)
"""Every number that row i's behaviour shows."""
RUNS = ["train-00", "train-01", "train-00", "train-01", "train-00", "train-01"]


def shown(positions: tuple[float, ...]) -> Behaviors:
    def constant(*shape: int) -> np.ndarray:
        return np.stack([np.full(shape, position, np.float32) for position in positions])

    return Behaviors(
        constant(SEGMENT, SPEC.obs_dim), constant(SEGMENT, SPEC.action_dim), constant(OUTCOME, SPEC.obs_dim)
    )


def data() -> TrainingSet:
    params = np.stack([teacher(i) for i in range(len(POSITIONS))])
    return set_of(params, shown(POSITIONS), ["east"] * 3 + ["west"] * 3, RUNS)


def asked(*positions: float) -> PromptSet:
    return PromptSet("family", "north", shown(positions), tuple(map(str, positions)))


def answers(nearest: int, within: str, prompts: PromptSet, n: int) -> np.ndarray:
    method = MeanCheckpoint(config=Config(nearest, within))
    method.fit(data(), Context(0))
    return method.generate(prompts, n, Context(0)).params


def means(*rows: list[int]) -> np.ndarray:
    return np.stack([data().params[one].astype(np.float64).mean(axis=0).astype(np.float32) for one in rows])


def test_candidates_are_means_of_the_nearest_then_of_the_next_nearest() -> None:
    made = answers(2, "any", asked(0.2, 10), 7)
    # Prompt 0.2: rows 0 1 2 3 4 5 from near to far; prompt 10: rows 5 4 3 2 1 0.
    np.testing.assert_array_equal(made, means([0, 1], [5, 4], [2, 3], [3, 2], [4, 5], [1, 0], [0, 1]))


def test_a_lineage_is_all_runs_of_the_nearest_ones_name() -> None:
    made = answers(2, "lineage", asked(0.2, 10), 6)
    np.testing.assert_array_equal(made, means([0, 2], [5, 3], [4, 0], [1, 5], [2, 4], [3, 1]))


def test_more_than_there_are_is_all_there_are() -> None:
    np.testing.assert_array_equal(answers(100, "lineage", asked(0), 1), means([0, 2, 4]))


def test_the_mean_of_one_is_the_nearest_checkpoint() -> None:
    nearest = NearestCheckpoint()
    nearest.fit(data(), Context(0))
    prompts = asked(3.2, 8, 1.1)
    expected = nearest.generate(prompts, 8, Context(0)).params  # type: ignore[attr-defined]
    np.testing.assert_array_equal(answers(1, "any", prompts, 8), expected)


def test_errors() -> None:
    with pytest.raises(MethodError, match="mean_checkpoint is not fitted: call fit or load first"):
        MeanCheckpoint().generate(asked(1), 1, Context(0))
    for nearest, within in ((0, "any"), (2, "run")):
        with pytest.raises(MethodError, match="needs nearest >= 1 and within 'any' or 'lineage'"):
            Config(nearest, within)
