"""SAC updates: n runs as batched networks, the same code run by run, and run by run as it is usually written.

python tests/benchmarks/sac_updates.py [--runs 1,2,4,8,16] [--seconds 3] [--batch-size 128] [--hidden 128]

`batched` is one call of the producer's update for all runs, `one by one` the same code called run after run,
`plain torch` is `torch.nn.Module`, autograd and `torch.optim.Adam`, a run after the other. All do the same arithmetic
(critics, actor, temperature, targets every 2 updates; sampling included) on one thread. The ways take turns, and the
median of the rounds counts. A rate counts the updates of all runs together.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from maa_bench.dataset.producers.sac_learner import Learner, Sizes
from maa_bench.dataset.producers.sac_replay import Replay
from maa_bench.policy import PolicySpec, initial_params

OBS, ACTION = 39, 4
FILLED = 50_000
"""Transitions a run."""
GAMMA, TAU, RATE = 0.99, 0.005, 3e-4


class Ours:
    """n runs with the producer's code."""

    def __init__(self, n: int, batch: int, hidden: int, device: str) -> None:
        spec = PolicySpec(OBS, (hidden, hidden), ACTION, ("elu", "relu"))
        actors = np.stack([initial_params(spec, np.random.default_rng(i)) for i in range(n)])
        self.generators = [torch.Generator().manual_seed(i) for i in range(n)]
        sizes = Sizes((hidden, hidden), False, GAMMA, TAU, RATE, 0.2, 2)
        self.learner = Learner(spec, actors, self.generators, sizes, device)
        width = 2 * OBS + ACTION + 1
        self.replay = Replay(n, FILLED, width, device=device)
        rows = torch.randn(n, FILLED, width, generator=self.generators[0])
        self.replay.refill(torch.arange(n), rows, FILLED)
        self.runs, self.n, self.batch, self.device = torch.arange(n), n, batch, device

    def update(self) -> None:
        b = self.batch
        uniform = torch.stack([torch.rand(b, dtype=torch.float64, generator=g) for g in self.generators])
        noise = torch.stack([torch.randn(2 * b, ACTION, generator=g) for g in self.generators])
        self.learner.update(self.replay.sample(self.runs, uniform), noise.to(self.device))


class Plain:
    """One run, as it is usually written."""

    def __init__(self, batch: int, hidden: int, device: str) -> None:
        def network(*sizes: int) -> nn.Sequential:
            layers = [layer for i, o in pairwise(sizes) for layer in (nn.Linear(i, o), nn.ReLU())]
            return nn.Sequential(*layers[:-1]).to(device)

        self.actor = network(OBS, hidden, hidden, 2 * ACTION)
        self.actor[1] = nn.ELU()
        self.critics = nn.ModuleList([network(OBS + ACTION, hidden, hidden, 1) for _ in range(2)])
        self.targets = deepcopy(self.critics)
        self.log_alpha = torch.full((), np.log(0.2), device=device, requires_grad=True)
        self.critic_adam = torch.optim.Adam(self.critics.parameters(), lr=RATE)
        self.actor_adam = torch.optim.Adam(self.actor.parameters(), lr=RATE)
        self.alpha_adam = torch.optim.Adam([self.log_alpha], lr=RATE)
        self.rows = torch.randn(FILLED, 2 * OBS + ACTION + 1, device=device)
        self.batch, self.device, self.updates = batch, device, 0

    def sample(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = self.actor(obs).chunk(2, -1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        before = normal.rsample()
        action = before.tanh()
        return action, (normal.log_prob(before) - torch.log(1 - action.pow(2) + 1e-6)).sum(-1)

    def update(self) -> None:
        rows = self.rows[torch.randint(FILLED, (self.batch,), device=self.device)]
        obs, action, following, reward = rows.split([OBS, ACTION, OBS, 1], -1)
        alpha = self.log_alpha.exp().detach()
        with torch.no_grad():
            next_action, log_prob = self.sample(following)
            x = torch.cat([following, next_action], -1)
            value = torch.min(self.targets[0](x), self.targets[1](x)).squeeze(-1)
            wanted = reward.squeeze(-1) + GAMMA * (value - alpha * log_prob)
        x = torch.cat([obs, action], -1)
        loss = sum(nn.functional.mse_loss(critic(x).squeeze(-1), wanted) for critic in self.critics)
        self.critic_adam.zero_grad()
        loss.backward()
        self.critic_adam.step()
        fresh, log_prob = self.sample(obs)
        x = torch.cat([obs, fresh], -1)
        value = torch.min(self.critics[0](x), self.critics[1](x)).squeeze(-1)
        self.actor_adam.zero_grad()
        (alpha * log_prob - value).mean().backward()
        self.actor_adam.step()
        self.alpha_adam.zero_grad()
        (-self.log_alpha.exp() * (log_prob.detach() - ACTION).mean()).backward()
        self.alpha_adam.step()
        self.updates += 1
        if self.updates % 2 == 0:
            with torch.no_grad():
                for target, critic in zip(self.targets.parameters(), self.critics.parameters(), strict=True):
                    target.lerp_(critic, TAU)


def rate(step: Callable[[], None], updates: int, seconds: float, device: str) -> float:
    """Updates a second, of a `step` that makes `updates` of them."""
    step()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        step()
        done += updates
        if device == "cuda":
            torch.cuda.synchronize()
    return done / (time.perf_counter() - started)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="1,2,4,8,16")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each way, number of runs and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    size = given.batch_size, given.hidden, given.device
    print(f"batch {size[0]}, hidden layers 2 x {size[1]}, {size[2]}, one thread, load {os.getloadavg()[0]:.1f}")
    print("updates of all runs a second:")
    print(f"{'runs':>4} {'batched':>9} {'one by one':>11} {'plain torch':>12} {'x one by one':>13} {'x plain':>8}")
    for n in (int(x) for x in given.runs.split(",")):
        together, alone, plain = Ours(n, *size), [Ours(1, *size) for _ in range(n)], [Plain(*size) for _ in range(n)]
        steps: list[Callable[[], None]] = [
            together.update,
            lambda runs=alone: [run.update() for run in runs],  # type: ignore[misc]
            lambda runs=plain: [run.update() for run in runs],  # type: ignore[misc]
        ]
        rounds = [[rate(step, n, given.seconds, given.device) for step in steps] for _ in range(given.rounds)]
        ours, same, usual = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{n:4d} {ours:9.0f} {same:11.0f} {usual:12.0f} {ours / same:13.2f} {ours / usual:8.2f}", flush=True)


if __name__ == "__main__":
    main()
