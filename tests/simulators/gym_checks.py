"""What every simulator's Gymnasium environments are held to."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from maa_bench import gl
from maa_bench.errors import DrawingError

Make = Callable[..., gym.Env[Any, Any]]
"""Makes the environment of a task, given arguments of `gym.make`."""


def why_nothing_is_drawn() -> str:
    """Why no picture can be drawn here; empty if one can."""
    try:
        gl.choose()
    except DrawingError as error:
        return str(error)
    return ""


def passes_the_checker(make: Make) -> None:
    """Gymnasium's own, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make()
        check_env(env.unwrapped, skip_render_check=True)
        env.close()


def passes_the_checker_with_pictures(make: Make) -> None:
    """The same of an environment that draws, which shows something, and shows it move as the arm does."""
    if reason := why_nothing_is_drawn():
        pytest.skip(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make(render_mode="rgb_array", width=64, height=48)
        check_env(env.unwrapped)
        env.reset(options={"layout": 0})
        before = env.unwrapped.render()
        up = np.eye(1, env.action_space.shape[0], 2, np.float32)[0]  # type: ignore[index]
        for _ in range(10):
            env.step(up)
        after = env.unwrapped.render()
        env.close()
    for frame in (before, after):
        assert isinstance(frame, np.ndarray)
        assert frame.shape == (48, 64, 3)
        assert frame.std() > 10, "something is on it"
    assert np.asarray(before != after).mean() > 0.01, "and it moves as the arm does"


def plays_in_real_time(env: gym.Env[Any, Any], data: Any) -> None:
    """A second of frames is a second of MuJoCo's own clock.

    Args:
        env: the environment. data: its `mjData`.
    """
    env.reset(options={"layout": 0})
    started, steps = data.time, 8
    for _ in range(steps):
        env.step(np.zeros(env.action_space.shape, np.float32))
    assert steps / env.metadata["render_fps"] == pytest.approx(data.time - started, rel=1e-9)
