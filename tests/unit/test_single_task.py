"""The ceiling of the test task's own checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maa_bench.baselines.single_task import SingleTask, spread
from maa_bench.dataset.shown import shown_prompts
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import MethodError
from maa_bench.evaluator import EpisodeJob
from maa_bench.method import Context
from maa_bench.prompts import CheckpointPromptSet
from maa_bench.protocol import Protocol

TASK = "goal-030"


@pytest.fixture(scope="module")
def prompts(tiny_dataset: CheckpointDataset) -> CheckpointPromptSet:
    shown = shown_prompts(tiny_dataset, TASK, "test_checkpoints", Protocol(shots=2), 0)
    assert isinstance(shown, CheckpointPromptSet)
    return shown


@pytest.fixture(scope="module")
def fitted(tiny_dataset: CheckpointDataset) -> SingleTask:
    method = SingleTask(scale="small")
    method.fit(tiny_dataset.training_set("unseen"), Context(0))
    return method


def test_runs_take_turns() -> None:
    run = np.array(["a"] * 5 + ["b"] * 2 + ["c"] * 3)
    order = spread(run, np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(10))
    assert sorted(run[order[:3]]) == ["a", "b", "c"]
    assert sorted(run[order[3:6]]) == ["a", "b", "c"]
    assert run[order[6:]].tolist().count("a") == 3
    assert order.tolist() != spread(run, np.random.default_rng(1)).tolist()


def test_candidates_are_the_tasks_checkpoints_each_once_before_any_twice(
    prompts: CheckpointPromptSet, fitted: SingleTask
) -> None:
    m = len(prompts.params)
    made = fitted.generate(prompts, 2 * m, Context(0)).params
    assert {row.tobytes() for row in made[:m]} == {row.tobytes() for row in prompts.params}
    np.testing.assert_array_equal(made[m:], made[:m])
    np.testing.assert_array_equal(fitted.generate(prompts, 3, Context(0)).params, made[:3])
    assert fitted.generate(prompts, m, Context(1)).params.tobytes() != made[:m].tobytes()


def test_it_solves_the_layouts_that_verified_it(
    tiny_dataset: CheckpointDataset, prompts: CheckpointPromptSet, fitted: SingleTask
) -> None:
    agents = fitted.generate(prompts, 4, Context(0))
    job = EpisodeJob(tiny_dataset.suite.source, TASK, agents, (0, 1, 2, 3), (("train", 6),))
    assert (job(lambda *_: None).first_success > 0).mean() > 0.8


def test_a_loaded_one_does_as_a_fitted_one(
    tiny_dataset: CheckpointDataset, prompts: CheckpointPromptSet, fitted: SingleTask, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    loaded = SingleTask(scale="paper")
    loaded.load(tmp_path, tiny_dataset.training_set("unseen"))
    one, two = (method.generate(prompts, 5, Context(2)).params for method in (fitted, loaded))
    assert one.tobytes() == two.tobytes()


def test_it_says_what_it_lacks(
    tiny_dataset: CheckpointDataset, prompts: CheckpointPromptSet, fitted: SingleTask
) -> None:
    with pytest.raises(MethodError, match="call fit or load before generate"):
        SingleTask().generate(prompts, 1, Context(0))
    with pytest.raises(MethodError, match="needs checkpoints of goal-030, and was shown none"):
        fitted.generate(tiny_dataset.prompts(TASK, 2, 0), 1, Context(0))
