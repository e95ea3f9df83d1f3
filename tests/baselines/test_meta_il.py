"""Meta-imitation, on tasks whose policies are known."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from imitation_samples import SPEC, clone_error, family, prompts_of, teacher

from maa_bench.baselines.meta_il import BATCH, MetaIL
from maa_bench.baselines.meta_il.config import Config
from maa_bench.errors import MethodError
from maa_bench.method import Context

pytestmark = pytest.mark.baseline


@cache
def fitted(**changes: object) -> MetaIL:
    config = dataclasses.replace(MetaIL(scale="tiny").config, **changes)  # type: ignore[arg-type]
    method = MetaIL(config=config)
    method.fit(family(3, 12), Context(0))
    return method


def test_inner_steps_find_the_policy_of_seen_and_of_new_tasks() -> None:
    for task in (0, 2, 40):
        made = fitted().generate(prompts_of(teacher(task), 4, seed=50), 4, Context(0)).params
        before = fitted()._fitted().flat.detach()[None].numpy()
        assert (clone_error(made, teacher(task)) < 0.5 * clone_error(before, teacher(task))).all()
        others = [clone_error(made, teacher(other)).mean() for other in (0, 1, 2) if other != task]
        assert clone_error(made, teacher(task)).mean() < 0.4 * min(others)


def test_meta_training_makes_inner_steps_go_farther() -> None:
    untrained = fitted(training=dataclasses.replace(fitted().config.training, steps=0))
    new = prompts_of(teacher(40), 4)
    errors = [clone_error(m.generate(new, 4, Context(0)).params, teacher(40)).mean() for m in (untrained, fitted())]
    assert errors[1] < 0.5 * errors[0]


def test_all_takes_the_prompts_in_turn_beginning_with_its_own() -> None:
    """Against the network applied to prompts 1, 2, 0, 1 by hand."""
    prompts = prompts_of(teacher(1), 3)
    method = fitted(adapt_on="all", test_steps=4)
    order = torch.tensor([1, 2, 0, 1])
    observations, actions = (
        torch.tensor(part)[order][:, None] for part in (prompts.behaviors.observations, prompts.behaviors.actions)
    )
    with torch.no_grad():
        expected = method._fitted()(observations, actions)[0].numpy()
    np.testing.assert_allclose(method.generate(prompts, 2, Context(0)).params[1], expected, atol=1e-6)


def test_own_sees_no_other_prompt() -> None:
    method, prompts = fitted(adapt_on="own"), prompts_of(teacher(1), 3)
    alone = dataclasses.replace(prompts, behaviors=prompts.behaviors.take(slice(0, 1)), sources=prompts.sources[:1])
    made = method.generate(prompts, 1, Context(0)).params
    np.testing.assert_array_equal(made, method.generate(alone, 1, Context(0)).params)


@pytest.mark.parametrize("adapt_on", ["own", "all"])
def test_candidates_differ_and_do_not_depend_on_n(adapt_on: str) -> None:
    method, prompts = fitted(adapt_on=adapt_on), prompts_of(teacher(0), 2)
    many = method.generate(prompts, BATCH + 3, Context(0)).params
    assert many.shape == (BATCH + 3, SPEC.n_params)
    assert len(np.unique(many, axis=0)) == BATCH + 3
    np.testing.assert_array_equal(method.generate(prompts, 3, Context(0)).params, many[:3])


def test_errors() -> None:
    with pytest.raises(MethodError, match="meta_il is not fitted: call fit or load first"):
        MetaIL().generate(prompts_of(teacher(0), 1), 1, Context(0))
    config: Config = fitted().config
    with pytest.raises(MethodError, match="adapt_on 'both' must be 'own' or 'all'"):
        dataclasses.replace(config, adapt_on="both")
    with pytest.raises(MethodError, match=r"first_step_size 0\.0 must be above 0"):
        dataclasses.replace(config, first_step_size=0.0)
    wild = fitted(first_step_size=1e30, training=dataclasses.replace(config.training, steps=0))
    with pytest.raises(MethodError, match="meta_il diverged on the prompts"):
        wild.generate(prompts_of(teacher(0), 1), 1, Context(0))


def test_a_saved_fit_adapts_alike(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    again = MetaIL()
    again.load(tmp_path, family(3, 12))
    prompts = prompts_of(teacher(2), 2)
    expected = fitted().generate(prompts, 3, Context(0)).params
    np.testing.assert_array_equal(again.generate(prompts, 3, Context(0)).params, expected)
    assert again.n_parameters == SPEC.n_params + len(SPEC.tensors)
