"""Checkpoints by distillation: behaviour cloning of noisy scripted experts, all runs of a group at once.

The paper took its checkpoints from SAC runs of 10^6 environment steps. Cloned policies of the same architecture,
saved along their training, give a comparable family in seconds: each run is a training lineage of its own (own
initial weights, own data or order of data), and its checkpoints move along it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from maa_bench.dataset.experts import demonstrations
from maa_bench.dataset.producers import Snapshot, Training, TrainingRun
from maa_bench.dataset.settings import ADDED, MAY_BE_0
from maa_bench.dataset.transitions import Transitions
from maa_bench.errors import DataError
from maa_bench.policy import PolicySpec, initial_params
from maa_bench.suite import Scale

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class DistillConfig:
    """Settings of the distilled producer.

    Attributes:
        updates: gradient steps in which a run is expected to have its checkpoints.
        first_checkpoint: gradient step of the first of them; those before it are early ones.
        patience: a run that lacks checkpoints after `updates` goes on, up to so many times as long.
        batch_size: transitions a gradient step and run.
        learning_rate: Adam's.
        tail: steps of a demonstration that are cloned after its first success.
        bootstrap: each run clones a bootstrap sample of the demonstrations, instead of all of them.
        runs_together: runs of a task that are one batched network.
        seek_partial: look for partly trained policies where a run's success changes, instead of at fixed steps.
    """

    updates: int = 3000
    first_checkpoint: int = 1500
    patience: int = 4
    batch_size: int = 64
    learning_rate: float = 1e-3
    tail: int = field(default=8, metadata=MAY_BE_0)
    bootstrap: bool = False
    runs_together: int = 4
    seek_partial: bool = field(default=False, metadata=ADDED)


class Distill:
    """The producer; see the module."""

    version = 3

    def settings(self, scale: Scale) -> DistillConfig:
        """See `Producer`."""
        return (
            DistillConfig() if scale == "small" else DistillConfig(updates=5000, first_checkpoint=2000, bootstrap=True)
        )

    def groups(self, runs: Sequence[TrainingRun], settings: DistillConfig) -> list[list[TrainingRun]]:
        """Runs of one task, a few at a time."""
        by_task: dict[str, list[TrainingRun]] = {}
        for run in runs:
            by_task.setdefault(run.task, []).append(run)
        size = settings.runs_together
        return [own[i : i + size] for own in by_task.values() for i in range(0, len(own), size)]

    def train(self, training: Training) -> Iterator[Snapshot]:
        """See `Producer`. `step` counts gradient steps; `env_step` the demonstrations' transitions, all along.

        The initial weights of a run depend on its seed alone, so that run r starts from the same weights on every
        task, as the same torch seed does for the paper's SAC runs.
        """
        import torch

        settings: DistillConfig = training.settings
        spec, runs = training.suite.policy, training.runs
        (task,) = {run.task for run in runs}
        data = demonstrations(training.experts[task], settings.tail)
        index = list(training.suite.tasks).index(task)
        generators = [torch.Generator().manual_seed(1_000_003 * index + run.seed) for run in runs]
        pools = [_pool(data, run, index, settings) for run in runs]
        n_seen = [len(np.unique(pool)) for pool in pools]
        obs, labels = torch.from_numpy(data.observations.copy()), torch.from_numpy(data.labels.copy())
        learner = _Learner(spec, [run.seed for run in runs], settings.learning_rate)
        kind_of_schedule = _Search if settings.seek_partial else _Fixed
        schedules = [kind_of_schedule(number, run, settings) for number, run in enumerate(runs)]
        for update in range(1, settings.updates * settings.patience + 1):
            rows = torch.stack(
                [
                    pool[torch.randint(len(pool), (settings.batch_size,), generator=generator)]
                    for pool, generator in zip(pools, generators, strict=True)
                ]
            )
            learner.step(obs[rows], labels[rows])
            due = [
                run
                for run, schedule in enumerate(schedules)
                if schedule.is_due(update) and (update >= settings.first_checkpoint or schedule.wants_early(training))
            ]
            if due:
                params = learner.params()
                for run in due:
                    if training.wants(run, "verified") or update < settings.first_checkpoint:
                        yield Snapshot(run, update, n_seen[run], params[run].copy())
                        schedules[run].shown(update, training)
            if update >= settings.first_checkpoint and not any(training.wants(i, "verified") for i in range(len(runs))):
                return


class _Fixed:
    """When a run shows itself: early on denser and denser towards the beginning, then at even distances."""

    def __init__(self, number: int, run: TrainingRun, settings: DistillConfig) -> None:
        wanted = run.partial + run.failing
        self._number, self._first = number, settings.first_checkpoint
        early = np.geomspace(min(10, self._first), self._first, 1 + wanted * 3 // 2).round().astype(int)[:-1]
        self._early = frozenset(early.tolist()) - {self._first}
        self._every = max(1, (settings.updates - self._first) // run.verified)

    def is_due(self, update: int) -> bool:
        return update in self._early or (update >= self._first and (update - self._first) % self._every == 0)

    def wants_early(self, training: Training) -> bool:
        return training.wants(self._number, "partial") or training.wants(self._number, "failing")

    def shown(self, update: int, training: Training) -> None:
        """A snapshot was taken."""


class _Search(_Fixed):
    """The same, but early on in small steps while the run succeeds now and then, and in large ones while it fails."""

    STEPS: ClassVar = {"partial": 0.02, "verified": 0.04, "failing": 0.12}
    """To the next snapshot, as a part of the steps so far, by the kind of the last one."""

    def __init__(self, number: int, run: TrainingRun, settings: DistillConfig) -> None:
        super().__init__(number, run, settings)
        self._early = frozenset({min(4, self._first - 1)})
        self._seen = {"partial": 0, "verified": 0}

    def wants_early(self, training: Training) -> bool:
        return training.wants(self._number, "partial")

    def shown(self, update: int, training: Training) -> None:
        now = {kind: training.kept(self._number, kind) for kind in self._seen}
        kind = next((kind for kind, count in now.items() if count > self._seen[kind]), "failing")
        self._seen = now
        after = update + max(1, round(update * self.STEPS[kind]))
        self._early = frozenset({after} if after < self._first else ())


def _pool(data: Transitions, run: TrainingRun, task: int, settings: DistillConfig) -> torch.Tensor:
    """Rows of the demonstrations that a run draws from: (n,) int64."""
    import torch

    if not settings.bootstrap:
        return torch.arange(len(data))
    bounds = data.bounds()
    drawn = np.random.default_rng([task, run.seed, 2]).integers(len(bounds), size=len(bounds))
    rows: list[npt.NDArray[np.int64]] = [np.arange(*bounds[i]) for i in drawn]
    return torch.from_numpy(np.concatenate(rows))


class _Learner:
    """n policies that learn at once, as one batched network; no run's gradient sees another."""

    def __init__(self, spec: PolicySpec, seeds: list[int], learning_rate: float) -> None:
        import torch

        self._spec, self._rate, self._updates = spec, learning_rate, 0
        self._flat = torch.from_numpy(np.stack([initial_params(spec, np.random.default_rng(seed)) for seed in seeds]))
        # One leaf a tensor, of all runs: gradients of slices of one flat tensor would each be padded to its full size.
        # The deterministic action does not depend on log_std, which keeps its initial values.
        self._trained = [t for t in spec.tensors if not t.name.startswith("log_std")]
        self._leaves = [
            self._flat[:, t.start : t.stop].reshape(len(seeds), *t.shape).clone().requires_grad_(True)
            for t in self._trained
        ]
        self._means = [torch.zeros_like(x) for x in self._leaves]
        self._squares = [torch.zeros_like(x) for x in self._leaves]

    def step(self, obs: torch.Tensor, target: torch.Tensor) -> None:
        """One Adam step (Kingma & Ba 2015) on the squared error of tanh(mean): obs (n, b, obs_dim)."""
        import torch

        from maa_bench.differentiable import batched_mean

        self._updates += 1
        tensors = {t.name: x for t, x in zip(self._trained, self._leaves, strict=True)}
        action = batched_mean(self._spec, tensors, obs).tanh()
        loss = (action - target).square().mean(dim=(1, 2)).sum()
        grads = torch.autograd.grad(loss, self._leaves)
        rate = self._rate * (1 - 0.999**self._updates) ** 0.5 / (1 - 0.9**self._updates)
        with torch.no_grad():
            for leaf, grad, mean, square in zip(self._leaves, grads, self._means, self._squares, strict=True):
                mean.lerp_(grad, 0.1)
                square.mul_(0.999).addcmul_(grad, grad, value=0.001)
                leaf.addcdiv_(mean, square.sqrt().add_(1e-8), value=-rate)

    def params(self) -> Any:
        """Flat parameters now: (n, n_params) float32.

        Raises:
            DataError: training diverged.
        """
        for tensor, leaf in zip(self._trained, self._leaves, strict=True):
            self._flat[:, tensor.start : tensor.stop] = leaf.detach().reshape(len(leaf), -1)
        flat = self._flat.numpy()
        if not np.isfinite(flat).all():
            raise DataError("behaviour cloning diverged: parameters hold NaN or infinity; lower the learning rate")
        return flat
