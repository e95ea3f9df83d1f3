"""Multi-task imitation, on tasks whose policies are known: does a prompt decide, and what does finetuning add?"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from imitation_samples import SPEC, clone_error, family, prompts_of, teacher

from maa_bench.baselines.multi_task_il import BATCH, MultiTaskIL, MultiTaskILFinetuned
from maa_bench.baselines.shared.prompted_steps import PromptedSteps
from maa_bench.baselines.shared.steps import Steps, prompt_features
from maa_bench.errors import MethodError
from maa_bench.method import Context
from maa_bench.policy import act

pytestmark = pytest.mark.baseline

TASKS = 3


@cache
def saved_fit(folder: Path) -> Path:
    folder.mkdir()
    method = MultiTaskIL(scale="tiny")
    method.fit(family(TASKS, 12), Context(0))
    method.save(folder)
    return folder


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit of one of the two is a fit of the other."""
    return saved_fit(tmp_path_factory.getbasetemp() / "multi-task")


def loaded(kind: type[MultiTaskIL], folder: Path) -> MultiTaskIL:
    method = kind()
    method.load(folder, family(TASKS, 12))
    return method


def test_the_prompt_decides_whose_actions_are_cloned(folder: Path) -> None:
    for task in range(TASKS):
        made = loaded(MultiTaskIL, folder).generate(prompts_of(teacher(task), 4, seed=50), 4, Context(0)).params
        errors = np.stack([clone_error(made, teacher(other)) for other in range(TASKS)])
        assert (errors.argmin(axis=0) == task).all(), errors
        assert errors[task].mean() < 0.4 * np.delete(errors, task, axis=0).mean()


def test_a_candidate_is_the_network_told_its_prompt(folder: Path) -> None:
    method, prompts = loaded(MultiTaskIL, folder), prompts_of(teacher(1), 3)
    made = method.generate(prompts, 3, Context(0)).params
    states = np.random.default_rng(0).normal(size=(3, 4, SPEC.obs_dim)).astype(np.float32)
    network = method._fitted()
    with torch.no_grad():
        expected = network.policy(torch.from_numpy(states), network.encoder(prompt_features(prompts.behaviors)))
    for step in range(4):
        np.testing.assert_allclose(act(SPEC, made, states[:, step]), expected[:, step].numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", [MultiTaskIL, MultiTaskILFinetuned])
def test_candidates_differ_and_do_not_depend_on_n(kind: type[MultiTaskIL], folder: Path) -> None:
    method, prompts = loaded(kind, folder), prompts_of(teacher(0), 2)
    many = method.generate(prompts, BATCH + 3, Context(0)).params
    assert len(np.unique(many, axis=0)) == BATCH + 3
    np.testing.assert_array_equal(method.generate(prompts, 3, Context(0)).params, many[:3])


def test_finetuning_starts_at_the_told_policy_and_approaches_the_prompts_policy(folder: Path) -> None:
    new, told, finetuned = teacher(40), loaded(MultiTaskIL, folder), loaded(MultiTaskILFinetuned, folder)
    prompts = prompts_of(new, 6)
    start = told.generate(prompts, 3, Context(0)).params
    better = finetuned.generate(prompts, 3, Context(0)).params
    assert (clone_error(better, new) < 0.5 * clone_error(start, new)).all()
    none = dataclasses.replace(finetuned.config.finetuning, updates=0)
    finetuned.config = dataclasses.replace(finetuned.config, finetuning=none)
    np.testing.assert_array_equal(finetuned.generate(prompts, 3, Context(0)).params, start)


def test_not_fitted() -> None:
    for kind, name in ((MultiTaskIL, "multi_task_il"), (MultiTaskILFinetuned, "multi_task_il_finetuned")):
        with pytest.raises(MethodError, match=f"{name} is not fitted: call fit or load first"):
            kind().generate(prompts_of(teacher(0), 1), 1, Context(0))


def test_a_prompt_comes_with_steps_and_prompts_of_its_own_task() -> None:
    """Tasks of 3, 5 and 2 steps, whose prompts are rows (0, 4), (2, 3) and (1)."""
    task = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 2, 2])
    number = torch.arange(10.0)[:, None]
    prompts = (torch.tensor([0, 4]), torch.tensor([2, 3]), torch.tensor([1]))
    prompted = PromptedSteps(Steps(number, 10 * number, task, ((0, 3), (3, 8), (8, 10)), prompts), 5)
    chance = torch.Generator().manual_seed(0)
    observations, actions = prompted.draw(torch.tensor([3, 1, 4]), 200, chance)
    assert [set(row.flatten().int().tolist()) for row in observations] == [{3, 4, 5, 6, 7}, {8, 9}, {0, 1, 2}]
    assert torch.equal(actions, 10 * observations)
    peers = prompted.peers(torch.tensor([4, 1, 2]), 50, chance)
    assert [set(row.tolist()) for row in peers] == [{0, 4}, {1}, {2, 3}]
