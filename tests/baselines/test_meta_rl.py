"""Meta-RL: the posterior against closed forms and integration, the metric loss, and what it learns on the toy suite."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from offline_rl import rewarded, success_rate

from maa_bench.baselines.meta_rl import MetaRL, MetaRLFinetuned
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
from maa_bench.differentiable import batched_mean, policy_tensors
from maa_bench.errors import MethodError
from maa_bench.method import Context
from maa_bench.prompts import RewardedPromptSet

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
    flat, close, apart = z.detach().reshape(6, 4), [], []
    for i in range(6):
        for j in range(6):
            if i == j:
                continue
            distance = float((flat[i] - flat[j]).norm())
            if i // 2 == j // 2:
                close.append(distance**2)
            else:
                apart.append(1.5 / (distance**power + 0.1))
    loss = metric_loss(z, 1.5, power)
    assert loss.item() == pytest.approx(np.mean(close) + np.mean(apart), rel=1e-5)
    loss.backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_pairs_of_one_kind_alone_have_a_metric_loss() -> None:
    z = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert metric_loss(z[None], 1.0, 2.0).item() == pytest.approx(25.0)
    assert metric_loss(z[:, None], 1.0, 2.0).item() == pytest.approx(1 / 25.1)


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
    goal = np.array(tiny_dataset.suite.task("goal-030").options["goal"])
    context = prompt_contexts(prompts.behaviors, prompts.rewards)
    assert context.shape == (3, 59, 4 + 2 + 1 + 4)
    np.testing.assert_array_equal(context[1, 7, :4], prompts.behaviors.observations[1, 7])
    np.testing.assert_array_equal(context[1, 7, 4:6], prompts.behaviors.actions[1, 7])
    # The toy's reward is minus the distance to the goal after the action, of which the next state tells the place.
    np.testing.assert_allclose(context[:, :, 6], -np.linalg.norm(context[:, :, 7:9] - goal, axis=-1), atol=1e-5)
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


def first_biases(policies: np.ndarray, data: CheckpointDataset) -> np.ndarray:
    """The one tensor in which two policies of the same fit differ: (n, width) float64."""
    return policy_tensors(data.suite.policy, torch.tensor(policies, dtype=torch.float64))["linear1.bias"].numpy()


def test_candidates_are_draws_of_one_posterior_after_all_prompts(
    fitted: MetaRL, tiny_dataset: CheckpointDataset
) -> None:
    prompts = rewarded(tiny_dataset, "goal-030", 4)
    agent = fitted._agent
    assert agent is not None
    # Independently of the product's code: precisions of all 4 * 59 factors add up.
    factors = torch.tensor(prompt_contexts(prompts.behaviors, prompts.rewards).reshape(-1, 1, 4 + 2 + 1 + 4))
    means, variances = (x.double() for x in agent.encoder(factors))
    precision = (1 / variances).sum(0)
    mean = (means / variances).sum(0) / precision
    told = agent.policy.told.weight.double()
    expected = first_biases(agent.policy.folded(mean[None].float()).numpy(), tiny_dataset)[0]
    drawn = first_biases(fitted.generate(prompts, 2000, Context(0)).params, tiny_dataset)
    spread = (told.square() @ (1 / precision)).sqrt().numpy()
    np.testing.assert_allclose((drawn.mean(0) - expected) / spread, 0, atol=0.1)
    np.testing.assert_allclose(drawn.std(0) / spread, 1, atol=0.08)


def test_more_prompts_make_it_surer(fitted: MetaRL, tiny_dataset: CheckpointDataset) -> None:
    one = rewarded(tiny_dataset, "goal-030", 1)
    rows = np.zeros(9, int)
    nine = dataclasses.replace(
        one, behaviors=one.behaviors.take(rows), sources=one.sources * 9, rewards=one.rewards[rows]
    )
    few, many = (first_biases(fitted.generate(p, 16, Context(0)).params, tiny_dataset) for p in (one, nine))
    # The same draws of a standard normal, of a posterior with the same mean and a ninth of the variance.
    np.testing.assert_allclose(many - many.mean(0), (few - few.mean(0)) / 3, atol=1e-5)


def errors(data: CheckpointDataset, prompts: RewardedPromptSet, params: np.ndarray) -> np.ndarray:
    """Mean squared error of each policy's actions on all prompts' steps: (n,)."""
    spec, shown = data.suite.policy, prompts.behaviors
    observations = torch.tensor(shown.observations.reshape(-1, spec.obs_dim)).expand(len(params), -1, -1)
    made = batched_mean(spec, policy_tensors(spec, torch.tensor(params)), observations).tanh().numpy()
    return ((made - shown.actions.reshape(-1, spec.action_dim)) ** 2).mean((1, 2))


def finetuning(fitted: MetaRL, **changes: int) -> MetaRLFinetuned:
    """The same fit, its answers finetuned."""
    finetune = dataclasses.replace(fitted.config.finetune, **changes)
    method = MetaRLFinetuned(config=dataclasses.replace(fitted.config, finetune=finetune))
    method._agent = fitted._agent
    return method


def test_finetuned_it_begins_where_the_other_ends(fitted: MetaRL, tiny_dataset: CheckpointDataset) -> None:
    prompts, context = rewarded(tiny_dataset, "goal-030", 4), Context(3)
    plain = fitted.generate(prompts, 18, context).params
    assert finetuning(fitted, updates=0).generate(prompts, 18, context).params.tobytes() == plain.tobytes()
    made = finetuning(fitted).generate(prompts, 18, context).params
    assert finetuning(fitted).generate(prompts, 1, context).params.tobytes() == made[:1].tobytes()
    assert len(np.unique(made, axis=0)) == 18
    before, after = (errors(tiny_dataset, prompts, params) for params in (plain, made))
    assert (after < before).all(), (before, after)


def test_finetuning_makes_more_of_unseen_tasks(fitted: MetaRL, tiny_dataset: CheckpointDataset) -> None:
    method, rates = finetuning(fitted), []
    for task in tiny_dataset.suite.split("unseen").test:
        policies = method.generate(rewarded(tiny_dataset, task, 4), 4, Context(0))
        rates.append(success_rate(tiny_dataset, task, policies))
    assert np.mean(rates) > 0.4, rates


def test_it_needs_rewards(fitted: MetaRL, tiny_dataset: CheckpointDataset) -> None:
    with pytest.raises(MethodError, match="needs the reward of each of the 60 steps"):
        fitted.generate(tiny_dataset.prompts("goal-030", 4, 0), 1, Context(0))
    with pytest.raises(MethodError, match="meta_rl is not fitted"):
        MetaRL(scale="tiny").generate(rewarded(tiny_dataset, "goal-030", 4), 1, Context(0))
