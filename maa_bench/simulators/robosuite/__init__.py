"""robosuite 1.5 (Zhu et al. 2020, ARISE Initiative): three tasks on six arms, driven by frozen layouts."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version

import numpy as np

from maa_bench.simulators import Float64
from maa_bench.simulators.robosuite.fast import FastTask, same_arithmetic
from maa_bench.simulators.robosuite.stock import StockTask, arm_of
from maa_bench.simulators.robosuite.upstream import CONTROL_HZ as CONTROL_HZ
from maa_bench.suite import LAYOUT_SETS, Task


def check_task(task: Task) -> None:
    """Refuse a task or an arm that is not there, without making an environment.

    Raises:
        SuiteError: the line gives the nearest right names.
    """
    arm_of(task)


def open_task(task: Task) -> StockTask:
    """The task's environment, made once and reset many times; by the fast path where there is one."""
    return FastTask(task) if has_fast_path(task) else StockTask(task)


def has_fast_path(task: Task) -> bool:
    """Whether control steps are compiled on this machine, with stock's very bytes: for all tasks or for none.

    Raises:
        SuiteError: no task of this simulator's.
    """
    arm_of(task)
    return same_arithmetic()


def open_stock(task: Task) -> StockTask:
    """The task by robosuite's own `step`."""
    return StockTask(task)


def draw_layouts(task: Task, layout_set: str, count: int) -> Float64:
    """Initial states as robosuite draws them: (count, layout_dim) float64.

    Joint positions of the arm (rad; its initial ones and gaussian noise of 0.02), then position (m) and quaternion
    (scalar first) of every object, from the task's own placement sampler. Layout k of a set depends on the set and on k
    alone, and objects lie at the same places for all arms.
    """
    stock = _drawn_from(task.name, task.env, arm_of(task))
    layouts = []
    for k in range(count):
        place = 20240715, LAYOUT_SETS.index(layout_set), k
        stock.sampler.rng = np.random.default_rng([*place, 0])
        noise = np.random.default_rng([*place, 1]).standard_normal(len(stock.start)) * stock.noise
        poses = [np.concatenate([pos, quat]) for pos, quat, _ in stock.sampler.sample().values()]
        layouts.append(np.concatenate([stock.start + noise, *poses]))
    return np.array(layouts, np.float64)


@lru_cache(maxsize=1)  # the sets of a task are drawn one after the other
def _drawn_from(name: str, env: str, arm: str) -> StockTask:
    return StockTask(Task(name, env, {"arm": arm}))


def versions() -> dict[str, str]:
    """The two packages that decide observations and successes."""
    return {name: version(name) for name in ("mujoco", "robosuite")}
