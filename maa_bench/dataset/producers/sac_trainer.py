"""The training of a group of SAC runs: who acts, what is kept, when is learned, and the state of it all.

Every random number of a run comes from that run's own generator, on the processor, so that a run sees the same ones
whatever is trained beside it and wherever the networks are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from maa_bench.dataset.producers import Snapshot, Training, TrainingRun
from maa_bench.dataset.producers.sac_envs import Environments
from maa_bench.dataset.producers.sac_learner import Learner, Sizes
from maa_bench.dataset.producers.sac_replay import Replay, transitions
from maa_bench.dataset.producers.sac_state import Save
from maa_bench.errors import DataError
from maa_bench.policy import Float32, initial_params

if TYPE_CHECKING:
    from maa_bench.dataset.producers.sac import SACConfig

BLOCK = 50
"""Updates whose random numbers are drawn in one go."""
REPORT_EVERY = 100
"""Environment steps between two reports."""


class Trainer:
    """The runs of a `Training`, between two episodes. They share their clock: every episode has the same length.

    Args:
        training: what is to be trained.

    Attributes:
        runs: the runs that are still trained, by index.
        env_step: environment steps of each.
        diverged: runs whose networks hold NaN or infinity. They show nothing more; others do not see it.

    Raises:
        DataError: expert transitions are wanted and there are none.
    """

    def __init__(self, training: Training) -> None:
        self._training = training
        self._config: SACConfig = training.settings
        self._spec = training.suite.policy
        self.runs = [*range(len(training.runs))]
        self.env_step = 0
        self.diverged: set[int] = set()
        self._layouts = [len(training.suite.layouts(run.task, "train")) for run in training.runs]
        self._generators = [torch.Generator().manual_seed(_seed(run)) for run in training.runs]
        # By the seed alone: runs of one seed begin with the same policy on every task, as in the release.
        actors = np.stack([initial_params(self._spec, np.random.default_rng(run.seed)) for run in training.runs])
        c = self._config
        sizes = Sizes(
            c.critic_hidden, c.critic_layer_norm, c.gamma, c.tau, c.learning_rate, c.initial_alpha, c.target_every
        )
        self._learner = Learner(self._spec, actors, self._generators, sizes, training.device)
        self._replay = self._make_replay()
        self._saved_step = 0

    def _make_replay(self) -> Replay:
        c, training = self._config, self._training
        width = 2 * self._spec.obs_dim + self._spec.action_dim + 1
        capacity = min(c.buffer_size, c.env_steps)
        tasks = sorted({run.task for run in training.runs})
        if not c.prior_data:
            return Replay(len(self.runs), capacity, width, device=training.device)
        for task in tasks:
            if task not in training.experts or not len(training.experts[task]):
                raise DataError(f"sac: prior_data needs expert episodes of {task!r}, and there are none")
        experts = [transitions(training.experts[task]) for task in tasks]
        for rows in experts:
            rows[:, -1] *= c.reward_scale
        prior = [tasks.index(run.task) for run in training.runs]
        return Replay(len(self.runs), capacity, width, prior, experts, training.device)

    def episode(self, environments: Environments) -> Iterator[Snapshot]:
        """One episode of every run, learning as it goes; snapshots as they are due.

        Raises:
            DataError: every run diverged, or a process that steps environments died.
        """
        c, learner = self._config, self._learner
        runs = torch.tensor(self.runs)
        steps = min(c.episode_steps, self._training.suite.horizon, c.env_steps - self.env_step)
        obs = environments.reset({run: self._layout(run) for run in self.runs})
        noise = self._draw(lambda g: torch.randn(steps, self._spec.action_dim, generator=g))
        draws = self._draws()
        for step in range(steps):
            warming_up = self.env_step < c.warmup_steps
            if warming_up:  # the error function makes normal numbers uniform in [-1, 1]
                actions = torch.erf(noise[step] / 2**0.5).numpy()
            else:
                actions = learner.act(obs, noise[step].to(self._training.device))
                self._note_diverged(np.isfinite(actions).all(axis=1))
                actions = np.nan_to_num(actions, nan=0.0, posinf=0.0, neginf=0.0)
            environments.send(dict(zip(self.runs, actions, strict=True)))
            if not warming_up and self.env_step % c.update_every == 0:  # while the environments move
                for _ in range(c.updates):
                    uniform, normal = next(draws)
                    learner.update(self._replay.sample(runs, uniform), normal)
            following, rewards, diverged = environments.receive()
            rows = np.concatenate([obs, actions, following, rewards[:, None] * np.float32(c.reward_scale)], 1)
            obs = following
            for i in np.flatnonzero(diverged):
                rows[i] = self._instead(self.runs[i], obs_before=rows[i, : self._spec.obs_dim])
                obs[i] = environments.reset({self.runs[i]: self._layout(self.runs[i])})[0]
            self._replay.add(runs, rows)
            self.env_step += 1
            if self.env_step % REPORT_EVERY == 0:
                self._training.report("environment steps", self.env_step, c.env_steps)
            if self.env_step % c.save_every == 0 and self.env_step >= c.warmup_steps:
                yield from self._snapshots()

    def keep(self, runs: Sequence[int]) -> None:
        """Go on with these of `runs` alone."""
        if list(runs) != self.runs:
            self._learner.keep([self.runs.index(run) for run in runs])
            self.runs = list(runs)

    def save(self, shown: Sequence[Snapshot]) -> Save:
        """The state, with what was lived through since the last one and these snapshots."""
        new = self.env_step - self._saved_step
        self._saved_step = self.env_step
        now = self._learner.state()
        now |= {f"generator.{run}": self._generators[run].get_state() for run in self.runs}
        return Save(self.env_step, list(self.runs), self._replay.last(self.runs, new), list(shown), now)

    def restore(self, save: Save) -> None:
        """Go on from the next one of a training's saves."""
        self.keep(save.runs)
        self._replay.refill(torch.tensor(self.runs), save.lived, save.env_step - self._saved_step)
        self.env_step = self._saved_step = save.env_step
        if save.now:
            self._learner.restore(dict(save.now))
            for run in self.runs:
                self._generators[run].set_state(save.now[f"generator.{run}"])

    def _draw(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        """What each run draws, side by side: (first, n, ...)."""
        return torch.stack([draw(self._generators[run]) for run in self.runs], 1)

    def _draws(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The random numbers of one update after another: (n, b) uniform, (n, 2 b, action_dim) normal."""
        b, a = self._config.batch_size, self._spec.action_dim
        while True:
            uniform = self._draw(lambda g: torch.rand(BLOCK, b, dtype=torch.float64, generator=g))
            normal = self._draw(lambda g: torch.randn(BLOCK, 2 * b, a, generator=g))
            yield from zip(uniform, normal.to(self._training.device), strict=True)

    def _layout(self, run: int) -> int:
        return int(torch.randint(self._layouts[run], (), generator=self._generators[run]))

    def _instead(self, run: int, obs_before: Float32) -> Float32:
        """For a step that has no end, the one before it once more; if there is none, standing still for nothing."""
        if self._replay.count:
            return self._replay.last([run], 1)[0, 0].numpy()
        still = np.zeros(self._spec.action_dim + 1, np.float32)
        return np.concatenate([obs_before, still[:-1], obs_before, still[-1:]])

    def _snapshots(self) -> Iterator[Snapshot]:
        self._note_diverged(self._learner.finite().numpy())
        params, updates = self._learner.params(), self._learner.updates
        for i, run in enumerate(self.runs):
            if run not in self.diverged:
                yield Snapshot(run, updates, self.env_step, params[i])

    def _note_diverged(self, finite: npt.NDArray[np.bool_]) -> None:
        """Raise a `DataError` if no run is left."""
        self.diverged |= {self.runs[i] for i in np.flatnonzero(~finite)}
        if self.diverged.issuperset(self.runs):
            about = self._training.runs[self.runs[0]]
            raise DataError(
                f"sac: run {about.name} of {about.task!r}, and every other that was left, diverged before environment "
                f"step {self.env_step}: networks hold NaN or infinity; try a smaller learning_rate or critic_layer_norm"
            )


def _seed(run: TrainingRun) -> int:
    """Of everything but the initial policy: other numbers for every task and run."""
    text = f"{run.task}/{run.name}/{run.seed}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "little")
