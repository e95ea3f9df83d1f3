"""The Gymnasium environment on real robosuite: its checker, stock's own numbers, pictures."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from maa_bench import gl
from maa_bench.errors import DrawingError
from maa_bench.gym_ids import env_id
from maa_bench.suite import load_suite

pytest.importorskip("robosuite")

from maa_bench.simulators.robosuite.stock import StockTask

pytestmark = [pytest.mark.simulator]

SUITE = load_suite("robosuite-v1")
QUICK = ("lift-panda", "door-sawyer")
every_task = pytest.mark.parametrize(
    "task", [t if t in QUICK else pytest.param(t, marks=pytest.mark.heavy) for t in SUITE.tasks]
)


def make(task: str, **kwargs: Any) -> gym.Env[Any, Any]:
    return gym.make(env_id("robosuite-v1", task), **kwargs)


def why_nothing_is_drawn() -> str:
    try:
        gl.choose()
    except DrawingError as error:
        return str(error)
    return ""


@every_task
def test_the_task_passes_gymnasiums_checker_without_a_warning(task: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make(task)
        check_env(env.unwrapped, skip_render_check=True)
        env.close()


@every_task
def test_the_task_passes_the_checker_with_its_pictures(task: str) -> None:
    if reason := why_nothing_is_drawn():
        pytest.skip(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make(task, render_mode="rgb_array", width=64, height=48)
        check_env(env.unwrapped)
        env.reset(options={"layout": 0})
        before = env.unwrapped.render()
        for _ in range(10):
            env.step(np.array([0, 0, 1, 0, 0, 0, 0], np.float32))
        after = env.unwrapped.render()
        env.close()
    for frame in (before, after):
        assert isinstance(frame, np.ndarray)
        assert frame.shape == (48, 64, 3)
        assert frame.std() > 10, "something is on it"
    assert np.asarray(before != after).mean() > 0.01, "and it moves as the arm does"


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
