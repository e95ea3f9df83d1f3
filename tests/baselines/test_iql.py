"""Implicit Q-learning on many tasks: closed forms, and tabular value iteration."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from maa_bench.baselines.shared.conditioned import ConditionedPolicy
from maa_bench.baselines.shared.iql import IQLConfig, advantage_weights, expectile_loss, learn
from maa_bench.baselines.shared.rewarded import RewardedSteps, rewarded_steps
from maa_bench.baselines.shared.stacked import StackedMLP
from maa_bench.baselines.shared.training import first_weights
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import MethodError
from maa_bench.method import Context
from maa_bench.policy import PolicySpec

pytestmark = pytest.mark.baseline


@pytest.mark.parametrize("expectile", [0.5, 0.7, 0.9])
def test_the_loss_is_least_at_the_expectile(expectile: float) -> None:
    """Of 0 with probability 0.75 and 1 with 0.25 it is 0.25 e / (0.25 e + 0.75 (1 - e)), from the first-order
    condition e * 0.25 * (1 - v) = (1 - e) * 0.75 * v."""
    samples = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    closed = 0.25 * expectile / (0.25 * expectile + 0.75 * (1 - expectile))
    grid = torch.linspace(0, 1, 10_001, dtype=torch.float64)
    losses = expectile_loss(samples - grid[:, None], expectile).mean(dim=1)
    assert grid[losses.argmin()].item() == pytest.approx(closed, abs=1e-4)
    value = torch.tensor(closed, dtype=torch.float64, requires_grad=True)
    expectile_loss(samples - value, expectile).mean().backward()
    assert value.grad is not None
    assert abs(value.grad.item()) < 1e-12


def test_expectile_of_a_normal_sample_is_scipys() -> None:
    from scipy.stats import expectile as reference

    samples = np.random.default_rng(0).normal(size=200)
    grid = torch.linspace(-1, 2, 30_001, dtype=torch.float64)
    losses = expectile_loss(torch.from_numpy(samples) - grid[:, None], 0.8).mean(dim=1)
    assert grid[losses.argmin()].item() == pytest.approx(float(reference(samples, 0.8)), abs=1e-4)


def test_advantage_weights() -> None:
    advantage = torch.tensor([-1.0, 0.0, np.log(2.0), 10.0], requires_grad=True)
    weights = advantage_weights(advantage, 2.0, 100.0)
    np.testing.assert_allclose(weights, [np.exp(-2.0), 1.0, 4.0, 100.0], rtol=1e-6)
    assert not weights.requires_grad


def test_stacked_networks_are_networks_alone() -> None:
    with first_weights(0):
        stacked = StackedMLP(3, (4, 8, 2))
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1))
    made = stacked(x)
    for member in range(3):
        (w1, w2), (b1, b2) = ([p[member] for p in tensors] for tensors in (stacked.weights, stacked.biases))
        hidden = (x[member] @ w1 + b1).relu()
        torch.testing.assert_close(made[member], hidden @ w2 + b2)


def test_rewards_become_costs_and_a_success_ends(tiny_dataset: CheckpointDataset) -> None:
    data = tiny_dataset.training_set("seen")
    steps = rewarded_steps("a_method", data)
    spec = data.spec
    assert len(steps.bounds) == len(data.train_tasks)
    for task, (start, stop) in zip(data.train_tasks, steps.bounds, strict=True):
        own, theirs = steps.rows[start:stop], data.transitions[task]
        kept = []
        for a, b in theirs.bounds():
            for row in range(a, b):
                kept.append(row)
                if theirs.success[row]:
                    break
        assert len(kept) < len(theirs)  # steps after a success were there
        raw = theirs.rewards[kept]
        np.testing.assert_allclose(own[:, -2], (raw - raw.max()) / (raw.max() - raw.min()), atol=1e-6)
        assert own[:, -1].numpy().astype(bool).tolist() == theirs.success[kept].tolist()
        assert own[:, : spec.obs_dim].numpy().tobytes() == theirs.observations[kept].tobytes()
    batch = steps.draw(7, torch.Generator().manual_seed(0))
    assert batch.observations.shape == batch.following.shape == (len(steps.bounds), 7, spec.obs_dim)
    for task, (start, stop) in enumerate(steps.bounds):
        there = {row.tobytes() for row in steps.rows[start:stop, : spec.obs_dim].numpy()}
        assert all(row.tobytes() in there for row in batch.observations[task].numpy())


def test_a_task_without_transitions_is_named(tiny_dataset: CheckpointDataset) -> None:
    data = tiny_dataset.training_set("seen")
    some = {task: data.transitions[task] for task in data.train_tasks[1:]}
    with pytest.raises(MethodError, match=rf"a_method .* none of {data.train_tasks[0]}: take one that"):
        rewarded_steps("a_method", dataclasses.replace(data, transitions=some))


def corridor(tasks: int, length: int, reverse: tuple[bool, ...]) -> RewardedSteps:
    """A corridor of states 0..length, steps of -1 and 1 alike often; its end, at either side, is the goal. A step costs
    1, the one that arrives costs nothing and ends."""
    rows, bounds = [], []
    for task in range(tasks):
        goal = 0 if reverse[task] else length
        start = len(rows)
        for state in range(length + 1):
            for action in (-1.0, 1.0):
                if state == goal:
                    continue
                after = min(max(state + action, 0), length)
                ended = after == goal
                rows.append([state / length, action, after / length, 0.0 if ended else -1.0, float(ended)])
        bounds.append((start, len(rows)))
    return RewardedSteps(torch.tensor(rows), tuple(bounds), 1, 1)


def test_values_and_policy_of_a_corridor_are_those_of_value_iteration() -> None:
    length, gamma = 5, 0.9
    steps = corridor(2, length, (False, True))
    with first_weights(0):
        policy = ConditionedPolicy(PolicySpec(1, (16, 16), 1, ("elu", "relu")), 2)
    policy.scaler.fit(steps.observations)
    settings = IQLConfig(700, 32, (32, 32), gamma, 0.05, 0.97, 5.0, 100.0, 5e-3)
    chance = torch.Generator().manual_seed(3)
    critics = learn(steps, policy, lambda: torch.eye(2), (), settings, Context(0), chance)
    states = torch.arange(1, length)[:, None] / length  # those that no goal is at, but for the ends
    with torch.no_grad():
        values = critics.v(critics.scaler(states.expand(2, -1, -1))).squeeze(-1).numpy()
        actions = policy(states.expand(2, -1, -1), torch.eye(2)).squeeze(-1).numpy()
    # d steps from the goal cost 1 + gamma + ... + gamma^(d - 2): the last step costs nothing.
    best = np.array([-(1 - gamma ** (d - 1)) / (1 - gamma) for d in range(length, 0, -1)])[1:]
    np.testing.assert_allclose(values[0], best, atol=0.25)
    np.testing.assert_allclose(values[1], best[::-1], atol=0.25)
    assert (actions[0] > 0.5).all(), actions
    assert (actions[1] < -0.5).all(), actions
