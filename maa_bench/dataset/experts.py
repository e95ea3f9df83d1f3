"""Episodes of noisy scripted experts: what distillation clones, and SAC may begin from; without noise, prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import lcm

import numpy as np

from maa_bench.dataset.settings import MAY_BE_0
from maa_bench.dataset.transitions import Recorder, Transitions
from maa_bench.prompts import OUTCOME, SEGMENT, Behaviors
from maa_bench.simulators import EpisodeError, Float64, TaskSimulator

EXPERT = "expert"
"""`source` of these episodes."""


@dataclass(frozen=True)
class ExpertConfig:
    """How experts are recorded.

    Attributes:
        demonstrations: episodes a task.
        max_episode_steps: an episode ends `tail` steps after its first success, or here.
        tail: steps recorded after the first success, so that who learns from them also knows what comes next.
        noise_std: action noise of an episode, taken in turn. Episodes without noise last long enough to be prompts.
        burst: steps for which the noise stays switched on or off.
    """

    demonstrations: int = 40
    max_episode_steps: int = 200
    tail: int = field(default=8, metadata=MAY_BE_0)
    noise_std: tuple[float, ...] = (0.0, 0.2, 0.5, 1.0)
    burst: int = 10


def expert_episodes(
    simulator: TaskSimulator, layouts: Float64, config: ExpertConfig, rng: np.random.Generator
) -> Transitions:
    """Noisy expert episodes, every visited state labelled with the expert's own action.

    Noise drives the arm off the expert's path, the label says how to come back: one round of what DAgger does.
    """
    recorder = Recorder(simulator)
    for episode in range(config.demonstrations):
        std = config.noise_std[episode % len(config.noise_std)]
        # In time every noise meets every layout.
        layout = (episode + episode // lcm(len(layouts), len(config.noise_std))) % len(layouts)
        recorder.begin(layout, layouts[layout], std, EXPERT)
        least = 0 if std else SEGMENT
        noisy, first, step = False, 0, 0
        while step < max(min(config.max_episode_steps, first + config.tail if first else step + 1), least):
            label = recorder.label()
            if step % config.burst == 0:
                noisy = bool(rng.random() < 0.5)
            noise = std * rng.standard_normal(label.shape)
            try:
                _, success = recorder.step(np.clip(label + noise, -1.0, 1.0) if noisy else label)
            except EpisodeError:  # the simulation diverged: what came before is still good
                break
            step += 1
            if success and not first:
                first = step
    return recorder.recorded()


def demonstrations(episodes: Transitions, tail: int) -> Transitions:
    """The steps of each episode up to `tail` steps after its first success: what is worth cloning."""
    keep = np.zeros(len(episodes), bool)
    for start, stop in episodes.bounds():
        first = _first_success(episodes, start, stop)
        keep[start : stop if first < 0 else min(stop, start + first + tail)] = True
    return episodes.take(keep)


def expert_prompts(episodes: Transitions) -> tuple[Behaviors, list[int]]:
    """What the expert does without noise, as prompts: those episodes that succeed, and their train layouts."""
    found, layouts = [], []
    for start, stop in episodes.bounds():
        first = _first_success(episodes, start, stop)
        long_enough = stop - start >= max(SEGMENT, first + OUTCOME - 1)
        if episodes.source[start] == EXPERT and not episodes.noise_std[start] and first > 0 and long_enough:
            outcome = slice(start + first - 1, start + first - 1 + OUTCOME)
            found.append((slice(start, start + SEGMENT), outcome))
            layouts.append(int(episodes.layout[start]))
    observations = [episodes.observations[segment] for segment, _ in found]
    obs_dim, action_dim = episodes.observations.shape[1], episodes.actions.shape[1]
    behaviors = Behaviors(
        np.array(observations, np.float32).reshape(-1, SEGMENT, obs_dim),
        np.array([episodes.actions[segment] for segment, _ in found], np.float32).reshape(-1, SEGMENT, action_dim),
        np.array([episodes.next_observations[after] for _, after in found], np.float32).reshape(-1, OUTCOME, obs_dim),
    )
    return behaviors, layouts


def _first_success(episodes: Transitions, start: int, stop: int) -> int:
    """Steps up to and with the first success of the episode in `start:stop`, -1 if there is none."""
    hits = np.flatnonzero(episodes.success[start:stop])
    return int(hits[0]) + 1 if len(hits) else -1
