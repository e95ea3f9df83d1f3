"""The Gymnasium environment on the toy suite: the API's rules, and the simulator's own numbers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from maa_bench.errors import MaaBenchError, OptionError, SuiteError
from maa_bench.gym_env import TaskEnv
from maa_bench.gym_ids import env_id
from maa_bench.simulators import simulator_of, step_until_success
from maa_bench.suite import LAYOUT_SETS, load_suite

TOY = load_suite("toy-v1")
ID = env_id("toy-v1", "goal-090")


def test_every_task_passes_gymnasiums_checker_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for task in TOY.tasks:
            env = gym.make(env_id("toy-v1", task), render_mode="rgb_array")
            check_env(env.unwrapped)
            env.close()


def test_videos_of_it_play_in_its_own_time() -> None:
    """A step moves the mass by its velocity times the time that a frame is shown."""
    env = TaskEnv("toy-v1", "goal-090", render_mode="rgb_array")
    before, _ = env.reset(seed=0)
    after, *_ = env.step(np.ones(2, np.float32))
    np.testing.assert_allclose((after - before)[:2] * env.metadata["render_fps"], after[2:], rtol=1e-12)
    assert gym.make_vec(ID, num_envs=2).metadata["render_fps"] == env.metadata["render_fps"]
    assert "render_fps" not in TaskEnv.metadata, "another suite's environments have another"


@pytest.mark.parametrize("layout_set", LAYOUT_SETS)
def test_a_layout_is_taken_by_its_index(layout_set: str) -> None:
    env = gym.make(ID, layout_set=layout_set)
    layouts = TOY.layouts("goal-090", layout_set)
    for index in (0, 3, np.int64(len(layouts) - 1)):
        obs, info = env.reset(options={"layout": index})
        np.testing.assert_array_equal(obs[:2], layouts[index])
        assert info == {"layout": index, "success": False}


def test_the_train_layouts_are_the_default() -> None:
    np.testing.assert_array_equal(gym.make(ID).unwrapped.layouts, TOY.layouts("goal-090", "train"))  # type: ignore[attr-defined]


def drawn(env: gym.Env[Any, Any], seed: int, episodes: int = 20) -> list[int]:
    return [env.reset(seed=seed if i == 0 else None)[1]["layout"] for i in range(episodes)]


def test_an_action_of_another_shape_is_refused_before_anything_moves() -> None:
    env = gym.make(ID, disable_env_checker=True)
    before, _ = env.reset(seed=0)
    for action in (np.zeros(3), np.zeros((1, 2)), 0.0):
        with pytest.raises(OptionError, match=r"an action has shape \(2,\), not "):
            env.step(action)  # type: ignore[arg-type]
    expected = gym.make(ID)
    assert expected.reset(seed=0)[0].tobytes() == before.tobytes()
    assert env.step(np.ones(2))[0].tobytes() == expected.step(np.ones(2))[0].tobytes()


def test_a_seed_decides_the_layouts_of_all_episodes_after_it() -> None:
    one, other = gym.make(ID), gym.make(ID)
    assert drawn(one, 7) == drawn(one, 7) == drawn(other, 7) != drawn(one, 8)
    wanted = np.random.default_rng(7)
    assert drawn(one, 7) == [wanted.integers(50) for _ in range(20)]
    assert set(drawn(one, 0, 600)) == set(range(50)), "every layout has its turn"
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tobytes()  # type: ignore[index, union-attr]  # noqa: NPY002
    drawn(one, 7)
    assert np.random.get_state()[1].tobytes() == before  # type: ignore[index, union-attr]  # noqa: NPY002


def test_a_chosen_layout_leaves_the_draws_alone() -> None:
    env = gym.make(ID)
    expected = drawn(env, 3, 2)
    first = env.reset(seed=3)[1]["layout"]
    env.reset(options={"layout": 5})
    assert [first, env.reset()[1]["layout"]] == expected


@pytest.mark.parametrize("layout", [-1, 50, 1.0, True, "3", None, [0, 1]])
def test_a_layout_that_is_not_there_is_refused(layout: Any) -> None:
    env = gym.make(ID)
    with pytest.raises(OptionError, match=r"'layout' must be an integer from 0 to 49, not ") as caught:
        env.reset(options={"layout": layout})
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, MaaBenchError)


def test_an_unknown_option_names_the_right_one() -> None:
    with pytest.raises(OptionError, match=r"unknown reset option 'layouts'. Did you mean 'layout'"):
        gym.make(ID).reset(options={"layouts": 1})


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(SuiteError, match=r"unknown layout set 'tests'. Did you mean 'test'"):
        gym.make(ID, layout_set="tests")
    with pytest.raises(OptionError, match="unknown render_mode 'depth'"):
        TaskEnv("toy-v1", "goal-090", render_mode="depth")
    for width in (0, -5, 1.5, True):
        with pytest.raises(OptionError, match="must be numbers of pixels"):
            TaskEnv("toy-v1", "goal-090", width=width)  # type: ignore[arg-type]


def test_an_episode_is_the_simulators_own_and_ends_at_its_first_success() -> None:
    simulator = simulator_of(TOY).open_task(TOY.task("goal-090"))
    env = gym.make(ID, layout_set="test")
    for index, layout in enumerate(TOY.layouts("goal-090", "test")[:5]):
        first, _ = step_until_success(simulator, simulator.expert(), layout, TOY.horizon)
        assert first > 1
        expected, expert = simulator.reset(layout), simulator.expert()
        obs, info = env.reset(options={"layout": index})
        for step in range(1, first + 1):
            assert obs.tobytes() == expected.tobytes()
            action = expert.act(obs)
            expected, success = simulator.step(action)
            obs, reward, terminated, truncated, info = env.step(action)
            assert reward == simulator.reward == pytest.approx(-np.hypot(*(obs[:2] - [0.0, 1.0])), rel=1e-12)
            assert terminated is info["success"] is success is (step == first)
            assert truncated is False
            assert info["layout"] == index


def test_an_episode_may_go_on_to_the_horizon() -> None:
    env = gym.make(ID, terminate_on_success=False)
    expert = env.unwrapped._simulator.expert()  # type: ignore[attr-defined]
    obs, _ = env.reset(seed=0)
    successes = 0
    for step in range(1, TOY.horizon + 1):
        obs, _, terminated, truncated, info = env.step(expert.act(obs))
        successes += info["success"]
        assert terminated is False
        assert truncated is (step == TOY.horizon)
    assert successes > 1


@pytest.mark.parametrize("action", [[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
def test_observations_stay_within_the_space(action: list[float]) -> None:
    env = gym.make(ID, terminate_on_success=False)
    obs, _ = env.reset(seed=1)
    truncated = False
    while not truncated:
        assert obs in env.observation_space
        obs, _, _, truncated, _ = env.step(np.array(action, np.float32))
    assert np.abs(obs[:2]).max() > 4.5, "the farthest that an episode leads"
    assert obs in env.observation_space


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_no_number_truncates_the_episode(bad: float) -> None:
    env = gym.make(env_id("toy-v1", "goal-000"))
    env.reset(seed=0)
    before, *_ = env.step(np.array([0.5, 0.5], np.float32))
    obs, reward, terminated, truncated, info = env.step(np.array([0.5, bad], np.float32))
    assert (terminated, truncated, reward, info["success"]) == (False, True, 0.0, False)
    assert info["failure"] == "the action of step 2 is not finite"
    np.testing.assert_array_equal(obs, before)
    _, info = env.reset()
    assert "failure" not in info


def test_stepping_before_a_reset_is_gymnasiums_error() -> None:
    with pytest.raises(gym.error.ResetNeeded):
        gym.make(ID).step(np.zeros(2, np.float32))


def test_frames_have_the_size_that_was_asked_for_and_show_the_state() -> None:
    env = gym.make(ID, render_mode="rgb_array", width=64, height=48)
    env.reset(seed=0)
    before = env.render()
    for _ in range(10):
        env.step(np.ones(2, np.float32))
    after = env.render()
    assert isinstance(before, np.ndarray)
    assert before.shape == (48, 64, 3)
    assert before.dtype == np.uint8
    assert (before != after).any()


def test_rendering_without_a_mode_is_a_warning() -> None:
    env = TaskEnv("toy-v1", "goal-090")
    env.reset()
    with pytest.warns(UserWarning, match="render_mode is None"):
        assert env.render() is None


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments(mode: str) -> None:
    envs = gym.make_vec(ID, num_envs=2, vectorization_mode=mode, layout_set="test", max_episode_steps=3)
    try:
        obs, infos = envs.reset(seed=[5, 6])
        chosen = [drawn(gym.make(ID), seed, 2) for seed in (5, 6)]
        layouts = TOY.layouts("goal-090", "test")
        assert list(infos["layout"]) == [c[0] for c in chosen]
        np.testing.assert_array_equal(obs[:, :2], layouts[[c[0] for c in chosen]])
        for step in range(1, 4):
            _, rewards, terminated, truncated, infos = envs.step(np.zeros((2, 2), np.float32))
            assert rewards.shape == (2,)
            assert not terminated.any()
            assert list(truncated) == [step == 3] * 2
            assert list(infos["success"]) == [False, False]
        obs, _, _, _, infos = envs.step(np.zeros((2, 2), np.float32))  # the step after the end resets
        assert list(infos["layout"]) == [c[1] for c in chosen]
        np.testing.assert_array_equal(obs[:, :2], layouts[[c[1] for c in chosen]])
        envs.reset(options={"layout": 9})
    finally:
        envs.close()


def test_a_spec_comes_back_from_json() -> None:
    env = gym.make(ID, layout_set="select")
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))  # type: ignore[union-attr]
    np.testing.assert_array_equal(again.reset(seed=2)[0], env.reset(seed=2)[0])
    np.testing.assert_array_equal(again.unwrapped.layouts, TOY.layouts("goal-090", "select"))  # type: ignore[attr-defined]


def test_a_suite_of_ones_own_is_opened_by_its_path(tiny_suite: Path) -> None:
    env = TaskEnv(str(tiny_suite), "goal-030", layout_set="test")
    assert env.layouts.shape == (4, 2)
    assert env.reset(seed=0)[0] in env.observation_space
