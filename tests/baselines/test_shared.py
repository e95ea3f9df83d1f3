"""Shared pieces of the baselines, against closed forms and the evaluator's own forward pass."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from maa_bench.baselines.shared.conditioned import ConditionedPolicy
from maa_bench.baselines.shared.config import FinetuneConfig
from maa_bench.baselines.shared.finetuning import finetuned
from maa_bench.baselines.shared.scaling import LIMIT, Standardizer
from maa_bench.baselines.shared.training import first_weights
from maa_bench.differentiable import batched_actions
from maa_bench.errors import MethodError
from maa_bench.method import Context
from maa_bench.policy import PolicySpec, act, initial_params

pytestmark = pytest.mark.baseline

SPEC = PolicySpec(5, (8, 7), 2, ("elu", "relu"))


def flat_policies(n: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([initial_params(SPEC, np.random.default_rng(i)) for i in range(n)]))


def test_policies_in_torch_act_as_the_evaluator_does() -> None:
    flat, obs = flat_policies(3), np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    made = batched_actions(SPEC, flat, torch.from_numpy(obs)).numpy()
    for step in range(4):
        np.testing.assert_allclose(made[:, step], act(SPEC, flat.numpy(), obs[:, step]), atol=1e-6)


def test_a_conditioned_policy_folds_into_plain_ones_that_act_alike() -> None:
    with first_weights(0):
        policy = ConditionedPolicy(SPEC, 3)
    chance = torch.Generator().manual_seed(1)
    policy.scaler.fit(4 * torch.randn(50, 5, generator=chance) + 2)
    obs, z = 3 * torch.randn(6, 4, 5, generator=chance), torch.randn(6, 3, generator=chance)
    with torch.no_grad():
        expected = policy(obs, z).numpy()
    flat = policy.folded(z).numpy()
    assert len(np.unique(flat, axis=0)) == 6
    for step in range(4):
        np.testing.assert_allclose(act(SPEC, flat, obs[:, step].numpy()), expected[:, step], atol=1e-5)


def test_finetuning_reaches_the_policy_that_made_the_steps() -> None:
    teacher, starts = flat_policies(8)[7:], flat_policies(3)
    obs = torch.randn(200, 5, generator=torch.Generator().manual_seed(2))
    actions = batched_actions(SPEC, teacher, obs[None])[0]
    settings = FinetuneConfig(updates=1500, batch=64, lr=1e-2)
    made = finetuned(SPEC, starts, obs, actions, settings, Context(0), torch.Generator().manual_seed(3))
    errors = (batched_actions(SPEC, made, obs.expand(3, -1, -1)) - actions).square().mean(dim=(1, 2))
    before = (batched_actions(SPEC, starts, obs.expand(3, -1, -1)) - actions).square().mean(dim=(1, 2))
    assert (errors < 0.02 * before).all(), (errors, before)
    again = finetuned(SPEC, starts, obs, actions, settings, Context(0), torch.Generator().manual_seed(3))
    assert torch.equal(made, again)
    kept = finetuned(
        SPEC, starts, obs, actions, dataclasses.replace(settings, updates=0), Context(0), torch.Generator()
    )
    assert torch.equal(kept, starts)


def test_standardising() -> None:
    data = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 7.0, 0.0]) + 3
    scaler = Standardizer(3).fit(data)
    scaled = scaler(data)
    np.testing.assert_allclose(scaled.mean(dim=0), 0, atol=0.02)
    np.testing.assert_allclose(scaled.std(dim=0), [1, 1, 0], atol=0.02)
    assert scaler(torch.tensor([[1e9, -1e9, 3.5]])).tolist() == [[LIMIT, -LIMIT, 0.5]]


def test_first_weights_come_from_the_seed_alone() -> None:
    before = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        with first_weights(seed):
            drawn.append(torch.nn.Linear(3, 3).weight.detach().clone())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(before, torch.get_rng_state())


def test_diverged_finetuning_is_said() -> None:
    obs, actions = torch.full((4, 5), float("inf")), torch.zeros(4, 2)
    settings = FinetuneConfig(updates=1, batch=4, lr=1e-2)
    with pytest.raises(MethodError, match="diverged"):
        finetuned(SPEC, flat_policies(2), obs, actions, settings, Context(0), torch.Generator())
