"""The Gymnasium environment on real robosuite: its checker, stock's own numbers, pictures."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from maa_bench.gym_ids import env_id
from maa_bench.suite import load_suite

pytest.importorskip("robosuite")

from gym_checks import passes_the_checker, passes_the_checker_with_pictures, plays_in_real_time
from tiers import mostly_heavy

from maa_bench.simulators.robosuite.stock import StockTask

pytestmark = [pytest.mark.simulator]

SUITE = load_suite("robosuite-v1")
QUICK = ("lift-panda", "door-sawyer")
every_task = pytest.mark.parametrize("task", mostly_heavy(QUICK, tuple(SUITE.tasks)))


def make(task: str, **kwargs: Any) -> gym.Env[Any, Any]:
    return gym.make(env_id("robosuite-v1", task), **kwargs)


@every_task
def test_the_task_passes_gymnasiums_checker_without_a_warning(task: str) -> None:
    passes_the_checker(partial(make, task))


@every_task
def test_the_task_passes_the_checker_with_its_pictures(task: str) -> None:
    passes_the_checker_with_pictures(partial(make, task))


def test_frames_play_in_real_time() -> None:
    env = make("lift-panda")
    plays_in_real_time(env, env.unwrapped._simulator.data)  # type: ignore[attr-defined]


@every_task
def test_observations_lie_within_the_space(task: str) -> None:
    env = make(task, layout_set="test", terminate_on_success=False)
    space, rng = env.observation_space, np.random.default_rng(1)
    for index in range(2):
        obs, _ = env.reset(options={"layout": index})
        for step in range(30):
            assert obs in space, (step, obs)
            obs, _, _, _, _ = env.step(rng.choice([-1.0, 1.0], 7).astype(np.float32))


def test_steps_are_stock_robosuites_byte_for_byte() -> None:
    """Observation, reward and success of an environment that robosuite steps itself."""
    env = make("lift-panda", terminate_on_success=False)
    stock, rng = StockTask(SUITE.task("lift-panda")), np.random.default_rng(0)
    mine, _ = env.reset(options={"layout": 7})
    assert mine.tobytes() == stock.reset(SUITE.layouts("lift-panda", "train")[7]).tobytes()
    for _ in range(10):
        action = rng.uniform(-1, 1, 7).astype(np.float32)
        mine, reward, _, _, info = env.step(action)
        theirs, success = stock.step(action)
        assert mine.tobytes() == theirs.tobytes()
        assert (reward, info["success"]) == (stock.reward, success)
