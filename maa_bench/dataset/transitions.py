"""Episodes step by step, with rewards: what offline reinforcement and imitation learn from.

In memory an episode set is a few flat arrays; in Parquet it is one row a transition (see `schema.TRANSITIONS`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench.policy import Float32, PolicySpec
from maa_bench.simulators import Float64, TaskSimulator


@dataclass(frozen=True)
class Transitions:
    """n transitions of one task, episode after episode, as arrays that cannot be written to.

    Attributes:
        observations: (n, obs_dim) float32, the states before each action.
        actions: (n, action_dim) float32, what was done, in [-1, 1].
        labels: (n, action_dim) float32, what the task's scripted expert would have done, in [-1, 1].
        rewards: (n,) float32, the simulator's own.
        next_observations: (n, obs_dim) float32.
        success: (n,) bool: the step that led to `next_observations` was a success.
        episode: (n,) int32, number of the episode, from 0, not decreasing.
        layout: (n,) int32, train layout of the episode.
        noise_std: (n,) float32, standard deviation of the noise added to the actions of the episode.
        source: (n,) object: `expert`, or the row id of the checkpoint that acted.
    """

    observations: Float32
    actions: Float32
    labels: Float32
    rewards: Float32
    next_observations: Float32
    success: npt.NDArray[np.bool_]
    episode: npt.NDArray[np.int32]
    layout: npt.NDArray[np.int32]
    noise_std: Float32
    source: npt.NDArray[np.object_]

    def __post_init__(self) -> None:
        for array in (getattr(self, field.name) for field in fields(self)):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.rewards)

    def take(self, rows: npt.NDArray[Any]) -> Transitions:
        """The transitions of `rows` (indices or a mask), in that order."""
        return Transitions(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def bounds(self) -> list[tuple[int, int]]:
        """(start, stop) of every episode, in order."""
        starts = np.flatnonzero(np.diff(self.episode, prepend=-1))
        stops = [*starts[1:].tolist(), len(self)][: len(starts)]
        return [*zip(starts.tolist(), stops, strict=True)]


@dataclass
class Recorder:
    """Collects episodes of one task while they are acted."""

    simulator: TaskSimulator

    def __post_init__(self) -> None:
        self._expert = self.simulator.expert()
        self._rows: list[tuple[Any, ...]] = []
        self._episode = -1

    def begin(self, layout: int, state: Float64, noise_std: float, source: str) -> Float64:
        """Reset to the layout `state`, which is number `layout` of the train layouts; returns the first observation."""
        self._episode += 1
        self._about = (self._episode, layout, noise_std, source)
        self._expert.reset()
        self._obs = self.simulator.reset(state)
        return self._obs

    def label(self) -> Float64:
        """What the expert does now: (action_dim,) in [-1, 1]. Once a step."""
        self._label = np.asarray(self._expert.act(self._obs), np.float64)
        return self._label

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Float64, bool]:
        """One step after `label`, kept; returns the observation and whether it is a success."""
        following, success = self.simulator.step(action)
        row = (self._obs, action, self._label, self.simulator.reward, following, success, *self._about)
        self._rows.append(row)
        self._obs = following
        return following, success

    def recorded(self) -> Transitions:
        """All that was recorded."""
        columns = list(zip(*self._rows, strict=True))
        kinds: list[Any] = [np.float32] * 5 + [bool, np.int32, np.int32, np.float32, object]
        return Transitions(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def no_transitions(spec: PolicySpec) -> Transitions:
    """An empty set."""
    states, actions = np.zeros((0, spec.obs_dim), np.float32), np.zeros((0, spec.action_dim), np.float32)
    numbers: list[Any] = [np.zeros(0, kind) for kind in (bool, np.int32, np.int32, np.float32, object)]
    return Transitions(states, actions, actions.copy(), np.zeros(0, np.float32), states.copy(), *numbers)


def joined(parts: Iterable[Transitions]) -> Transitions:
    """Episode sets (at least one) one after the other, numbered on."""
    first_part, *others = parts
    parts = [first_part, *(part for part in others if len(part))]
    columns = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Transitions)}
    numbers, first = [], 0
    for part in parts:
        numbers.append(part.episode + np.int32(first))
        first += int(part.episode[-1]) + 1 if len(part) else 0
    return Transitions(**{**columns, "episode": np.concatenate(numbers)})
