"""Measuring a checkpoint: verification episodes, and one recorded trajectory as its behaviour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maa_bench.forward import PackedPolicy
from maa_bench.policy import Float32, PolicySpec
from maa_bench.prompts import OUTCOME, SEGMENT
from maa_bench.simulators import EpisodeError, Float64, TaskSimulator


@dataclass(frozen=True)
class Behavior:
    """One recorded trajectory: (60, obs_dim) states, (60, action_dim) actions, (3, obs_dim) outcome; float32."""

    observations: Float32
    actions: Float32
    outcome: Float32


def first_success_steps(
    simulator: TaskSimulator, policy: PackedPolicy, layouts: Float64, horizon: int
) -> tuple[list[int], int]:
    """One episode a layout; returns the first-success steps (-1: none) and the environment steps taken.

    An episode that breaks off (see `EpisodeError`) is one without success.
    """
    firsts, total = [], 0
    for layout in layouts:
        try:
            first, steps = simulator.first_success(policy, layout, horizon)
        except EpisodeError as error:
            first, steps = -1, error.steps
        firsts.append(first)
        total += steps
    return firsts, total


def record_behavior(
    simulator: TaskSimulator, policy: PackedPolicy, layout: Float64, horizon: int
) -> tuple[Behavior, int]:
    """Roll a policy that succeeds on this layout and keep what a prompt shows of it; also says how many steps it took.

    The episode goes on after the success until 60 steps and three states after it are seen; a success in the last
    two steps before the horizon repeats its last state.
    """
    trajectory = simulator.trajectory(policy, layout, horizon, OUTCOME - 1, SEGMENT)
    first = trajectory.first_success
    if first < 0:
        raise ValueError("the policy does not succeed on this layout")
    observations = trajectory.observations
    after = np.minimum(np.arange(first, first + OUTCOME), len(observations) - 1)
    behavior = Behavior(
        observations[:SEGMENT].astype(np.float32),
        trajectory.actions[:SEGMENT],
        observations[after].astype(np.float32),
    )
    return behavior, len(trajectory.actions)


def no_behavior(spec: PolicySpec) -> Behavior:
    """Zeros, where no verification episode succeeded (pyarrow 25 cannot read back null fixed-size lists)."""
    return Behavior(
        np.zeros((SEGMENT, spec.obs_dim), np.float32),
        np.zeros((SEGMENT, spec.action_dim), np.float32),
        np.zeros((OUTCOME, spec.obs_dim), np.float32),
    )
