"""Rewards of prompts and counts of steps on real Meta-World, against stock environments stepped by hand."""

from __future__ import annotations

import numpy as np
import pytest

from maa_bench.dataset.shown import _replay
from maa_bench.forward import PackedPolicy
from maa_bench.policy import initial_params
from maa_bench.prompts import OUTCOME, SEGMENT, Behaviors, PromptSet
from maa_bench.simulators import STEPS, EpisodeError
from maa_bench.simulators.metaworld import open_task
from maa_bench.simulators.metaworld.stock import StockTask
from maa_bench.suite import load_suite

pytestmark = pytest.mark.simulator

SUITE = load_suite("metaworld-v1")
POLICY = PackedPolicy(SUITE.policy, initial_params(SUITE.policy, np.random.default_rng(3)))


@pytest.mark.parametrize("task", ["window-close", "reach-wall", "drawer-open"])
def test_replayed_rewards_are_stocks(task: str) -> None:
    layout = SUITE.layouts(task, "train")[4]
    fast = open_task(SUITE.task(task))
    seen = fast.trajectory(POLICY, layout, SEGMENT, 0, SEGMENT)
    observations = seen.observations[:SEGMENT].astype(np.float32)[None]
    behaviors = Behaviors(observations, seen.actions[None, :SEGMENT], observations[:, :OUTCOME])
    prompts = PromptSet(SUITE.source, task, behaviors, ("a",))
    rewards = np.empty(SEGMENT, np.float32)
    assert _replay(fast, layout, prompts, 0, rewards) == ""
    stock = StockTask(SUITE.task(task))
    stock.reset(layout)
    expected = [stock.env.step(action)[1] for action in seen.actions[:SEGMENT]]
    # Stock computes forces that no reward reads; numpy versions differ by 2e-7.
    np.testing.assert_allclose(rewards, expected, atol=1e-5)
    elsewhere = SUITE.layouts(task, "train")[5]
    assert _replay(fast, elsewhere, prompts, 0, rewards) == "came to another state before step 1"


def test_steps_are_counted_however_they_are_taken() -> None:
    task, layout = "window-close", SUITE.layouts("window-close", "train")[0]
    for simulator in (open_task(SUITE.task(task)), StockTask(SUITE.task(task))):
        before = STEPS.taken
        first, steps = simulator.first_success(POLICY, layout, 20)
        assert (first, STEPS.taken - before) == (-1, steps) == (-1, 20)
        simulator.trajectory(POLICY, layout, 30, 0, 30)
        assert STEPS.taken - before == 50
        simulator.reset(layout)
        simulator.step(np.zeros(4))
        assert STEPS.taken - before == 51, "a reset is no step"
        params = np.full(SUITE.policy.n_params, np.nan, np.float32)
        with pytest.raises(EpisodeError):
            simulator.first_success(PackedPolicy(SUITE.policy, params), layout, 20)
        assert STEPS.taken - before == 51, "an action that is no number is not taken"
