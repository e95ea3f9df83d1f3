"""What `fit` may see, and what a prompt may show: leaks are errors in the types themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import DataError, LeakError, ProtocolError
from maa_bench.method import TrainingSet
from maa_bench.policy import PolicySpec
from maa_bench.prompts import OUTCOME, SEGMENT, Behaviors, PromptSet

SPEC = PolicySpec(4, (3,), 2, ("relu",))


def behaviors(n: int) -> Behaviors:
    rng = np.random.default_rng(0)
    return Behaviors(
        rng.standard_normal((n, SEGMENT, 4)).astype(np.float32),
        rng.uniform(-1, 1, (n, SEGMENT, 2)).astype(np.float32),
        rng.standard_normal((n, OUTCOME, 4)).astype(np.float32),
    )


def make(**changes: Any) -> TrainingSet:
    columns: dict[str, Any] = {
        "suite": "tiny",
        "split": "unseen",
        "spec": SPEC,
        "train_tasks": ("a", "b"),
        "task": np.array(["a", "a", "b"]),
        "role": np.array(["train"] * 3),
        "run": np.array(["train-00"] * 3),
        "step": np.arange(3),
        "success": np.ones(3, np.float32),
        "params": np.zeros((3, SPEC.n_params), np.float32),
        "behaviors": behaviors(3),
    }
    return TrainingSet(**{**columns, **changes})


def test_rows_of_the_splits_training_tasks_are_taken() -> None:
    assert len(make()) == 3


def test_a_row_of_a_task_that_is_not_trained_on_is_a_leak() -> None:
    with pytest.raises(LeakError, match="split 'unseen' holds checkpoints of secret, which the split does not train"):
        make(task=np.array(["a", "secret", "b"]))


@pytest.mark.parametrize("role", ["prompt", "validation", ""])
def test_a_row_of_another_role_is_a_leak(role: str) -> None:
    with pytest.raises(LeakError, match="holds rows of role"):
        make(role=np.array(["train", "train", role]))


@pytest.mark.parametrize("column", ["task", "role", "run", "step", "success"])
def test_a_column_of_another_length_is_refused(column: str) -> None:
    """Regression: a `role` column that was too short hid the roles of the other rows."""
    with pytest.raises(LeakError, match="columns of different lengths"):
        make(**{column: getattr(make(), column)[:2]})


def test_behaviours_of_other_rows_are_refused() -> None:
    with pytest.raises(LeakError, match="columns of different lengths"):
        make(behaviors=behaviors(2))


def test_an_empty_training_set_is_refused() -> None:
    empty = {name: getattr(make(), name)[:0] for name in ("task", "role", "run", "step", "success", "params")}
    with pytest.raises(LeakError, match="is empty"):
        make(**empty, behaviors=behaviors(0))


def test_arrays_cannot_be_written_to() -> None:
    data = make()
    for name in ("task", "role", "run", "step", "success", "params"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(data, name)[0] = getattr(data, name)[1]
    for name in ("observations", "actions", "outcome"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(data.behaviors, name)[0] = 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.params = np.zeros(1)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("observations", "actions", "outcome"),
    [
        ((2, SEGMENT - 1, 4), (2, SEGMENT, 2), (2, OUTCOME, 4)),
        ((2, SEGMENT, 4), (2, SEGMENT - 1, 2), (2, OUTCOME, 4)),
        ((2, SEGMENT, 4), (1, SEGMENT, 2), (2, OUTCOME, 4)),
        ((2, SEGMENT, 4), (2, SEGMENT, 2), (2, OUTCOME + 1, 4)),
        ((2, SEGMENT, 4), (2, SEGMENT, 2), (2, OUTCOME, 5)),
    ],
)
def test_behaviours_of_the_wrong_shape_are_refused(
    observations: tuple[int, ...], actions: tuple[int, ...], outcome: tuple[int, ...]
) -> None:
    with pytest.raises(DataError, match="behaviour"):
        Behaviors(np.zeros(observations, "f4"), np.zeros(actions, "f4"), np.zeros(outcome, "f4"))


def test_vectors_of_a_behaviour_are_the_releases() -> None:
    """One state and three actions of every three steps: 20 * (39 + 3 * 4) = 1,020 numbers on Meta-World."""
    n, rng = 2, np.random.default_rng(0)
    shown = Behaviors(
        rng.standard_normal((n, 60, 39)).astype(np.float32),
        rng.uniform(-1, 1, (n, 60, 4)).astype(np.float32),
        rng.standard_normal((n, 3, 39)).astype(np.float32),
    )
    vectors = shown.trajectory_vectors()
    assert vectors.shape == (n, 1020)
    second = vectors[1].reshape(20, 51)
    np.testing.assert_array_equal(second[7, :39], shown.observations[1, 21])
    np.testing.assert_array_equal(second[7, 39:], shown.actions[1, 21:24].ravel())
    assert shown.outcome_vectors().shape == (n, 117)
    np.testing.assert_array_equal(shown.take(np.array([1])).trajectory_vectors(), vectors[1:])


@pytest.mark.parametrize("split", ["seen", "unseen"])
def test_a_datasets_training_set_holds_train_runs_of_seen_tasks_only(
    tiny_dataset: CheckpointDataset, split: str
) -> None:
    data = tiny_dataset.training_set(split)
    assert data.train_tasks == tiny_dataset.suite.split(split).train
    assert set(data.task.tolist()) == set(data.train_tasks)
    assert not set(data.task.tolist()) & set(tiny_dataset.suite.split("unseen").test)
    assert set(data.role.tolist()) == {"train"}
    assert all(run.startswith("train-") for run in data.run.tolist())
    assert (data.success == 1.0).all()
    assert data.params.shape == (len(data), tiny_dataset.suite.policy.n_params)


def test_no_parameters_of_an_unseen_tasks_or_a_prompt_runs_checkpoint_reach_fit(
    tiny_dataset: CheckpointDataset,
) -> None:
    given = {row.tobytes() for row in tiny_dataset.training_set("unseen").params}
    for task in tiny_dataset.suite.tasks:
        rows = tiny_dataset.hf(task).with_format("numpy")
        forbidden = [p.tobytes() for p, role in zip(rows["params"], rows["role"], strict=True) if role != "train"]
        assert forbidden
        assert not given & set(forbidden)
    assert len(given) > 1


def test_only_checkpoints_of_success_1_are_trained_on(tiny_dataset: CheckpointDataset) -> None:
    expected, trained = 0, 0
    for task in tiny_dataset.suite.split("seen").train:
        rows = tiny_dataset.hf(task, ["role", "success"])
        trained += sum(r == "train" for r in rows["role"])
        expected += sum(r == "train" and s == 1.0 for r, s in zip(rows["role"], rows["success"], strict=True))
    assert len(tiny_dataset.training_set("seen")) == expected <= trained


@pytest.mark.parametrize("task", ["goal-000", "goal-030"])
def test_prompts_never_share_a_run_with_training_rows(tiny_dataset: CheckpointDataset, task: str) -> None:
    data = tiny_dataset.training_set("seen")
    trained = {f"{t}/{run}" for t, run in zip(data.task.tolist(), data.run.tolist(), strict=True)}
    prompts = tiny_dataset.prompts(task, 12, 0)
    assert len(set(prompts.sources)) == len(prompts) == 12
    sources = {source.rpartition("/")[0] for source in prompts.sources}
    assert sources == {f"{task}/prompt-00", f"{task}/prompt-01"}
    assert not sources & trained


def test_a_prompt_run_starts_from_other_weights_than_any_training_run(tiny_dataset: CheckpointDataset) -> None:
    rows = [tiny_dataset.hf(task, ["role", "seed"]) for task in tiny_dataset.suite.tasks]
    seeds = {role: {s for part in rows for r, s in zip(part["role"], part["seed"], strict=True) if r == role}
             for role in ("train", "prompt")}  # fmt: skip
    assert seeds == {"train": {0, 1}, "prompt": {1000, 1001}}


def test_a_prompt_set_has_no_parameters(tiny_dataset: CheckpointDataset) -> None:
    assert {field.name for field in dataclasses.fields(PromptSet)} == {"suite", "task", "behaviors", "sources"}
    prompts = tiny_dataset.prompts("goal-030", 4, 0)
    n_params = tiny_dataset.suite.policy.n_params
    for array in (prompts.behaviors.observations, prompts.behaviors.actions, prompts.behaviors.outcome):
        assert n_params not in array.shape
        assert array.shape[0] == 4


def test_prompts_are_drawn_by_seed_and_fewer_shots_are_a_prefix(tiny_dataset: CheckpointDataset) -> None:
    def sources(shots: int, seed: int) -> tuple[str, ...]:
        return tiny_dataset.prompts("goal-210", shots, seed).sources

    assert sources(6, 0) == sources(6, 0)
    assert sources(3, 0) == sources(6, 0)[:3]
    assert sources(6, 0) != sources(6, 1)


def test_more_shots_than_prompts_are_refused(tiny_dataset: CheckpointDataset) -> None:
    with pytest.raises(ProtocolError, match=r"--shots 13: dataset .* has 12 prompts of task 'goal-030'"):
        tiny_dataset.prompts("goal-030", 13, 0)


def test_a_dataset_of_another_suite_is_refused(tiny_dataset: CheckpointDataset, tiny_suite: Path) -> None:
    from maa_bench.suite import load_suite

    with pytest.raises(DataError, match="was made for tiny, not for toy-v1"):
        CheckpointDataset(tiny_dataset.folder, load_suite("toy-v1"))


def test_transitions_come_from_training_tasks_and_train_runs_only(tiny_dataset: CheckpointDataset) -> None:
    given = tiny_dataset.training_set("unseen").transitions
    assert tuple(given) == tiny_dataset.suite.split("unseen").train
    steps = given["goal-000"]
    acted = set(steps.source) - {"expert"}
    assert acted
    assert all("/train-" in source for source in acted)
    with pytest.raises(KeyError):
        given["goal-030"]


@pytest.mark.parametrize("source", ["partial", "expert"])
def test_prompts_of_other_sources(tiny_dataset: CheckpointDataset, source: str) -> None:
    n = tiny_dataset.n_prompts("goal-030", source)
    assert n >= 1
    prompts = tiny_dataset.prompts("goal-030", n, 0, source)
    assert len(set(prompts.sources)) == n
    goal = np.array([0.866, 0.5])
    assert (np.linalg.norm(prompts.behaviors.outcome[:, 0, :2] - goal, axis=1) <= 0.1 + 1e-6).all()
    success = {row["row_id"]: row["success"] for row in tiny_dataset.hf("goal-030", ["row_id", "success"])}
    if source == "partial":
        assert all(0.0 < success[name] < 1.0 for name in prompts.sources)
    else:
        assert all(name.startswith("goal-030/expert/") for name in prompts.sources)
    with pytest.raises(ProtocolError, match=rf"has {n} prompts of task 'goal-030' \(source '{source}'\)"):
        tiny_dataset.prompts("goal-030", n + 1, 0, source)
