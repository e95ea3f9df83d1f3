"""The physics limit is that of the very same episodes, and the naive loop runs on the same layouts."""

from __future__ import annotations

import copy
import dataclasses
from functools import cache

import mujoco
import numpy as np
import pytest

from maa_bench.suite import SuiteError, load_suite

pytest.importorskip("metaworld")

from maa_bench.bench import PARTS, mixture
from maa_bench.bench.limit import Limit, limit_of, no_limit
from maa_bench.bench.ways import Naive, Work, part_of
from maa_bench.execution.local import LocalExecutor
from maa_bench.policy import act
from maa_bench.simulators import simulator_of
from maa_bench.simulators.metaworld.naive import NaiveLoop, torch_policy
from maa_bench.simulators.metaworld.physics import ActedRecording, Replay, reset_times
from maa_bench.simulators.metaworld.stock import StockTask
from maa_bench.simulators.replay import ReplayMismatchError

pytestmark = [pytest.mark.simulator, pytest.mark.filterwarnings("ignore::UserWarning:gymnasium")]

SUITE = load_suite("metaworld-v1")
TASKS = ("door-lock", "plate-slide")
HORIZON = 120


def work(task: str, policies: int = 2) -> Work:
    return Work(dataclasses.replace(SUITE, horizon=HORIZON), task, mixture(SUITE.policy, policies), 1)


@cache
def recorded(task: str, policy: int) -> tuple[Replay, ActedRecording]:
    replay, some = Replay(StockTask(SUITE.task(task))), work(task)
    return replay, replay.record(some.packed[policy], some.layouts[0], HORIZON)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("policy", [0, 1])
def test_the_inputs_of_an_episode_are_its_physics(task: str, policy: int) -> None:
    """Replayed by MuJoCo's own Python binding, and by the compiled loop, which checks itself."""
    replay, recording = recorded(task, policy)
    model = replay.stock.env.model
    data = copy.copy(recording.start.data)
    recording.start.restore(model, replay.stock.env.data)
    for row in recording.inputs:
        data.mocap_pos[0], data.mocap_quat[0], data.ctrl[:] = row[:3], row[3:7], row[7:]
        mujoco.mj_step(model, data, nstep=5)
        mujoco.mj_forward(model, data)
    assert data.qpos.tobytes() == recording.final_qpos.tobytes()
    for _ in range(2):
        assert replay.seconds(recording) > 0
        assert replay.seconds(recording, work(task).packed[policy]) > 0


@pytest.mark.parametrize("task", TASKS)
def test_the_recorded_episode_is_the_evaluated_one(task: str) -> None:
    some = work(task)
    simulator = simulator_of(SUITE).open_task(SUITE.task(task))
    for policy in (0, 1):
        _, recording = recorded(task, policy)
        expected = simulator.first_success(some.packed[policy], some.layouts[0], HORIZON)
        assert (recording.first_success, len(recording.inputs)) == expected


def test_a_replay_of_something_else_is_noticed() -> None:
    replay, recording = recorded("door-lock", 1)
    inputs = recording.inputs.copy()
    inputs[len(inputs) // 2, 0] += 1e-9
    with pytest.raises(ReplayMismatchError, match="ended elsewhere"):
        replay.seconds(dataclasses.replace(recording, inputs=inputs))
    with pytest.raises(ReplayMismatchError, match="ended elsewhere"):
        replay.seconds(dataclasses.replace(recording, inputs=recording.inputs[:-1]))
    with pytest.raises(ReplayMismatchError, match="not the recorded one"):
        replay.seconds(recording, work("door-lock").packed[0])


@pytest.mark.parametrize("task", TASKS)
def test_the_naive_loop_serves_our_layouts_in_any_order(task: str) -> None:
    layouts = SUITE.layouts(task, "test")[:3]
    naive, ours = NaiveLoop(SUITE.task(task), layouts), simulator_of(SUITE).open_task(SUITE.task(task))
    for i in (2, 0, 1, 0):
        assert naive.reset(i).tobytes() == ours.reset(layouts[i]).tobytes()
    naive.close()
    with pytest.raises(SuiteError, match="none of MT1's"):
        NaiveLoop(SUITE.task(task), layouts + 1e-3)


def test_the_torch_policy_acts_as_ours_does() -> None:
    import torch

    policies = mixture(SUITE.policy, 2)
    observations = np.random.default_rng(0).standard_normal((2, SUITE.policy.obs_dim))
    expected = act(SUITE.policy, policies.params, observations)
    for params, obs, action in zip(policies.params, observations, expected, strict=True):
        with torch.no_grad():
            found = torch_policy(SUITE.policy, params)(torch.tensor(obs, dtype=torch.float32)[None])[0].numpy()
        np.testing.assert_allclose(found, action, atol=1e-5)


def test_the_naive_loop_takes_the_steps_that_it_says() -> None:
    some = work("door-lock")
    way = Naive(some)
    lap = way.run()
    steps = np.where(lap.first_success > 0, lap.first_success, HORIZON)
    assert lap.steps == steps.sum()
    way.close()


def test_resets_of_new_layouts_contain_their_physics() -> None:
    task, some = SUITE.task("door-lock"), work("door-lock")
    ours = simulator_of(SUITE).open_task(task)
    found = reset_times(task, ours, some.packed[0], SUITE.layouts("door-lock", "train")[:4])
    assert 0 < found.physics < found.stock
    assert found.later > 0
    assert found.first > 0


def test_the_parts_of_a_step_are_all_of_them() -> None:
    limit = Limit(work("door-lock"))
    assert limit.compiled
    with LocalExecutor(1) as one:
        limit.time_parts(one)
    parts = limit.parts()
    assert tuple(parts) == PARTS
    assert max(parts, key=lambda name: parts[name]) == "physics"
    lap = limit.run()
    assert lap.first_success.tobytes() == limit.recorded.first_success.tobytes()
    assert lap.steps == limit.recorded.steps


def test_without_the_fast_path_the_limit_stays_and_has_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator_of(SUITE), "has_fast_path", lambda task: False)
    limit = limit_of(work("door-lock", policies=1))
    assert limit is not None
    assert not limit.compiled
    assert limit.run().seconds > 0


def test_robosuites_limit_needs_its_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("robosuite")
    suite = load_suite("robosuite-v1")
    some, robosuite = Work(suite, "lift-panda", mixture(suite.policy, 1), 1), simulator_of(suite)
    monkeypatch.setattr(robosuite, "has_fast_path", lambda task: True)
    assert no_limit(some) == ""
    monkeypatch.setattr(robosuite, "has_fast_path", lambda task: False)
    assert limit_of(some) is None
    assert "the compiled loop is off" in no_limit(some)
    assert part_of(suite, "naive") is None
