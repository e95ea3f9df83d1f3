"""Checkpoints by reinforcement learning: Soft Actor-Critic, the paper's own protocol, many runs at a time.

All runs of a group step their environments together and are updated together, as batched networks. While they
learn, processes of their own step the environments. Sources: Haarnoja et al. 2018 (arXiv 1812.05905); for the use of
expert transitions and normalised critics, RLPD (Ball et al. 2023, arXiv 2302.02948).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from maa_bench.dataset.producers import Snapshot, Training, TrainingRun
from maa_bench.dataset.settings import MAY_BE_0, NO_NUMBER, identity_of
from maa_bench.dataset.transitions import Transitions
from maa_bench.errors import DataError
from maa_bench.files import digest
from maa_bench.suite import Scale


@dataclass(frozen=True)
class SACConfig:
    """Settings of the `sac` producer. The defaults are what the paper's release ships.

    Attributes:
        env_steps: environment steps of each run, at most.
        save_every: environment steps between snapshots.
        warmup_steps: environment steps with uniformly random actions, before learning begins.
        episode_steps: an episode ends here, or at the suite's horizon; never at a success.
        batch_size: transitions of an update.
        update_every: environment steps between updates.
        updates: updates then.
        gamma: discount.
        tau: share of the critics that their targets take over.
        target_every: updates between two such steps.
        learning_rate: Adam's, of all networks and the temperature.
        initial_alpha: temperature to begin with; it then seeks an entropy of minus the number of actions.
        reward_scale: rewards are multiplied by it.
        critic_hidden: hidden layers of the critics.
        critic_layer_norm: normalise the critics' hidden layers.
        prior_data: half of each batch are transitions of noisy scripted experts.
        buffer_size: transitions of each run that are kept.
        runs_together: runs that are trained in one job.
        env_workers: processes that step a job's environments; 0: none of their own. No number depends on it.

    Raises:
        DataError: a value that cannot be.
    """

    env_steps: int = 1_000_000
    save_every: int = 5_000
    warmup_steps: int = 5_000
    episode_steps: int = 500
    batch_size: int = 128
    update_every: int = 1
    updates: int = 1
    gamma: float = 0.99
    tau: float = 0.005
    target_every: int = 2
    learning_rate: float = 3e-4
    initial_alpha: float = 0.2
    reward_scale: float = 1.0
    critic_hidden: tuple[int, ...] = (128, 128)
    critic_layer_norm: bool = False
    prior_data: bool = False
    buffer_size: int = 1_000_000
    runs_together: int = 8
    env_workers: int = field(default=1, metadata={**NO_NUMBER, **MAY_BE_0})

    def __post_init__(self) -> None:
        if not self.critic_hidden or min(self.critic_hidden) < 1:
            raise DataError(f"sac: critic_hidden must be layer sizes of at least 1, not {self.critic_hidden}")
        for name in ("gamma", "tau"):
            if not 0 < getattr(self, name) <= 1:
                raise DataError(f"sac: {name} must be above 0 and at most 1, not {getattr(self, name)}")
        if self.prior_data and self.batch_size < 2:
            raise DataError("sac: with prior_data a batch_size of 2 or more is needed: half of it are the experts'")


CONFIGS: dict[Scale, SACConfig] = {
    # Two cores and half an hour: experts show where to look, and the critics get there in tens of thousands of updates.
    "small": SACConfig(
        env_steps=100_000,
        save_every=250,
        warmup_steps=1_000,
        episode_steps=200,
        gamma=0.97,
        tau=0.01,
        target_every=1,
        learning_rate=1e-3,
        initial_alpha=0.01,
        reward_scale=0.1,
        critic_layer_norm=True,
        prior_data=True,
    ),
    "paper": SACConfig(),
}


class SAC:
    """The producer; see `maa_bench.dataset.producers.Producer`.

    Args:
        state_seconds: seconds between two saves of the training's state; no number depends on it.
    """

    version = 1
    uses_device = True
    keeps_all = True

    def __init__(self, state_seconds: float = 60.0) -> None:
        self._state_seconds = state_seconds

    def settings(self, scale: Scale) -> SACConfig:
        """See `SACConfig`."""
        return CONFIGS[scale]

    def groups(self, runs: Sequence[TrainingRun], settings: SACConfig) -> list[list[TrainingRun]]:
        """`runs_together` at a time, of whatever task, in the order given."""
        size = max(1, settings.runs_together)
        return [[*runs[start : start + size]] for start in range(0, len(runs), size)]

    def train(self, training: Training) -> Iterator[Snapshot]:
        """Snapshots of every run each `save_every` environment steps, from the end of the warm-up on.

        Raises:
            DataError: expert transitions that are wanted and missing, no run that has not diverged,
                a process that died.
        """
        config: SACConfig = training.settings
        from maa_bench.dataset.producers.sac_envs import Environments  # torch: imported only when something is trained
        from maa_bench.dataset.producers.sac_state import Saves
        from maa_bench.dataset.producers.sac_trainer import Trainer

        trainer = Trainer(training)
        saves = Saves(training.work / "sac", _identity(training))
        for save in saves.read():
            trainer.restore(save)
            yield from save.shown
        tasks = [run.task for run in training.runs]
        with Environments(training.suite, tasks, config.env_workers) as environments:
            saved_at, shown = time.monotonic(), list[Snapshot]()
            while trainer.env_step < config.env_steps:
                sound = [run for run in trainer.runs if run not in trainer.diverged]
                lacking = [run for run in sound if training.wants(run, "verified")]
                if not lacking:
                    return
                trainer.keep(lacking)
                if time.monotonic() - saved_at >= self._state_seconds:
                    saves.write(trainer.save(shown))
                    saved_at, shown = time.monotonic(), []
                for snapshot in trainer.episode(environments):
                    if training.wants(snapshot.run, "verified"):
                        shown.append(snapshot)
                        yield snapshot


def _identity(training: Training) -> str:
    """Names the training whose state may be gone on with."""
    suite, settings = training.suite, training.settings
    config = identity_of(settings)
    runs = [[run.task, run.name, run.seed] for run in training.runs]
    experts = {task: _sha256(training.experts[task]) for task in sorted(training.experts)}
    about = [SAC.version, training.device, suite.name, suite.layouts_sha256, suite.policy.id]
    return digest([*about, config, runs, experts])


def _sha256(episodes: Transitions) -> str:
    parts = (episodes.observations, episodes.actions, episodes.next_observations, episodes.rewards)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
