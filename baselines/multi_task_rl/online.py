"""Multi-task SAC in the simulator: what `multi_task_rl` is on a machine that can afford it.

MTSAC (Yu et al., Meta-World, CoRL 2019, arXiv 1910.10897): Soft Actor-Critic (Haarnoja et al. 2018, arXiv 1812.05905)
on all training tasks at once; critics are told the task, and each task has a temperature of its own. Here the actor is
told it by a prompt, as in `multi_task_rl`, so that it can answer the prompts of tasks that it was not trained on. It
acts on training tasks and their train layouts, and on nothing else. Not registered, so that `--method all` leaves it
out:

    maa-bench run --method maa_bench.baselines.multi_task_rl.online:OnlineMultiTaskRL
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from maa_bench.dataset.producers.sac_envs import Environments
from maa_bench.dataset.producers.sac_learner import log_probability
from maa_bench.dataset.producers.sac_replay import Replay
from maa_bench.errors import LeakError, MethodError
from maa_bench.method import Context, MethodCard, Scale, TrainingSet
from maa_bench.policy import LOG_STD_RANGE
from maa_bench.suite import Suite, load_suite

from ..shared.config import read_config
from ..shared.prompted_policy import PromptedPolicy
from ..shared.stacked import StackedMLP
from ..shared.training import PROGRESS_EVERY, first_weights
from . import MultiTaskRL
from .policy import FIRST_WEIGHTS, TRAINING, AnswerConfig, Prompts


@dataclass(frozen=True)
class SACConfig:
    """Attributes:
    env_steps: environment steps in each task.
    warmup_steps: of these, with uniformly random actions, before learning begins.
    update_every: environment steps of each task between updates.
    batch: transitions of each task an update.
    critic_hidden: hidden layers of the critics.
    gamma: discount.
    tau: share of the critics that their targets take over at every update.
    lr: Adam's learning rate, of all networks and temperatures.
    initial_alpha: temperature of each task to begin with; it then seeks an entropy of minus the number of actions.
    buffer: transitions of each task that are kept.
    env_workers: processes that step the environments; 0: none of their own. No number depends on it.

    Raises:
        MethodError: no warm-up.
    """

    env_steps: int
    warmup_steps: int
    update_every: int
    batch: int
    critic_hidden: tuple[int, ...]
    gamma: float
    tau: float
    lr: float
    initial_alpha: float
    buffer: int
    env_workers: int

    def __post_init__(self) -> None:
        if self.warmup_steps < 1:
            raise MethodError(
                "multi_task_rl_online: warmup_steps must be at least 1, there is nothing to learn from yet"
            )


@dataclass(frozen=True)
class OnlineConfig(AnswerConfig):
    """A scale of `online.toml`."""

    sac: SACConfig


class OnlineMultiTaskRL(MultiTaskRL):
    """Learns one policy for all training tasks by acting in them; prompts tell it the task, then finetune it.

    Args:
        scale: a section of `online.toml`.
        config: used in its place.
    """

    card = MethodCard(
        name="multi_task_rl_online",
        family="multi-task",
        summary="One prompt-conditioned policy by multi-task SAC, which, unlike other methods, takes simulator steps "
        "in the training tasks; finetuned on the prompts.",
        trained_on="seen",
        uses="prompts",
        citation="Yu et al., Meta-World, CoRL 2019, arXiv 1910.10897",
    )

    def __init__(self, *, scale: Scale = "small", config: OnlineConfig | None = None) -> None:
        self.config: OnlineConfig = config or read_config(OnlineConfig, scale, Path(__file__).with_name("online.toml"))
        self._model = None

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Train in the simulators of the training tasks.

        Raises:
            LeakError: a task that its suite's split does not train on.
            MethodError: a training that diverged.
        """
        self._model = fit_online(training_set, self.config, context)


def fit_online(training_set: TrainingSet, config: OnlineConfig, context: Context) -> PromptedPolicy:
    """Train encoder and policy by SAC. Raises as `OnlineMultiTaskRL.fit`."""
    suite, tasks, sac = training_suite(training_set), training_set.train_tasks, config.sac
    spec = training_set.spec
    with first_weights(int(context.rng(FIRST_WEIGHTS).integers(2**62))):
        model = PromptedPolicy(spec, config.prompt)
        learner = MTSAC(model, len(tasks), sac)
    learner.to(context.device)
    model.policy.scaler.fit(torch.tensor(training_set.behaviors.observations, device=context.device))
    prompts = Prompts(model, training_set, config.prompt.noise, context.device)
    replay = Replay(
        len(tasks), min(sac.buffer, sac.env_steps), 2 * spec.obs_dim + spec.action_dim + 1, device=context.device
    )
    chance, rng, every = context.torch_generator(TRAINING), context.rng(TRAINING), torch.arange(len(tasks))
    layouts = [len(suite.layouts(task, "train")) for task in tasks]
    optimizers = learner.optimizers()

    def begun(runs: range | np.ndarray) -> dict[int, int]:
        return {int(run): int(rng.integers(layouts[run])) for run in runs}

    with Environments(suite, tasks, sac.env_workers) as environments:
        for step in range(sac.env_steps):
            if step % suite.horizon == 0:
                obs = environments.reset(begun(range(len(tasks))))
                with torch.no_grad():
                    z = prompts.told(chance)
            if step < sac.warmup_steps:
                actions = 2 * torch.rand(len(tasks), spec.action_dim, generator=chance).numpy() - 1
            else:
                with torch.no_grad():
                    here = torch.from_numpy(obs).to(context.device).unsqueeze(1)
                    actions = learner.act(here, z, chance)[0].squeeze(1).cpu().numpy()
            if not np.isfinite(actions).all():
                raise MethodError("multi_task_rl_online: training diverged: lower its learning rate")
            environments.send(dict(enumerate(actions)))
            if step >= sac.warmup_steps and step % sac.update_every == 0:  # while the environments move
                uniform = torch.rand(len(tasks), sac.batch, dtype=torch.float64, generator=chance)
                learner.update(replay.sample(every, uniform), prompts.told(chance), optimizers, chance)
            following, rewards, diverged = environments.receive()
            rows = np.concatenate([obs, actions, following, rewards[:, None]], 1, dtype=np.float32)
            obs = following
            broken = np.flatnonzero(diverged)
            if len(broken):  # a step that led nowhere: the task stays where it was, unrewarded, and begins anew
                rows[broken, -spec.obs_dim - 1 : -1] = rows[broken, : spec.obs_dim]
                obs[broken] = environments.reset(begun(broken))
            replay.add(every, rows)
            if (step + 1) % PROGRESS_EVERY == 0 or step + 1 == sac.env_steps:
                context.progress("environment steps", step + 1, sac.env_steps)
    return model.requires_grad_(False)


def training_suite(training_set: TrainingSet) -> Suite:
    """The training set's suite, if its split trains on all of the set's tasks.

    Raises:
        LeakError: it does not.
    """
    suite = load_suite(training_set.suite)
    foreign = sorted(set(training_set.train_tasks) - set(suite.split(training_set.split).train))
    if foreign:
        raise LeakError(
            f"multi_task_rl_online acts in training tasks only, and split {training_set.split!r} of {suite.name} "
            f"does not train on {', '.join(foreign)}"
        )
    return suite


class MTSAC(nn.Module):
    """Actor, twin critics with their targets, and temperatures.

    Args:
        model: its policy is the actor's mean.
        n_tasks: which critics are told by a one-hot vector.
        config: settings.
    """

    def __init__(self, model: PromptedPolicy, n_tasks: int, config: SACConfig) -> None:
        super().__init__()
        spec = model.policy.spec
        self.model, self.config = model, config
        self.log_std = nn.Linear(spec.hidden[-1], spec.action_dim)
        sizes = (spec.obs_dim + n_tasks + spec.action_dim, *config.critic_hidden, 1)
        self.q, self.target = StackedMLP(2, sizes), StackedMLP(2, sizes).requires_grad_(False)
        self.target.load_state_dict(self.q.state_dict())
        self.log_alpha = nn.Parameter(torch.full((n_tasks, 1), log(config.initial_alpha)))

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Of critics, actor and temperatures."""
        actor = [*self.model.parameters(), *self.log_std.parameters()]
        return [torch.optim.Adam(p, self.config.lr, fused=True) for p in (self.q.parameters(), actor, [self.log_alpha])]

    def act(self, obs: Tensor, z: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw actions (n_tasks, b, action_dim) in states (n_tasks, b, obs_dim); and their log densities."""
        features = self.model.policy.features(obs, z)
        mean, log_std = self.model.policy.layers[-1](features), self.log_std(features).clamp(*LOG_STD_RANGE)
        noise = torch.randn(mean.shape, generator=chance).to(mean.device)
        before = mean + log_std.exp() * noise
        return before.tanh(), log_probability(before, log_std, noise)

    def values(self, critics: StackedMLP, obs: Tensor, actions: Tensor) -> Tensor:
        """Both critics of each transition: (2, n_tasks, b)."""
        n, b, _ = obs.shape
        task = torch.eye(n, device=obs.device).unsqueeze(1).expand(n, b, n)
        x = torch.cat([self.model.policy.scaler(obs), task, actions], -1).flatten(0, 1)
        return critics(x.expand(2, -1, -1)).view(2, n, b)

    def update(self, rows: Tensor, z: Tensor, optimizers: list[torch.optim.Optimizer], chance: torch.Generator) -> None:
        """One gradient step of critics, actor and temperatures on transitions (n_tasks, b, width), z with gradient."""
        o, a = self.model.policy.spec.obs_dim, self.model.policy.spec.action_dim
        obs, actions, following, reward = rows.split([o, a, o, 1], -1)
        alpha = self.log_alpha.exp().detach()
        with torch.no_grad():
            next_actions, log_prob = self.act(following, z, chance)
            value = self.values(self.target, following, next_actions).amin(0) - alpha * log_prob
            wanted = reward.squeeze(-1) + self.config.gamma * value
        fresh, log_prob = self.act(obs, z, chance)
        losses = (
            lambda: (self.values(self.q, obs, actions) - wanted).square().mean((1, 2)).sum(),
            lambda: (alpha * log_prob - self.values(self.q, obs, fresh).amin(0)).mean(),
            lambda: -(self.log_alpha.exp() * (log_prob.detach() - a)).mean(),
        )
        for loss, optimizer in zip(losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss().backward(inputs=optimizer.param_groups[0]["params"])
            optimizer.step()
        torch._foreach_lerp_(list(self.target.parameters()), list(self.q.parameters()), self.config.tau)
