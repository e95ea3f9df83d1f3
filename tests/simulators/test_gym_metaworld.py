"""The Gymnasium environment on real Meta-World: its checker, stock's own numbers, the benchmark's own episodes."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from maa_bench.forward import PackedPolicy
from maa_bench.gym_ids import env_id
from maa_bench.policy import initial_params
from maa_bench.simulators import step_until_success
from maa_bench.suite import load_suite

metaworld = pytest.importorskip("metaworld")

from gym_checks import passes_the_checker, passes_the_checker_with_pictures, plays_in_real_time  # noqa: E402
from tiers import mostly_heavy  # noqa: E402

from maa_bench.simulators import metaworld as ours  # noqa: E402

pytestmark = [pytest.mark.simulator, pytest.mark.filterwarnings("ignore:Constant")]

SUITE = load_suite("metaworld-v1")
FEW = ("reach", "door-open", "plate-slide")
"""A loose object with a quaternion; a door's matrix; a goal whose height never changes. The others are heavy."""

every_task = pytest.mark.parametrize("task", mostly_heavy(FEW, tuple(SUITE.tasks)))


def make(task: str, **kwargs: Any) -> gym.Env[Any, Any]:
    return gym.make(env_id("metaworld-v1", task), **kwargs)


@every_task
def test_the_task_passes_gymnasiums_checker_without_a_warning(task: str) -> None:
    passes_the_checker(partial(make, task))


@pytest.mark.parametrize("task", mostly_heavy(FEW[:1], tuple(SUITE.tasks)))
def test_the_task_passes_the_checker_with_its_pictures(task: str) -> None:
    passes_the_checker_with_pictures(partial(make, task))


def test_frames_play_in_real_time() -> None:
    env = make("reach")
    plays_in_real_time(env, env.unwrapped._simulator.env.data)  # type: ignore[attr-defined]


def an_action(kind: str, expert: Any, obs: Any, step: int, held: Any, rng: np.random.Generator) -> Any:
    """The expert's; independent random ones; or a corner of the action space, held for a quarter of a second or so."""
    if kind == "expert":
        return expert.act(obs)
    if kind == "random":
        return rng.uniform(-1, 1, 4)
    return rng.choice([-1.0, 1.0], 4) if step % 20 == 0 else held


@every_task
def test_observations_of_whole_episodes_lie_within_the_space(task: str) -> None:
    env = make(task, layout_set="test", terminate_on_success=False)
    space, rng = env.observation_space, np.random.default_rng(1)
    assert np.isfinite([space.low, space.high]).all()  # type: ignore[attr-defined]
    expert = env.unwrapped._simulator.expert()  # type: ignore[attr-defined]
    for index, kind in enumerate(("expert", "expert", "random", "corners", "corners")):
        obs, _ = env.reset(options={"layout": index})
        action, truncated, step = None, False, 0
        while not truncated:
            assert obs in space, (kind, step, np.flatnonzero((obs < space.low) | (obs > space.high)))  # type: ignore[attr-defined]
            action = an_action(kind, expert, obs, step, action, rng)
            obs, _, _, truncated, _ = env.step(action)
            step += 1
        assert obs in space
        assert step == SUITE.horizon


@pytest.mark.heavy
@pytest.mark.parametrize("task", SUITE.tasks)
def test_every_layout_starts_within_the_space(task: str) -> None:
    for layout_set in ("train", "select", "test"):
        env = make(task, layout_set=layout_set)
        for index in range(len(SUITE.layouts(task, layout_set))):
            assert env.reset(options={"layout": index})[0] in env.observation_space


@pytest.mark.parametrize("task", ["reach", "door-lock"])
def test_steps_are_stock_metaworlds_byte_for_byte(task: str) -> None:
    """Observation, reward and success as `MT1` gives them: the train layouts are its tasks of seed 42."""
    benchmark = metaworld.MT1(SUITE.task(task).env, seed=42)
    stock = benchmark.train_classes[SUITE.task(task).env]()
    env = make(task, terminate_on_success=False)
    expert = env.unwrapped._simulator.expert()  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    for index in (0, 31, 49):
        stock.set_task(benchmark.train_tasks[index])
        theirs, _ = stock.reset()
        mine, _ = env.reset(options={"layout": index})
        successes = 0.0
        for _ in range(120):
            assert mine.tobytes() == theirs.tobytes()
            action = np.clip(expert.act(mine) + 0.1 * rng.standard_normal(4), -1, 1).astype(np.float32)
            theirs, their_reward, _, _, their_info = stock.step(action)
            mine, reward, terminated, _, info = env.step(action)
            assert reward == their_reward
            assert info["success"] is bool(their_info["success"])
            assert terminated is False
            successes += their_info["success"]
        assert successes, "the expert must succeed, or the flag is not tested"


def first_success(env: gym.Env[Any, Any], agent: Any, layout: int) -> tuple[int, int]:
    """The plain loop of a user of Gymnasium: (first success or -1, steps)."""
    obs, _ = env.reset(options={"layout": layout})
    step, terminated, truncated = 0, False, False
    while not (terminated or truncated):
        obs, _, terminated, truncated, info = env.step(agent.act(obs))
        assert terminated is info["success"]
        step += 1
    return (step if terminated else -1), step


def test_the_plain_loop_gives_the_benchmarks_own_episodes() -> None:
    """Untrained policies close the drawer now and then: the compiled loop and Gymnasium's agree on when."""
    env = make("drawer-close", layout_set="test")
    simulator = ours.open_task(SUITE.task("drawer-close"))
    results = []
    for seed in (7, 8, 9, 13):
        policy = PackedPolicy(SUITE.policy, initial_params(SUITE.policy, np.random.default_rng(seed)))
        layout = SUITE.layouts("drawer-close", "test")[seed % 5]
        results.append(simulator.first_success(policy, layout, SUITE.horizon))
        assert first_success(env, policy, seed % 5) == results[-1]
    firsts = [first for first, _ in results]
    assert min(firsts) == -1 < max(firsts), "some must fail and some succeed"


@pytest.mark.parametrize("task", ["door-lock", "handle-press"])
def test_the_experts_episodes_are_the_benchmarks_own(task: str) -> None:
    env = make(task, layout_set="test")
    simulator = ours.open_task(SUITE.task(task))
    for index in (0, 1):
        expected = step_until_success(simulator, simulator.expert(), SUITE.layouts(task, "test")[index], SUITE.horizon)
        assert expected[0] > 0
        assert first_success(env, simulator.expert(), index) == expected


def test_a_seeded_reset_repeats_the_episode() -> None:
    """Stock Meta-World's `reset` ignores seeds."""
    env = make("reach")
    starts = [env.reset(seed=seed)[0].tobytes() for seed in (1, 1, 2)]
    assert starts[0] == starts[1] != starts[2]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments(mode: str) -> None:
    envs = gym.make_vec(env_id("metaworld-v1", "reach"), num_envs=2, vectorization_mode=mode, layout_set="test")
    try:
        alone = make("reach", layout_set="test")
        obs, _ = envs.reset(seed=[3, 4])
        assert [row.tobytes() for row in obs] == [alone.reset(seed=seed)[0].tobytes() for seed in (3, 4)]
        actions = np.random.default_rng(0).uniform(-1, 1, (5, 2, 4)).astype(np.float32)
        seen = [envs.step(action)[0] for action in actions]
        for row, seed in enumerate((3, 4)):
            alone.reset(seed=seed)
            for step in range(5):
                assert seen[step][row].tobytes() == alone.step(actions[step, row])[0].tobytes()
    finally:
        envs.close()


def test_a_simulation_that_diverges_truncates_the_episode() -> None:
    env = gym.make(env_id("metaworld-v1", "reach"))
    obs, _ = env.reset(seed=0)
    env.unwrapped._simulator.env.data.qvel[0] = 1e11  # type: ignore[attr-defined]
    last, _, terminated, truncated, info = env.step(np.zeros(4, np.float32))
    assert (terminated, truncated) == (False, True)
    assert info["failure"] == "the simulation diverged in step 1"
    np.testing.assert_array_equal(last, obs)
    env.reset(seed=0)
    assert not env.step(np.zeros(4, np.float32))[3], "a reset mends it"
