"""Meta-World 3 (Yu et al. 2019; Farama Foundation), its stock environments driven by frozen layouts."""

from __future__ import annotations

import pickle
from importlib.metadata import version

import numpy as np

from maa_bench.simulators import Float64
from maa_bench.simulators.metaworld.fast import FastTask, same_arithmetic
from maa_bench.simulators.metaworld.stock import StockTask
from maa_bench.simulators.metaworld.stock import check_task as check_task
from maa_bench.simulators.metaworld.tasks import FAST_TASKS
from maa_bench.suite import Task

CONTROL_HZ = 80
"""A control step is five physics steps of 2.5 ms."""


def open_task(task: Task) -> StockTask:
    """The task's environment, made once and reset many times; by the fast path where there is one."""
    return FastTask(task) if has_fast_path(task) else StockTask(task)


def has_fast_path(task: Task) -> bool:
    """Whether flat policies run in the compiled loop on this machine, with stock's very bytes."""
    return task.env in FAST_TASKS and same_arithmetic()


def open_stock(task: Task) -> StockTask:
    """The task by Meta-World's own `step`."""
    return StockTask(task)


_LAYOUT_SEEDS = {"train": 42, "select": 43, "test": 44}


def draw_layouts(task: Task, layout_set: str, count: int) -> Float64:
    """The first `count` (at most 50) layouts that Meta-World's own benchmark draws: (count, 3 or 6) float64.

    The train set is its customary `MT1(task, seed=42)`; select and test are its draws for seeds 43 and 44, so all
    three follow the same distribution and share no layout.
    """
    import metaworld

    tasks = metaworld.MT1(task.env, seed=_LAYOUT_SEEDS[layout_set]).train_tasks
    # Meta-World keeps its layouts pickled inside this very process; no file is read.
    return np.array([pickle.loads(t.data)["rand_vec"] for t in tasks[:count]], dtype=np.float64)


def versions() -> dict[str, str]:
    """The two packages that decide observations and successes."""
    return {name: version(name) for name in ("mujoco", "metaworld")}
