"""Meta-RL: the posterior against closed forms and integration, the metric loss, and what it learns on the toy suite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from offline_rl import rewarded, success_rate

from maa_bench.baselines.meta_rl import MetaRL
from maa_bench.baselines.meta_rl.contexts import Contexts, context_width, prompt_contexts
from maa_bench.baselines.meta_rl.encoder import (
    ContextEncoder,
    kl_from_standard_normal,
    metric_loss,
    product_of_gaussians,
    sampled,
)
from maa_bench.baselines.shared.training import first_weights
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import MethodError
from maa_bench.method import Context

pytestmark = pytest.mark.baseline


def test_the_product_of_gaussians_is_what_integration_gives() -> None:
    chance = torch.Generator().manual_seed(0)
    mean = torch.randn(4, 3, dtype=torch.float64, generator=chance)
    variance = 0.2 + torch.rand(4, 3, dtype=torch.float64, generator=chance)
    made_mean, made_variance = product_of_gaussians(mean, variance)
    x = torch.linspace(-15, 15, 60_001, dtype=torch.float64)
    for k in range(3):
        log_density = torch.distributions.Normal(mean[:, k, None], variance[:, k, None].sqrt()).log_prob(x).sum(0)
        density = (log_density - log_density.max()).exp()
        density = density / density.sum()
        first = (density * x).sum()
        torch.testing.assert_close(made_mean[k], first)
        torch.testing.assert_close(made_variance[k], (density * (x - first) ** 2).sum())


def test_kl_is_torchs() -> None:
    mean, variance = torch.tensor([[0.3, -2.0]]), torch.tensor([[0.5, 3.0]])
    normal = torch.distributions.Normal
    reference = torch.distributions.kl_divergence(normal(mean, variance.sqrt()), normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(kl_from_standard_normal(mean, variance), reference)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_metric_loss_pair_by_pair(power: float) -> None:
    z = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    flat, total, pairs = z.detach().reshape(6, 4), 0.0, 0
    for i in range(6):
        for j in range(6):
            if i == j:
                continue
            distance = float((flat[i] - flat[j]).norm())
            total += distance**2 if i // 2 == j // 2 else 1.5 / (distance**power + 0.1)
            pairs += 1
    loss = metric_loss(z, 1.5, power)
    assert loss.item() == pytest.approx(total / pairs, rel=1e-5)
    loss.backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_a_posterior_knows_no_order_and_grows_sure() -> None:
    with first_weights(0):
        encoder = ContextEncoder(5, (8,), 3)
    context = torch.randn(2, 10, 5, generator=torch.Generator().manual_seed(1))
    mean, variance = encoder(context)
    for ours, theirs in zip(encoder(context.flip(1)), (mean, variance), strict=True):
        torch.testing.assert_close(ours, theirs)
    twice_mean, twice_variance = encoder(torch.cat([context, context], 1))
    torch.testing.assert_close(twice_mean, mean)
    torch.testing.assert_close(twice_variance, variance / 2)
    draws = sampled((mean.expand(4000, -1, -1), variance.expand(4000, -1, -1)), torch.Generator().manual_seed(2))
    torch.testing.assert_close(draws.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(draws.var(0), variance, atol=0, rtol=0.1)


def test_contexts_begin_episodes_of_little_noise(tiny_dataset: CheckpointDataset) -> None:
    data = tiny_dataset.training_set("seen")
    drawn = Contexts(data, 0.25, "cpu").draw(5, 30, torch.Generator().manual_seed(0)).numpy()
    spec = data.spec
    assert drawn.shape == (len(data.train_tasks), 5, 30, context_width(spec.obs_dim, spec.action_dim))
    for task, contexts in zip(data.train_tasks, drawn, strict=True):
        steps = data.transitions[task]
        allowed = [
            {row.tobytes() for row in steps.observations[a : min(b, a + 59)]}
            for a, b in steps.bounds()
            if steps.noise_std[a] <= 0.25
        ]
        assert len(allowed) < len(steps.bounds())
        for context in contexts:
            seen = {row[: spec.obs_dim].tobytes() for row in context}
            assert any(seen <= episode for episode in allowed)


def test_prompts_are_read_as_transitions(tiny_dataset: CheckpointDataset) -> None:
    prompts = rewarded(tiny_dataset, "goal-030", 3)
    context = prompt_contexts(prompts.behaviors, prompts.rewards)
    assert context.shape == (3, 59, 4 + 2 + 1 + 4)
    np.testing.assert_array_equal(context[1, 7, :4], prompts.behaviors.observations[1, 7])
    np.testing.assert_array_equal(context[1, 7, 4:6], prompts.behaviors.actions[1, 7])
    assert context[1, 7, 6] == prompts.rewards[1, 7]
    np.testing.assert_array_equal(context[1, 7, 7:], prompts.behaviors.observations[1, 8])


@pytest.fixture(scope="module")
def fitted(tiny_dataset: CheckpointDataset) -> MetaRL:
    method = MetaRL(scale="tiny")
    method.fit(tiny_dataset.training_set("seen"), Context(0))
    return method


def test_it_learns_the_seen_tasks(fitted: MetaRL, tiny_dataset: CheckpointDataset) -> None:
    rates = []
    for task in tiny_dataset.suite.split("seen").test:
        policies = fitted.generate(rewarded(tiny_dataset, task, 4), 4, Context(0))
        rates.append(success_rate(tiny_dataset, task, policies))
    assert np.mean(rates) > 0.5, rates


def test_a_candidate_does_not_depend_on_how_many_there_are(
    fitted: MetaRL, tiny_dataset: CheckpointDataset, tmp_path: Path
) -> None:
    prompts, context = rewarded(tiny_dataset, "goal-030", 4), Context(3)
    many = fitted.generate(prompts, 18, context).params
    assert len(np.unique(many, axis=0)) == 18
    assert fitted.generate(prompts, 1, context).params.tobytes() == many[:1].tobytes()
    fitted.save(tmp_path)
    loaded = MetaRL(scale="small")
    loaded.load(tmp_path, tiny_dataset.training_set("seen"))
    assert loaded.n_parameters == fitted.n_parameters
    assert loaded.generate(prompts, 18, context).params.tobytes() == many.tobytes()


def test_it_needs_rewards(fitted: MetaRL, tiny_dataset: CheckpointDataset) -> None:
    with pytest.raises(MethodError, match="needs the reward of each of the 60 steps"):
        fitted.generate(tiny_dataset.prompts("goal-030", 4, 0), 1, Context(0))
    with pytest.raises(MethodError, match="meta_rl is not fitted"):
        MetaRL(scale="tiny").generate(rewarded(tiny_dataset, "goal-030", 4), 1, Context(0))
