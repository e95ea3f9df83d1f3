"""Multi-task RL, offline and online, on the toy suite."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from offline_rl import final_distance, success_rate

from maa_bench.baselines.multi_task_rl import MultiTaskRL
from maa_bench.baselines.multi_task_rl.online import MTSAC, OnlineMultiTaskRL
from maa_bench.baselines.multi_task_rl.policy import PromptedPolicy
from maa_bench.baselines.shared.training import first_weights
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import LeakError, MethodError
from maa_bench.method import Context

pytestmark = pytest.mark.baseline


@pytest.fixture(scope="module")
def fitted(tiny_dataset: CheckpointDataset) -> MultiTaskRL:
    method = MultiTaskRL(scale="tiny")
    method.fit(tiny_dataset.training_set("seen"), Context(0))
    return method


def test_it_learns_the_seen_tasks_without_finetuning(fitted: MultiTaskRL, tiny_dataset: CheckpointDataset) -> None:
    config = dataclasses.replace(fitted.config, finetune=dataclasses.replace(fitted.config.finetune, updates=0))
    method = MultiTaskRL(config=config)  # type: ignore[arg-type]
    method._model = fitted._model
    rates = []
    for task in tiny_dataset.suite.split("seen").test:
        policies = method.generate(tiny_dataset.prompts(task, 4, 0), 4, Context(0))
        rates.append(success_rate(tiny_dataset, task, policies))
    assert np.mean(rates) > 0.6, rates


def test_finetuning_makes_more_of_unseen_tasks(fitted: MultiTaskRL, tiny_dataset: CheckpointDataset) -> None:
    rates = []
    for task in tiny_dataset.suite.split("unseen").test:
        policies = fitted.generate(tiny_dataset.prompts(task, 4, 0), 4, Context(0))
        rates.append(success_rate(tiny_dataset, task, policies))
    assert np.mean(rates) > 0.4, rates


def test_a_candidate_does_not_depend_on_how_many_there_are(
    fitted: MultiTaskRL, tiny_dataset: CheckpointDataset, tmp_path: Path
) -> None:
    prompts, context = tiny_dataset.prompts("goal-030", 4, 0), Context(3)
    many = fitted.generate(prompts, 18, context).params
    assert len(np.unique(many, axis=0)) == 18
    assert fitted.generate(prompts, 1, context).params.tobytes() == many[:1].tobytes()
    fitted.save(tmp_path)
    loaded = MultiTaskRL(scale="small")
    loaded.load(tmp_path, tiny_dataset.training_set("seen"))
    assert loaded.n_parameters == fitted.n_parameters
    assert loaded.generate(prompts, 18, context).params.tobytes() == many.tobytes()


def test_what_it_cannot_answer(fitted: MultiTaskRL, tiny_dataset: CheckpointDataset) -> None:
    with pytest.raises(MethodError, match="multi_task_rl is not fitted"):
        MultiTaskRL(scale="tiny").generate(tiny_dataset.prompts("goal-030", 4, 0), 1, Context(0))
    with pytest.raises(MethodError, match="got n=0, 4 prompts"):
        fitted.generate(tiny_dataset.prompts("goal-030", 4, 0), 0, Context(0))


def test_online_it_learns_by_acting(tiny_dataset: CheckpointDataset, tmp_path: Path) -> None:
    method, data = OnlineMultiTaskRL(scale="tiny"), tiny_dataset.training_set("seen")
    method.fit(dataclasses.replace(data, transitions={}), Context(0))  # it needs none
    made, distances = [], []
    for task in data.train_tasks:
        made.append(method.generate(tiny_dataset.prompts(task, 4, 0), 4, Context(0)))
        distances.append(final_distance(tiny_dataset, task, made[-1]))
    assert max(distances) < 0.5, distances  # a mass that stays where it begins ends 1 from its goal
    method.save(tmp_path)
    loaded = OnlineMultiTaskRL()
    loaded.load(tmp_path, data)
    again = loaded.generate(tiny_dataset.prompts(data.train_tasks[-1], 4, 0), 4, Context(0))
    assert again.params.tobytes() == made[-1].params.tobytes()


def test_online_it_acts_in_training_tasks_only(tiny_dataset: CheckpointDataset) -> None:
    data = tiny_dataset.training_set("unseen")
    data = dataclasses.replace(data, train_tasks=(*data.train_tasks, "goal-030"))
    with pytest.raises(LeakError, match="does not train on goal-030"):
        OnlineMultiTaskRL(scale="tiny").fit(data, Context(0))


def test_online_learning_needs_something_to_learn_from() -> None:
    with pytest.raises(MethodError, match="warmup_steps must be at least 1"):
        dataclasses.replace(OnlineMultiTaskRL(scale="tiny").config.sac, warmup_steps=0)


def test_online_critics_are_told_the_task_and_densities_are_torchs(tiny_dataset: CheckpointDataset) -> None:
    spec, config = tiny_dataset.suite.policy, OnlineMultiTaskRL(scale="tiny").config
    with first_weights(0):
        learner = MTSAC(PromptedPolicy(spec, config.prompt), 3, config.sac)
    chance = torch.Generator().manual_seed(0)
    same = torch.randn(1, 2, spec.obs_dim, generator=chance).expand(3, -1, -1)
    actions = torch.zeros(3, 2, spec.action_dim)
    values = learner.values(learner.q, same, actions)
    assert values.shape == (2, 3, 2)
    assert len(values[0, :, 0].unique()) == 3
    # The densities are those of torch's own squashed normal.
    z = torch.randn(3, config.prompt.z_dim, generator=chance)
    drawn, log_prob = learner.act(same, z, chance)
    features = learner.model.policy.features(same, z)
    mean, std = learner.model.policy.layers[-1](features), learner.log_std(features).exp()
    squash = torch.distributions.TanhTransform()
    reference = torch.distributions.TransformedDistribution(torch.distributions.Normal(mean, std), [squash])
    torch.testing.assert_close(log_prob, reference.log_prob(drawn).sum(-1), atol=1e-4, rtol=1e-4)
