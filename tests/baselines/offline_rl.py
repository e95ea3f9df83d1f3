"""Shared by the tests of offline RL: prompts with rewards, and success on the toy suite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maa_bench.dataset.store import CheckpointDataset
from maa_bench.forward import PackedPolicy
from maa_bench.method import FlatPolicies
from maa_bench.policy import Float32
from maa_bench.prompts import PromptSet
from maa_bench.simulators import opened_task


@dataclass(frozen=True)
class Rewarded(PromptSet):
    """Prompts with what each step earned: (n, 60) float32."""

    rewards: Float32


def rewarded(data: CheckpointDataset, task: str, shots: int, seed: int = 0) -> Rewarded:
    """Prompts of a toy task; its reward is minus the distance to the goal, which the next state tells."""
    prompts = data.prompts(task, shots, seed)
    goal = np.array(data.suite.task(task).options["goal"])
    states = prompts.behaviors.observations[:, 1:, :2]
    rewards = np.zeros(prompts.behaviors.actions.shape[:2], np.float32)
    rewards[:, :-1] = -np.linalg.norm(states - goal, axis=-1)  # the last one is not used: its next state is not shown
    return Rewarded(prompts.suite, prompts.task, prompts.behaviors, prompts.sources, rewards)


def success_rate(data: CheckpointDataset, task: str, policies: FlatPolicies) -> float:
    """Share of episodes on the test layouts that succeed."""
    suite, simulator = data.suite, opened_task(data.suite, task)
    wins = [
        simulator.first_success(PackedPolicy(suite.policy, params), layout, suite.horizon)[0] > 0
        for params in policies.params
        for layout in suite.layouts(task, "test")
    ]
    return float(np.mean(wins))


def final_distance(data: CheckpointDataset, task: str, policies: FlatPolicies) -> float:
    """How far from a toy task's goal episodes end, on average over policies and test layouts."""
    suite, simulator = data.suite, opened_task(data.suite, task)
    goal = np.array(suite.task(task).options["goal"])
    ends = [
        simulator.trajectory(PackedPolicy(suite.policy, params), layout, suite.horizon, 0, 0).observations[-1][:2]
        for params in policies.params
        for layout in suite.layouts(task, "test")
    ]
    return float(np.linalg.norm(np.array(ends) - goal, axis=1).mean())
