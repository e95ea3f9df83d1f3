"""Shared by the tests of offline RL: prompts with rewards, and success on the toy suite."""

from __future__ import annotations

import numpy as np

from maa_bench.dataset.shown import shown_prompts
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.forward import PackedPolicy
from maa_bench.method import FlatPolicies
from maa_bench.prompts import RewardedPromptSet
from maa_bench.protocol import Protocol
from maa_bench.simulators import opened_task


def rewarded(data: CheckpointDataset, task: str, shots: int, seed: int = 0) -> RewardedPromptSet:
    """What a method with the card `prompts+rewards` is shown of a task."""
    prompts = shown_prompts(data, task, "prompts+rewards", Protocol(shots=shots), seed)
    assert isinstance(prompts, RewardedPromptSet)
    return prompts


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
