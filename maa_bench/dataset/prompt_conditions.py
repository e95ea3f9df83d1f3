"""Prompts that were cut short, lost steps or were measured badly: pure functions of clean prompts.

Each prompt's random numbers come from the training seed and its own source, so that they do not depend on the prompts
beside it; and they are the same at every level: more noise is the same noise scaled, more loss loses further steps.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maa_bench.policy import Float32
from maa_bench.prompts import SEGMENT, Behaviors
from maa_bench.protocol import Protocol

Int64 = npt.NDArray[np.int64]

NOISE, DROPPED, HAND = 0, 1, 2
"""Streams of random numbers that a prompt has: of its measurements, of its lost steps, of the hand that acted."""


def stream(seed: int, source: str, number: int) -> np.random.Generator:
    """The random numbers of one prompt.

    Args:
        seed: training seed. source: row id of the policy that made it. number: which stream.
    """
    return np.random.default_rng([seed, zlib.crc32(source.encode()), number])


@dataclass(frozen=True)
class Spread:
    """Standard deviations over all steps of some prompts: (obs_dim,) and (action_dim,) float64; 0 where constant."""

    observations: npt.NDArray[np.float64]
    actions: npt.NDArray[np.float64]

    @classmethod
    def of(cls, behaviors: Behaviors) -> Spread:
        """Of the first 60 steps of these; outcomes are not among them."""
        return cls(_std(behaviors.observations), _std(behaviors.actions))


def _std(values: Float32) -> npt.NDArray[np.float64]:
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    # The mean of equal numbers may be off by a last bit, and their deviation then not 0.
    return np.where(np.ptp(flat, axis=0) > 0, flat.std(axis=0), 0.0)


def shown_steps(sources: Sequence[str], protocol: Protocol, seed: int) -> Int64:
    """Which of its steps a prompt shows in the place of each: (n, 60).

    From step `prompt_steps` on, the last one before is held. Then each step but the first is lost with probability
    `dropped_steps`, and what was shown last is held in its place.
    """
    steps = np.arange(SEGMENT)
    rows = []
    for source in sources:
        lost = stream(seed, source, DROPPED).random(SEGMENT) < protocol.dropped_steps
        lost[0] = False
        shown = np.maximum.accumulate(np.where(lost, 0, steps))
        rows.append(np.minimum(shown, protocol.prompt_steps - 1))
    return np.array(rows, np.int64).reshape(-1, SEGMENT)


def held(behaviors: Behaviors, shown: Int64) -> Behaviors:
    """The same behaviours with steps `shown` (n, 60) in the place of their own; what follows success stays."""
    rows = np.arange(len(behaviors))[:, None]
    return Behaviors(behaviors.observations[rows, shown], behaviors.actions[rows, shown], behaviors.outcome)


def noisy(behaviors: Behaviors, sources: Sequence[str], spread: Spread, level: float, seed: int) -> Behaviors:
    """Add Gaussian noise of `level` times the spread to states, outcome states and actions, which stay in [-1, 1]."""
    states, actions, outcome = (np.array(a) for a in (behaviors.observations, behaviors.actions, behaviors.outcome))
    for i, source in enumerate(sources):
        rng = stream(seed, source, NOISE)
        for row, std in (
            (states[i], spread.observations),
            (actions[i], spread.actions),
            (outcome[i], spread.observations),
        ):
            row[:] = row + level * std * rng.standard_normal(row.shape)
    return Behaviors(states, np.clip(actions, -1.0, 1.0), outcome)
