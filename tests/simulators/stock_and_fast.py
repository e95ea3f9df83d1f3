"""A task of Meta-World opened twice, in stock and in the compiled loop, and episodes that must be the same in both."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from maa_bench.forward import PackedPolicy
from maa_bench.policy import initial_params
from maa_bench.simulators import Trajectory, step_trajectory
from maa_bench.simulators.metaworld.fast import FastTask
from maa_bench.simulators.metaworld.stock import StockTask
from maa_bench.suite import load_suite

SUITE = load_suite("metaworld-v2")
"""All 50 tasks; those of metaworld-v1 have the layouts that they have there."""

OLD = tuple(load_suite("metaworld-v1").tasks)
"""The 18 tasks of metaworld-v1."""

NEW = tuple(task for task in SUITE.tasks if task not in OLD)


@cache
def stock(task: str) -> StockTask:
    """A task as Meta-World has it. It is shared: leave it as a reset would."""
    return StockTask(SUITE.task(task))


@cache
def fast(task: str) -> FastTask:
    """The same task with the compiled loop. It is shared: leave it as a reset would."""
    return FastTask(SUITE.task(task))


def untrained(seed: int, scale: float = 1.0) -> PackedPolicy:
    """A policy of random weights; a large scale makes it push with all force."""
    rng = np.random.default_rng(seed)
    return PackedPolicy(SUITE.policy, (scale * initial_params(SUITE.policy, rng)).astype(np.float32))


def assert_same(task: str, policy: PackedPolicy, layout: Any, horizon: int) -> Trajectory:
    """Whole episodes, also beyond the first success, have the same bytes in both; stock's is returned."""
    expected = step_trajectory(stock(task), policy, layout, horizon, horizon, horizon)
    actual = fast(task).trajectory(policy, layout, horizon, horizon, horizon)
    assert actual.observations.shape == (horizon + 1, 39)
    steps = (actual.observations.view(np.int64) != expected.observations.view(np.int64)).any(axis=1)
    assert not steps.any(), f"{task}: observations part at step {int(np.argmax(steps))}"
    assert actual.actions.tobytes() == expected.actions.tobytes()
    assert actual.first_success == expected.first_success
    found, _ = fast(task).first_success(policy, layout, horizon)
    assert found == expected.first_success, "early stop flips nothing"
    return expected
