"""The controls: a draw that ignores prompts, a retrieval that finds itself, a floor and a ceiling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maa_bench.baselines.controls import Expert, NearestCheckpoint, RandomSeen, RandomWeights
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import MethodError
from maa_bench.evaluator import EpisodeJob
from maa_bench.method import Context, FlatPolicies, Saveable, TrainingSet
from maa_bench.prompts import PromptSet
from maa_bench.registry import CONTROLS, load_method
from maa_bench.suite import load_suite

CONTEXT = Context(seed=3)


@pytest.fixture(scope="module")
def data(tiny_dataset: CheckpointDataset) -> TrainingSet:
    return tiny_dataset.training_set("unseen")


def flat(agents: object) -> np.ndarray:
    assert isinstance(agents, FlatPolicies)
    return agents.params


def fitted(cls: type, data: TrainingSet) -> RandomSeen | NearestCheckpoint | RandomWeights | Expert:
    control = cls(scale="small")
    control.fit(data, CONTEXT)
    return control  # type: ignore[no-any-return]


def prompts_of_row(data: TrainingSet, rows: list[int], task: str = "goal-030") -> PromptSet:
    return PromptSet(data.suite, task, data.behaviors.take(np.array(rows)), tuple(str(row) for row in rows))


def test_random_seen_draws_training_rows_only(data: TrainingSet, tiny_dataset: CheckpointDataset) -> None:
    prompts = tiny_dataset.prompts("goal-030", 4, 0)
    drawn = flat(fitted(RandomSeen, data).generate(prompts, 60, CONTEXT))
    known = {row.tobytes() for row in data.params}
    assert {row.tobytes() for row in drawn} <= known


def test_random_seen_ignores_the_prompts(data: TrainingSet, tiny_dataset: CheckpointDataset) -> None:
    control = fitted(RandomSeen, data)
    drawn = [
        flat(control.generate(prompts, 12, CONTEXT)).tobytes()
        for prompts in (
            tiny_dataset.prompts("goal-030", 4, 0),
            tiny_dataset.prompts("goal-030", 9, 1),
            prompts_of_row(data, [0]),
        )
    ]
    assert len(set(drawn)) == 1


def test_random_seen_draws_anew_for_another_task_and_another_seed(
    data: TrainingSet, tiny_dataset: CheckpointDataset
) -> None:
    control = fitted(RandomSeen, data)
    prompts = tiny_dataset.prompts("goal-030", 4, 0)
    draws = [
        flat(control.generate(prompts, 12, Context(seed=3))).tobytes(),
        flat(control.generate(prompts, 12, Context(seed=4))).tobytes(),
        flat(control.generate(tiny_dataset.prompts("goal-210", 4, 0), 12, Context(seed=3))).tobytes(),
    ]
    assert len(set(draws)) == 3


def test_random_seen_reaches_every_task_and_repeats_nothing_before_it_must(
    data: TrainingSet, tiny_dataset: CheckpointDataset
) -> None:
    control = fitted(RandomSeen, data)
    few = flat(control.generate(tiny_dataset.prompts("goal-030", 1, 0), 12, CONTEXT))
    assert len({row.tobytes() for row in few}) == 12
    many = flat(control.generate(tiny_dataset.prompts("goal-030", 1, 0), 400, CONTEXT))
    task_of = dict(zip((row.tobytes() for row in data.params), data.task.tolist(), strict=True))
    counts = {task: sum(task_of[row.tobytes()] == task for row in many) for task in data.train_tasks}
    assert min(counts.values()) > 60, f"uniform over tasks, not {counts}"
    assert len({row.tobytes() for row in many}) == len(data), "every row is drawn in the end"


def test_nearest_checkpoint_finds_the_checkpoint_that_made_the_behaviour(data: TrainingSet) -> None:
    rows = list(range(0, len(data), 3))
    found = flat(fitted(NearestCheckpoint, data).generate(prompts_of_row(data, rows), len(rows), CONTEXT))
    np.testing.assert_array_equal(found, data.params[rows])


def test_nearest_checkpoint_answers_prompts_in_turn_with_ever_farther_rows(data: TrainingSet) -> None:
    rows = [1, len(data) - 1]
    found = flat(fitted(NearestCheckpoint, data).generate(prompts_of_row(data, rows), 6, CONTEXT))
    np.testing.assert_array_equal(found[:2], data.params[rows])
    for prompt in (0, 1):
        assert len({row.tobytes() for row in found[prompt::2]}) == 3
    alone = flat(fitted(NearestCheckpoint, data).generate(prompts_of_row(data, rows[:1]), 3, CONTEXT))
    np.testing.assert_array_equal(alone, found[::2])


def test_nearest_checkpoint_can_be_asked_for_more_than_there_are(data: TrainingSet) -> None:
    found = flat(fitted(NearestCheckpoint, data).generate(prompts_of_row(data, [0]), len(data) + 1, CONTEXT))
    assert len({row.tobytes() for row in found}) == len(data)
    np.testing.assert_array_equal(found[-1], found[0])


def test_nearest_checkpoint_answers_a_seen_task_with_a_checkpoint_of_that_task(
    tiny_dataset: CheckpointDataset,
) -> None:
    data = tiny_dataset.training_set("seen")
    task_of = dict(zip((row.tobytes() for row in data.params), data.task.tolist(), strict=True))
    for task in data.train_tasks:
        found = flat(fitted(NearestCheckpoint, data).generate(tiny_dataset.prompts(task, 6, 0), 6, CONTEXT))
        assert {task_of[row.tobytes()] for row in found} == {task}


def test_random_weights_are_new_policies(data: TrainingSet, tiny_dataset: CheckpointDataset) -> None:
    made = flat(fitted(RandomWeights, data).generate(tiny_dataset.prompts("goal-030", 1, 0), 5, CONTEXT))
    assert made.shape == (5, data.spec.n_params)
    assert len({row.tobytes() for row in made}) == 5
    biases = np.concatenate([made[:, t.start : t.stop] for t in data.spec.tensors if len(t.shape) == 1], axis=1)
    assert not biases.any()
    first = data.spec.tensors[0]
    assert np.abs(made[:, first.start : first.stop]).max() <= (6 / sum(first.shape)) ** 0.5


def test_the_expert_is_the_ceiling_on_every_toy_goal() -> None:
    suite = load_suite("toy-v1")
    control = Expert()
    control._training_set = type("Given", (), {"suite": "toy-v1"})()  # type: ignore[assignment]
    for task in suite.tasks:
        prompts = PromptSet("toy-v1", task, None, ())  # type: ignore[arg-type]
        agents = control.generate(prompts, 1, CONTEXT)
        job = EpisodeJob("toy-v1", task, agents, (0,), (("test", 50),))
        assert (job(lambda *_: None).first_success > 0).all(), task


def test_the_expert_needs_one_candidate_only_and_travels_to_workers(
    data: TrainingSet, tiny_dataset: CheckpointDataset
) -> None:
    import pickle

    assert Expert.card.deterministic_candidates
    agents = fitted(Expert, data).generate(tiny_dataset.prompts("goal-030", 1, 0), 2, CONTEXT)
    copy = pickle.loads(pickle.dumps(agents))
    assert len(copy) == 2
    obs = np.array([0.1, 0.2, 0.0, 0.0])
    np.testing.assert_array_equal(copy.agent(1).act(obs), agents.agent(0).act(obs))


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_that_is_loaded_does_as_one_that_was_fitted(
    data: TrainingSet, tiny_dataset: CheckpointDataset, tmp_path: Path, name: str
) -> None:
    method = load_method(name)
    prompts = tiny_dataset.prompts("goal-030", 2, 0)
    one, two = method.make(scale="small"), method.make(scale="paper")
    one.fit(data, CONTEXT)
    assert isinstance(one, Saveable)
    assert isinstance(two, Saveable)
    one.save(tmp_path)
    two.load(tmp_path, data)
    agents = [control.generate(prompts, 3, CONTEXT) for control in (one, two)]
    if name == "expert":
        assert agents[0] == agents[1]
    else:
        assert flat(agents[0]).tobytes() == flat(agents[1]).tobytes()


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_says_when_it_was_not_fitted(tiny_dataset: CheckpointDataset, name: str) -> None:
    control = load_method(name).make(scale="small")
    with pytest.raises(MethodError, match="call fit or load before generate"):
        control.generate(tiny_dataset.prompts("goal-030", 1, 0), 1, CONTEXT)


def test_cards_say_what_a_control_looks_at() -> None:
    uses = {name: (card := load_method(name).card).uses + "/" + card.family for name in CONTROLS}
    assert uses == {
        "random_seen": "nothing/control",
        "nearest_checkpoint": "prompts/control",
        "random_weights": "nothing/control",
        "expert": "scripted_expert/ceiling",
    }
