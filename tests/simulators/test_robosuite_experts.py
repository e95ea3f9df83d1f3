"""robosuite's scripted experts succeed on every arm, on their way or knocked off it, and keep no state."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from maa_bench.simulators import step_until_success
from maa_bench.suite import load_suite

pytest.importorskip("robosuite")

from maa_bench.simulators import robosuite as ours
from maa_bench.simulators.robosuite.stock import StockTask

pytestmark = [pytest.mark.simulator]

SUITE = load_suite("robosuite-v1")
QUICK = [f"{task}-{arm}" for task in ("lift", "stack", "door") for arm in ("panda", "sawyer")]
SEEN = [task for task in QUICK if task.endswith("panda")]


@cache
def opened(task: str) -> StockTask:
    return ours.open_task(SUITE.task(task))


class _Knocked:
    """An expert in whose way comes what distillation puts there: bursts of noise on its actions."""

    def __init__(self, expert: Any, noise: float, seed: int) -> None:
        self.expert, self.noise, self.rng, self.steps = expert, noise, np.random.default_rng(seed), 0

    def reset(self) -> None:
        self.expert.reset()

    def act(self, obs: Any) -> Any:
        if self.steps % 10 == 0:
            self.noisy = self.rng.random() < 0.5
        self.steps += 1
        noise = self.noise * self.rng.standard_normal(7)
        return np.clip(self.expert.act(obs) + noise * self.noisy, -1.0, 1.0)


@pytest.mark.parametrize("task", QUICK)
def test_the_expert_succeeds(task: str) -> None:
    simulator = opened(task)
    for layout in SUITE.layouts(task, "test")[:2]:
        first, _ = step_until_success(simulator, simulator.expert(), layout, SUITE.horizon)
        assert 0 < first < 120


@pytest.mark.parametrize("task", ["lift-jaco", "stack-ur5e", "door-iiwa", "lift-kinova3"])
def test_the_expert_succeeds_on_the_further_arms(task: str) -> None:
    simulator = opened(task)
    first, _ = step_until_success(simulator, simulator.expert(), SUITE.layouts(task, "test")[0], SUITE.horizon)
    assert 0 < first < 120


@pytest.mark.parametrize("task", SEEN)
def test_an_expert_that_is_knocked_off_its_way_finds_back(task: str) -> None:
    simulator = opened(task)
    for k, layout in enumerate(SUITE.layouts(task, "train")[:3]):
        first, _ = step_until_success(simulator, _Knocked(simulator.expert(), 0.5, k), layout, SUITE.horizon)
        assert first > 0


@pytest.mark.parametrize("task", SEEN)
def test_an_action_is_a_function_of_the_observation(task: str) -> None:
    """A policy can be cloned from it: an expert that has seen half an episode acts as one that has seen nothing."""
    simulator = opened(task)
    old, obs = simulator.expert(), simulator.reset(SUITE.layouts(task, "train")[0])
    for _ in range(40):
        before = obs.copy()
        action = old.act(obs)
        np.testing.assert_array_equal(obs, before)
        assert action.shape == (7,)
        assert action.dtype == np.float64
        assert np.abs(action).max() <= 1.0
        np.testing.assert_array_equal(action, simulator.expert().act(obs))
        obs, _ = simulator.step(action)


@pytest.mark.heavy
@pytest.mark.parametrize("task", SUITE.tasks)
def test_the_expert_succeeds_on_the_test_layouts(task: str) -> None:
    simulator = ours.open_task(SUITE.task(task))
    layouts = SUITE.layouts(task, "test")
    assert len(layouts) == 100
    firsts = [step_until_success(simulator, simulator.expert(), layout, SUITE.horizon)[0] for layout in layouts]
    assert np.mean(np.array(firsts) > 0) >= 0.95
