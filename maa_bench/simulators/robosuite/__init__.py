"""robosuite 1.5 (Zhu et al. 2020, ARISE Initiative): three tasks on six arms, driven by frozen layouts."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from maa_bench.simulators import Float64
from maa_bench.simulators.robosuite.stock import StockTask
from maa_bench.suite import LAYOUT_SETS, Task


def open_task(task: Task) -> StockTask:
    """The task's environment, made once and reset many times."""
    return StockTask(task)


def draw_layouts(task: Task, layout_set: str, count: int) -> Float64:
    """Initial states as robosuite draws them: (count, layout_dim) float64.

    Joint positions of the arm (rad; its initial ones and gaussian noise of 0.02), then position (m) and quaternion
    (scalar first) of every object, from the task's own placement sampler. Layout k of a set depends on the set and on k
    alone, and objects lie at the same places for all arms.
    """
    stock = StockTask(task)
    layouts = []
    for k in range(count):
        place = 20240715, LAYOUT_SETS.index(layout_set), k
        stock.sampler.rng = np.random.default_rng([*place, 0])
        noise = np.random.default_rng([*place, 1]).standard_normal(len(stock.start)) * stock.noise
        poses = [np.concatenate([pos, quat]) for pos, quat, _ in stock.sampler.sample().values()]
        layouts.append(np.concatenate([stock.start + noise, *poses]))
    return np.array(layouts, np.float64)


def versions() -> dict[str, str]:
    """The two packages that decide observations and successes."""
    return {name: version(name) for name in ("mujoco", "robosuite")}
