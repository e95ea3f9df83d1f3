"""The batched networks and the SAC update, against torch's modules, autograd, distributions and optimiser."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from maa_bench.dataset.producers.networks import Adam, MLPs, Stacked
from maa_bench.dataset.producers.sac_learner import Learner, Sizes, log_probability
from maa_bench.policy import PolicySpec, heads, initial_params

SPEC = PolicySpec(5, (16, 12), 2, ("elu", "relu"))
ACTIVATIONS: dict[str, Any] = {"elu": nn.ELU, "relu": nn.ReLU, "tanh": nn.Tanh}
BATCH = 24


@pytest.fixture
def float64() -> Iterator[None]:
    """Tight comparisons: Adam turns a gradient's last bits near zero into whole steps."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def module_of(nets: MLPs, member: int) -> nn.Sequential:
    """One member as anybody would write it."""
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(nets.sizes)):
        linear = nn.Linear(inputs, outputs)
        linear.weight.data.copy_(nets.weights[i][member])
        linear.bias.data.copy_(nets.biases[i][member])
        layers.append(linear)
        if i < len(nets.activations):
            layers += [nn.LayerNorm(outputs, elementwise_affine=False)] * nets.layer_norm
            layers.append(ACTIVATIONS[nets.activations[i]]())
    return nn.Sequential(*layers)


def flat_of(module: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


def member_of(nets: MLPs, member: int) -> torch.Tensor:
    return torch.cat([x[member].reshape(-1) for pair in zip(nets.weights, nets.biases, strict=True) for x in pair])


def learner(n: int, first: int = 0, device: str = "cpu", **changes: Any) -> Learner:
    settings = {
        "critic_hidden": (16, 16), "critic_layer_norm": True, "gamma": 0.9, "tau": 0.05, "learning_rate": 1e-2,
        "initial_alpha": 0.3, "target_every": 2,
    }  # fmt: skip
    actors = np.stack([initial_params(SPEC, np.random.default_rng(first + i)) for i in range(n)])
    generators = [torch.Generator().manual_seed(first + i) for i in range(n)]
    return Learner(SPEC, actors, generators, Sizes(**{**settings, **changes}), device)


def batches(n: int, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    g = torch.Generator().manual_seed(7)
    width = 2 * SPEC.obs_dim + SPEC.action_dim + 1
    shapes = (n, BATCH, width), (n, 2 * BATCH, SPEC.action_dim)
    drawn = [tuple(torch.randn(shape, generator=g) for shape in shapes) for _ in range(count)]
    return [(rows, noise) for rows, noise in drawn]


class PlainSAC:
    """One run, as in the papers: modules, autograd, torch.optim, torch.distributions."""

    def __init__(self, stacked: Learner, run: int, sizes: dict[str, float]) -> None:
        self.sizes = sizes
        self.actor = module_of(stacked.actor, run)
        self.critics = nn.ModuleList([module_of(stacked.critic, run), module_of(stacked.critic, run + stacked.n)])
        self.targets = copy.deepcopy(self.critics)
        self.log_alpha = stacked.log_alpha[run].clone().requires_grad_(True)
        self.optimizers = [
            torch.optim.Adam(p, lr=sizes["learning_rate"])
            for p in (self.critics.parameters(), self.actor.parameters(), [self.log_alpha])
        ]
        self.updates = 0

    def sample(self, obs: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = self.actor(obs).chunk(2, -1)
        std = log_std.clamp(-20, 2).exp()
        distribution = TransformedDistribution(Normal(mean, std), [TanhTransform(cache_size=1)])
        action = (mean + std * noise).tanh()
        # The cache would only know what the distribution itself has drawn.
        distribution.transforms[0]._cached_x_y = mean + std * noise, action  # type: ignore[attr-defined]
        return action, distribution.log_prob(action).sum(-1)

    def update(self, rows: torch.Tensor, noise: torch.Tensor) -> None:
        o, a, b = SPEC.obs_dim, SPEC.action_dim, len(rows)
        obs, action, following, reward = rows.split([o, a, o, 1], -1)
        alpha = self.log_alpha.detach().exp()
        with torch.no_grad():
            next_action, log_prob = self.sample(following, noise[:b])
            x = torch.cat([following, next_action], -1)
            value = torch.min(*(critic(x).squeeze(-1) for critic in self.targets)) - alpha * log_prob
            wanted = reward.squeeze(-1) + self.sizes["gamma"] * value
        x = torch.cat([obs, action], -1)
        self.step(0, sum(nn.functional.mse_loss(critic(x).squeeze(-1), wanted) for critic in self.critics))
        fresh, log_prob = self.sample(obs, noise[b:])
        x = torch.cat([obs, fresh], -1)
        value = torch.min(*(critic(x).squeeze(-1) for critic in self.critics))
        self.step(1, (alpha * log_prob - value).mean())
        self.step(2, -(self.log_alpha.exp() * (log_prob.detach() - a)).mean())
        self.updates += 1
        if self.updates % self.sizes["target_every"] == 0:
            for target, critic in zip(self.targets.parameters(), self.critics.parameters(), strict=True):
                target.data = (1 - self.sizes["tau"]) * target.data + self.sizes["tau"] * critic.data

    def step(self, which: int, loss: Any) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        self.optimizers[which].step()


@pytest.mark.parametrize("layer_norm", [False, True])
def test_updates_are_those_of_plain_torch(float64: None, layer_norm: bool) -> None:
    stacked = learner(2, critic_layer_norm=layer_norm)
    stacked.actor.biases[-1][1, 2:] = torch.tensor([2.5, -21.0])  # the second run's log_std is clamped at both ends
    plain = [PlainSAC(stacked, run, vars(stacked._sizes)) for run in range(2)]
    for rows, noise in batches(2, 8):
        stacked.update(rows, noise)
        for run in range(2):
            plain[run].update(rows[run], noise[run])
    for run in range(2):
        pairs = [
            (member_of(stacked.actor, run), flat_of(plain[run].actor)),
            (stacked.log_alpha[run], plain[run].log_alpha.detach()),
        ]
        for twin in range(2):
            pairs.append((member_of(stacked.critic, run + 2 * twin), flat_of(plain[run].critics[twin])))
            pairs.append((member_of(stacked.target, run + 2 * twin), flat_of(plain[run].targets[twin])))
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-8)


def test_runs_updated_together_are_runs_updated_alone(float64: None) -> None:
    together, alone = learner(3), [learner(1, first=run) for run in range(3)]
    for rows, noise in batches(3, 10):
        together.update(rows, noise)
        for run in range(3):
            alone[run].update(rows[run : run + 1], noise[run : run + 1])
    for run in range(3):
        torch.testing.assert_close(member_of(together.actor, run), member_of(alone[run].actor, 0))
        for twin in range(2):
            torch.testing.assert_close(member_of(together.target, run + 3 * twin), member_of(alone[run].target, twin))


def test_a_run_that_diverges_leaves_the_others_alone() -> None:
    ill, well = learner(2), learner(2)
    for rows, noise in batches(2, 3):
        well.update(rows, noise)
        rows = rows.clone()
        rows[0] = torch.nan
        ill.update(rows, noise)
    assert ill.finite().tolist() == [False, True]
    assert torch.equal(member_of(ill.actor, 1), member_of(well.actor, 1))


def test_runs_that_are_kept_go_on_as_before(float64: None) -> None:
    kept, alone = learner(3), learner(1, first=2)
    for i, (rows, noise) in enumerate(batches(3, 6)):
        alone.update(rows[2:], noise[2:])
        if i == 3:
            kept.keep([2])
        kept.update(*(x[2:] if i >= 3 else x for x in (rows, noise)))
    torch.testing.assert_close(kept.actor.flat, alone.actor.flat)
    torch.testing.assert_close(kept.target.flat, alone.target.flat)
    torch.testing.assert_close(kept.log_alpha, alone.log_alpha)


def test_a_restored_learner_goes_on_with_the_same_bytes() -> None:
    first, second = learner(2), learner(2, first=5)
    for i, (rows, noise) in enumerate(batches(2, 6)):
        if i == 3:
            second.restore({name: value.clone() for name, value in first.state().items()})
        if i >= 3:
            second.update(rows, noise)
        first.update(rows, noise)
    for name, value in first.state().items():
        assert torch.equal(value, second.state()[name]), name


@pytest.mark.parametrize("activation", ["elu", "relu", "tanh"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_backward_is_autograds(float64: None, activation: str, layer_norm: bool) -> None:
    nets = MLPs(3, (5, 8, 7, 2), (activation, activation), layer_norm)
    g = torch.Generator().manual_seed(0)
    nets.flat.copy_(torch.randn(nets.flat.shape, generator=g))
    x, by_output = torch.randn(3, 6, 5, generator=g), torch.randn(3, 6, 2, generator=g)
    out = nets.forward(x)
    some = nets.backward(by_output[:, 2:].clone(), rows=slice(2, None), inputs_from=3)
    gradients = nets.stacked.views(nets.grad)
    for member in range(3):
        module = module_of(nets, member)
        inputs = x[member].clone().requires_grad_(True)
        theirs = module(inputs)
        torch.testing.assert_close(out[member], theirs)
        (theirs * by_output[member])[2:].sum().backward()
        assert some is not None
        assert inputs.grad is not None
        torch.testing.assert_close(some[member], inputs.grad[2:, 3:])
        for ours, parameter in zip(gradients, module.parameters(), strict=True):
            torch.testing.assert_close(ours[member], parameter.grad)


def test_adam_is_torchs(float64: None) -> None:
    g = torch.Generator().manual_seed(0)
    ours, adam = torch.randn(12, generator=g), Adam(Stacked(2, [(3,), (3,)]), 0.01)
    theirs = ours.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([theirs], lr=0.01)
    for scale in (1.0, 1e-9, 1e3, 1.0, 0.0):
        grad = scale * torch.randn(12, generator=g)
        adam.step(ours, grad)
        theirs.grad = grad
        optimizer.step()
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-14)


def test_log_probability_is_torchs_and_stays_finite(float64: None) -> None:
    g = torch.Generator().manual_seed(0)
    mean, log_std, noise = (torch.randn(50, 4, generator=g) for _ in range(3))
    before = mean + log_std.exp() * noise
    distribution = TransformedDistribution(Normal(mean, log_std.exp()), [TanhTransform()])
    gentle = before.abs() < 3  # beyond, going back through tanh costs torch its digits
    expected = distribution.log_prob(before.tanh())
    ours = torch.stack([log_probability(*(x[:, i : i + 1] for x in (before, log_std, noise))) for i in range(4)], 1)
    torch.testing.assert_close(ours[gentle], expected[gentle])
    far = torch.tensor([[300.0]])
    assert log_probability(far, torch.zeros(1, 1), torch.zeros(1, 1)).isfinite().all()


def test_policies_go_in_and_come_out_as_the_spec_lays_them_out() -> None:
    stacked = learner(3)
    actors = np.stack([initial_params(SPEC, np.random.default_rng(i)) for i in range(3)])
    assert stacked.params().tobytes() == actors.tobytes()
    for rows, noise in batches(3, 2):
        stacked.update(rows, noise)
    obs = np.random.default_rng(0).standard_normal((3, SPEC.obs_dim)).astype(np.float32)
    mean, log_std = heads(SPEC, stacked.params(), obs)
    noise = torch.randn(3, SPEC.action_dim, generator=torch.Generator().manual_seed(0))
    expected = np.tanh(mean + np.exp(log_std) * noise.numpy())
    np.testing.assert_allclose(stacked.act(obs, noise), expected, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_updates_on_a_graphics_card_are_those_on_the_processor() -> None:
    here, there = learner(3), learner(3, device="cuda")
    for rows, noise in batches(3, 5):
        here.update(rows, noise)
        there.update(rows.cuda(), noise.cuda())
    np.testing.assert_allclose(there.params(), here.params(), atol=1e-3)
