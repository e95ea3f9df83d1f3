"""The learning half of SAC, for n runs at once: twin critics, a tanh-Gaussian actor, a temperature each.

Soft Actor-Critic with an automatic temperature (Haarnoja et al. 2018, arXiv 1812.05905). Gradients are written down
instead of traced; `tests/unit/test_sac_learner.py` holds them against torch's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, pi

import torch
from torch import Tensor

from maa_bench.dataset.producers.networks import Adam, MLPs, Stacked, xavier_
from maa_bench.policy import LOG_STD_RANGE, Float32, PolicySpec


@dataclass(frozen=True)
class Sizes:
    """What `Learner` must know of the settings; see `maa_bench.dataset.producers.sac.SACConfig`."""

    critic_hidden: tuple[int, ...]
    critic_layer_norm: bool
    gamma: float
    tau: float
    learning_rate: float
    initial_alpha: float
    target_every: int


class Learner:
    """n runs that are updated together.

    A transition is one row: observation, action, next observation, reward. No transition ends its episode: Meta-World
    has a time limit only, and what comes after it is worth as much as before.

    Args:
        spec: the policy.
        actors: (n, n_params) float32, the initial policies.
        generators: one a run, which the critics' initial weights are drawn from.
        sizes: settings.
        device: `cpu` or `cuda`.
    """

    def __init__(
        self,
        spec: PolicySpec,
        actors: Float32,
        generators: Sequence[torch.Generator],
        sizes: Sizes,
        device: str = "cpu",
    ) -> None:
        n = len(generators)
        self._spec, self._sizes, self._device = spec, sizes, device
        self.updates = 0
        self.actor = MLPs(n, (spec.obs_dim, *spec.hidden, 2 * spec.action_dim), spec.activations, False, device)
        self._set_actors(actors)
        shape = (spec.obs_dim + spec.action_dim, *sizes.critic_hidden, 1)
        activations = ("relu",) * len(sizes.critic_hidden)
        # All first critics, then all second ones.
        self.critic, self.target = (MLPs(2 * n, shape, activations, sizes.critic_layer_norm, device) for _ in range(2))
        for weight in self.critic.weights:
            for member in range(2 * n):
                xavier_(weight[member], generators[member % n])
        self.target.flat.copy_(self.critic.flat)
        self.log_alpha = torch.full((n,), log(sizes.initial_alpha), device=device)
        stacks = (self.actor.stacked, self.critic.stacked, Stacked(n, [()]))
        self._actor_adam, self._critic_adam, self._alpha_adam = (
            Adam(stacked, sizes.learning_rate, device) for stacked in stacks
        )

    @property
    def n(self) -> int:
        """Runs."""
        return len(self.log_alpha)

    def act(self, obs: Float32, noise: Tensor) -> Float32:
        """Actions (n, action_dim) drawn by each run's policy for one observation (n, obs_dim) each."""
        x = torch.from_numpy(obs).to(self._device).unsqueeze(1)
        mean, log_std = self._heads(self.actor.forward(x, remember=False))
        action = (mean + log_std.exp() * noise.unsqueeze(1)).tanh().squeeze(1)
        return action.cpu().numpy()

    def update(self, rows: Tensor, noise: Tensor) -> None:
        """One gradient step of every run: critics, then actor and temperature, and at times the target critics.

        Args:
            rows: (n, b, 2 * obs_dim + action_dim + 1), a batch of transitions a run.
            noise: (n, 2 * b, action_dim), standard normal: of the actions in the next states, then in the states.
        """
        n, b, _ = rows.shape
        o, a = self._spec.obs_dim, self._spec.action_dim
        obs, following, reward = rows[..., :o], rows[..., o + a : -1], rows[..., -1]
        alpha = self.log_alpha.exp().unsqueeze(1)
        # Both states in one pass: the actor changes last, so it is the same for both.
        heads = self.actor.forward(torch.cat([following, obs], 1))
        mean, log_std = self._heads(heads)
        std = log_std.exp()
        spread = std * noise
        before = mean + spread
        action = before.tanh()
        log_prob = log_probability(before, log_std, noise)

        value = self.target.forward(self._twice(following, action[:, :b]), remember=False).view(2, n, b).amin(0)
        wanted = (value - alpha * log_prob[:, :b]).mul_(self._sizes.gamma).add_(reward)
        error = self.critic.forward(self._twice(obs, rows[..., o : o + a])).view(2, n, b) - wanted
        self.critic.backward(error.mul_(2 / b).view(2 * n, b, 1))
        self._critic_adam.step(self.critic.flat, self.critic.grad)

        action, log_prob = action[:, b:], log_prob[:, b:]
        value = self.critic.forward(self._twice(obs, action)).view(2, n, b)
        # The loss, alpha * log_prob - min(values), averaged: only the lower critic of each row has a gradient.
        first = (value[0] < value[1]).to(value.dtype)
        chosen = torch.stack([first, 1 - first]).view(2 * n, b, 1)
        slope = self.critic.backward(chosen, parameters=False, inputs_from=o)
        assert slope is not None
        by_action = slope.view(2, n, b, a).sum(0)
        # By what goes into tanh; the derivative of -log(1 - tanh^2) is 2 tanh.
        by_mean = (2 * alpha.unsqueeze(2) * action - by_action * (1 - action * action)).mul_(1 / b)
        by_log_std = by_mean * spread[:, b:] - alpha.unsqueeze(2) / b
        low, high = LOG_STD_RANGE
        raw = heads[:, b:, a:]
        by_log_std *= (raw >= low) & (raw <= high)
        self.actor.backward(torch.cat([by_mean, by_log_std], 2), rows=slice(b, None))
        self._actor_adam.step(self.actor.flat, self.actor.grad)
        # The temperature's loss, -alpha * (log_prob + target entropy), by log alpha; the target is -action_dim.
        surplus = a - log_prob.mean(1)
        self._alpha_adam.step(self.log_alpha, alpha.squeeze(1) * surplus)

        self.updates += 1
        if self.updates % self._sizes.target_every == 0:
            self.target.flat.lerp_(self.critic.flat, self._sizes.tau)

    def params(self) -> Float32:
        """The policies as the spec lays them out: (n, n_params) float32, a copy."""
        a = self._spec.action_dim
        *hidden, (weight, bias) = zip(self.actor.weights, self.actor.biases, strict=True)
        tensors = [tensor for pair in hidden for tensor in pair]
        tensors += [weight[:, :a], bias[:, :a], weight[:, a:], bias[:, a:]]
        return torch.cat([x.reshape(self.n, -1) for x in tensors], 1).cpu().numpy()

    def finite(self) -> Tensor:
        """Whether a run's numbers still are: (n,) bool. Its policy, critics and temperature."""
        sums = [x.reshape(-1, self.n, x[0].numel()).sum((0, 2)) for x in self.critic.weights + self.actor.weights]
        return torch.stack([*sums, self.log_alpha]).isfinite().all(0).cpu()

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these runs alone, in that order."""
        index = torch.tensor(members, device=self._device)
        twins = torch.cat([index, index + self.n])
        for part in (self.actor, self._actor_adam, self._alpha_adam):
            part.keep(index)
        for part in (self.critic, self.target, self._critic_adam):
            part.keep(twins)
        self.log_alpha = self.log_alpha[index]

    def state(self) -> dict[str, Tensor]:
        """All that `restore` needs, by name; no copies."""
        state = {"log_alpha": self.log_alpha, "updates": torch.tensor(self.updates)}
        state |= {f"{name}": net.flat for name, net in self._networks().items()}
        for name, adam in self._adams().items():
            state |= {f"{name}.mean": adam.mean, f"{name}.square": adam.square}
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` of a learner of as many runs gave."""
        for name, value in self.state().items():
            value.copy_(state[name])
        self.updates = int(state["updates"])
        for adam in self._adams().values():
            adam.steps = self.updates

    def _networks(self) -> dict[str, MLPs]:
        return {"actor": self.actor, "critic": self.critic, "target": self.target}

    def _adams(self) -> dict[str, Adam]:
        return {"adam.actor": self._actor_adam, "adam.critic": self._critic_adam, "adam.alpha": self._alpha_adam}

    def _set_actors(self, params: Float32) -> None:
        a = self._spec.action_dim
        named = {
            t.name: torch.from_numpy(params[:, t.start : t.stop].reshape(-1, *t.shape)) for t in self._spec.tensors
        }
        for kind, tensors in (("weight", self.actor.weights), ("bias", self.actor.biases)):
            for layer, tensor in enumerate(tensors[:-1], start=1):
                tensor.copy_(named[f"linear{layer}.{kind}"])
            tensors[-1][:, :a] = named[f"mean.{kind}"]
            tensors[-1][:, a:] = named[f"log_std.{kind}"]

    def _heads(self, heads: Tensor) -> tuple[Tensor, Tensor]:
        a = self._spec.action_dim
        return heads[..., :a], heads[..., a:].clamp(*LOG_STD_RANGE)

    @staticmethod
    def _twice(obs: Tensor, action: Tensor) -> Tensor:
        """The input of both critics of every run: (2 * n, b, obs_dim + action_dim)."""
        n, b, _ = obs.shape
        return torch.cat([obs, action], 2).expand(2, n, b, -1).reshape(2 * n, b, -1)


def log_probability(before: Tensor, log_std: Tensor, noise: Tensor) -> Tensor:
    """Log density of the action tanh(before), where before = mean + std * noise: (..., action_dim) -> (...).

    log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2 x)), which does not cancel where tanh is near 1.
    """
    normal = -0.5 * noise * noise - log_std - 0.5 * log(2 * pi)
    squashed = 2 * (log(2) - before - torch.nn.functional.softplus(-2 * before))
    return (normal - squashed).sum(-1)
