"""Behaviour cloning on the prompts alone."""

from __future__ import annotations

import numpy as np
import pytest
from imitation_samples import clone_error, family, prompts_of, teacher

from maa_bench.baselines.bc_on_prompts import BATCH, BCOnPrompts
from maa_bench.errors import MethodError
from maa_bench.method import Context

pytestmark = pytest.mark.baseline


def fitted(n_tasks: int = 2, scale: str = "tiny") -> BCOnPrompts:
    method = BCOnPrompts(scale=scale)  # type: ignore[arg-type]
    method.fit(family(n_tasks, 2), Context(0))
    return method


def test_candidates_act_as_the_policy_that_made_the_prompts() -> None:
    new = teacher(7)
    made = fitted(scale="small").generate(prompts_of(new, 4), 3, Context(0)).params
    assert (clone_error(made, new) < 0.02).all(), "other policies are .15 and more away"
    assert (clone_error(made, teacher(8)) > 0.15).all()


def test_candidates_begin_at_weights_of_their_own_and_do_not_depend_on_n() -> None:
    prompts = prompts_of(teacher(7), 1)
    many = fitted().generate(prompts, BATCH + 4, Context(0)).params
    assert len(np.unique(many, axis=0)) == BATCH + 4
    np.testing.assert_array_equal(fitted().generate(prompts, 1, Context(0)).params, many[:1])
    np.testing.assert_array_equal(fitted().generate(prompts, BATCH + 2, Context(0)).params, many[: BATCH + 2])


def test_seen_tasks_do_not_matter() -> None:
    prompts = prompts_of(teacher(7), 2)
    one, other = (fitted(n).generate(prompts, 2, Context(0)).params for n in (1, 3))
    np.testing.assert_array_equal(one, other)
    assert fitted().n_parameters == 0


def test_not_fitted() -> None:
    with pytest.raises(MethodError, match="bc_on_prompts is not fitted: call fit or load first"):
        BCOnPrompts().generate(prompts_of(teacher(0), 1), 1, Context(0))
