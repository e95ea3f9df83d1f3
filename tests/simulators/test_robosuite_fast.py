"""The compiled control step is robosuite's own `step` to the byte: observations, successes, rewards."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from maa_bench.simulators import STEPS, EpisodeError
from maa_bench.suite import load_suite

pytest.importorskip("robosuite")

from tiers import mostly_heavy

from maa_bench.bench import mixture
from maa_bench.bench.limit import Limit
from maa_bench.bench.ways import Work
from maa_bench.simulators import robosuite as ours
from maa_bench.simulators.dynamics import NOMINAL, Dynamics
from maa_bench.simulators.robosuite.fast import FastTask, same_arithmetic
from maa_bench.simulators.robosuite.stock import StockTask

SUITE = load_suite("robosuite-v1")
QUICK = ("lift-panda", "stack-ur5e", "door-iiwa")
"""Seven joints, six joints, and a base site that turns; each task once. The others are heavy."""

pytestmark = [pytest.mark.simulator]
every_task = pytest.mark.parametrize("task", mostly_heavy(QUICK, tuple(SUITE.tasks)))


@pytest.fixture(autouse=True)
def _needs_the_fast_path() -> None:
    if not same_arithmetic():
        pytest.skip("on this machine every task is left to stock")


@cache
def pair(task: str) -> tuple[StockTask, FastTask]:
    return StockTask(SUITE.task(task)), FastTask(SUITE.task(task))


def actions(kind: str, simulator: Any) -> Any:
    """Step by step from an observation: the expert's with noise, jumps that are held, or full force downwards."""
    rng, expert, held = np.random.default_rng(5), simulator.expert() if kind == "expert" else None, np.zeros(7)
    if expert is not None:
        expert.reset()

    def act(obs: Any, step: int) -> Any:
        nonlocal held
        if expert is not None:
            return np.clip(expert.act(obs) + rng.normal(0, 0.1, 7), -1, 1)
        if step % 5 == 0:
            held = rng.uniform(-1, 1, 7) if kind == "random" else rng.choice([-1.0, 1.0], 7)
            if kind == "down":
                held[2] = -1.0
        return held.astype(np.float32)

    return act


def assert_same(task: str, kind: str, layout: Any, steps: int) -> int:
    """Both take the same steps and see the same; returns how many of them were successes."""
    stock, fast = pair(task)
    mine, theirs = fast.reset(layout), stock.reset(layout)
    assert mine.tobytes() == theirs.tobytes()
    act, successes = actions(kind, stock), 0
    for step in range(steps):
        action = act(theirs, step)
        theirs, success = stock.step(action)
        mine, found = fast.step(action)
        assert mine.tobytes() == theirs.tobytes(), f"{task}, {kind}: observations part in step {step + 1}"
        assert found == success, f"{task}, {kind}: successes part in step {step + 1}"
        successes += success
        if step % 10 == 0:
            assert fast.reward == stock.reward
    assert fast.data.qpos.tobytes() == stock.env.sim.data.qpos.tobytes()
    assert fast.data.qvel.tobytes() == stock.env.sim.data.qvel.tobytes()
    return successes


@every_task
def test_some_steps_are_stocks(task: str) -> None:
    assert_same(task, "random", SUITE.layouts(task, "test")[0], 20)


@pytest.mark.parametrize("task", QUICK)
def test_successes_are_stocks(task: str) -> None:
    assert assert_same(task, "expert", SUITE.layouts(task, "test")[2], 100) > 0


@pytest.mark.heavy
@pytest.mark.parametrize("task", SUITE.tasks)
def test_whole_episodes_are_stocks(task: str) -> None:
    layouts = SUITE.layouts(task, "test")
    for place, kind in enumerate(("random", "down")):
        assert_same(task, kind, layouts[place], SUITE.horizon)
    assert sum(assert_same(task, "expert", layout, SUITE.horizon) > 0 for layout in layouts[2:5]) > 0


@pytest.mark.heavy
@pytest.mark.parametrize("task", QUICK)
def test_steps_under_perturbed_dynamics_are_stocks(task: str) -> None:
    for simulator in pair(task):
        simulator.set_dynamics(Dynamics(1.5, 0.5, 2.0, 1.2))
    try:
        assert_same(task, "random", SUITE.layouts(task, "test")[0], 40)
    finally:
        for simulator in pair(task):
            simulator.set_dynamics(NOMINAL)


def test_steps_are_counted_and_the_reward_starts_at_0() -> None:
    _, fast = pair("lift-panda")
    before = STEPS.taken
    fast.reset(SUITE.layouts("lift-panda", "test")[0])
    assert fast.reward == 0.0
    fast.step(np.zeros(7))
    assert 0 < fast.reward < 1
    assert STEPS.taken == before + 1


def test_a_simulation_that_diverges_is_an_error_in_both() -> None:
    for simulator in pair("lift-panda"):
        simulator.reset(SUITE.layouts("lift-panda", "test")[0])
        simulator.env.sim.data.qvel[:] = 1e12
        with pytest.raises(EpisodeError, match="the simulation diverged in step 1"):
            simulator.step(np.zeros(7))
        obs = simulator.reset(SUITE.layouts("lift-panda", "test")[0])
        assert np.isfinite(obs).all()


@every_task
def test_the_task_is_opened_by_the_fast_path(task: str) -> None:
    assert isinstance(ours.open_task(SUITE.task(task)), FastTask)


def test_the_benchmarks_limit_replays_the_very_episodes() -> None:
    import dataclasses

    work = Work(dataclasses.replace(SUITE, horizon=10), "lift-panda", mixture(SUITE.policy, 1), 1)
    limit = Limit(work)
    assert not limit.compiled
    assert limit.resets() is None
    assert limit.recorded.steps == 10
    for _ in range(2):
        assert 0 < limit.run().seconds < 10  # checks the last positions itself
