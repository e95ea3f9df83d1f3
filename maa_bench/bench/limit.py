"""The physics of a task's episodes, alone and as a part of ours, where a simulator can tell it apart.

Such a simulator has a module `physics`:

* `Replay`, a class: made from an opened task, it records episodes and replays what its physics engine did in them.
* `NEEDS_FAST_PATH`: whether only a task opened by the simulator's fast path can be recorded.
* `WHOLE_EPISODES`: whether that fast path runs whole episodes of flat policies in one compiled loop. Then
  `Replay.seconds` also takes a policy and times its forward passes, which tells what such an episode is made of.
* `reset_times`, a function: left out where a reset simulates nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench.bench import PARTS, mixture
from maa_bench.bench.ways import Lap, Ours, Work, part_of
from maa_bench.execution import Report
from maa_bench.execution.local import LocalExecutor
from maa_bench.forward import PackedPolicy
from maa_bench.simulators import Float64, Resets, simulator_of
from maa_bench.suite import load_suite

RESET_LAYOUTS = 10
IDLE_LAPS = 9


@dataclass(frozen=True)
class PhysicsJob:
    """The recorded physics of some work over and over, for a while: steps a second. One job a worker, at once, shows
    what the machine's cores give when they share no work and no memory; more than that nothing can scale."""

    suite: str
    task: str
    policies: int
    n_layouts: int
    seconds: float

    def __call__(self, report: Report) -> float:
        replay, recordings = _recorded(self.suite, self.task, self.policies, self.n_layouts)
        steps, busy = 0, 0.0
        while busy < self.seconds:
            for recording in recordings:
                busy += replay.seconds(recording)
                steps += len(recording.inputs)
        return steps / busy


@lru_cache(maxsize=1)
def _recorded(suite: str, task: str, policies: int, n_layouts: int) -> tuple[Any, list[Any]]:
    loaded = load_suite(suite)
    work = Work(loaded, task, mixture(loaded.policy, policies), n_layouts)
    physics: Any = part_of(loaded, "physics")
    replay = physics.Replay(simulator_of(loaded).open_task(loaded.task(task)))
    return replay, [replay.record(work.packed[i], work.layouts[k], loaded.horizon) for i, k in work.episodes]


def limit_of(work: Work) -> Limit | None:
    """The limit of some work; None where there is none."""
    return None if no_limit(work) else Limit(work)


def no_limit(work: Work) -> str:
    """Why there is no limit to hold some work against, to be printed; "" where there is one."""
    physics, simulator = part_of(work.suite, "physics"), work.suite.simulator
    if physics is None:
        return f"the simulator {simulator!r} has no physics engine that could run alone"
    if physics.NEEDS_FAST_PATH and not _has_fast_path(work):
        return f"on this machine the compiled loop is off, without which the physics of {simulator!r} cannot run alone"
    return ""


def _has_fast_path(work: Work) -> bool:
    has_fast_path = getattr(simulator_of(work.suite), "has_fast_path", None)
    return has_fast_path is not None and bool(has_fast_path(work.suite.task(work.task)))


def physics_at_once(work: Work, executor: LocalExecutor, seconds: float) -> float:
    """Steps a second of physics alone, in all of an executor's workers at once, added up."""
    job = PhysicsJob(work.suite.source, work.task, len(work.policies), work.n_layouts, seconds)
    rates: list[float] = []

    def finished(_: int, rate: float) -> tuple[()]:
        rates.append(rate)
        return ()

    executor.run([job] * executor.workers, finished)
    return sum(rates)


class Limit:
    """Records the episodes in the stock loop, and times their physics.

    Attributes:
        recorded: what came of the episodes in the stock loop.
        compiled: whether whole episodes of flat policies run in a compiled loop, so that it has parts to time.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._simulator = simulator_of(work.suite).open_task(work.suite.task(work.task))
        physics: Any = part_of(work.suite, "physics")
        self._replay = physics.Replay(self._simulator)
        started = time.perf_counter()
        self._recordings = [
            self._replay.record(work.packed[policy], work.layouts[layout], work.suite.horizon)
            for policy, layout in work.episodes
        ]
        first = np.array([r.first_success for r in self._recordings], np.int64).reshape(-1, work.n_layouts)
        steps = sum(len(r.inputs) for r in self._recordings)
        self.recorded = Lap(first, steps, time.perf_counter() - started)
        self.compiled = physics.WHOLE_EPISODES and _has_fast_path(work)
        # Compiled code is loaded now, and the layouts' first resets are done.
        self._replay.seconds(self._recordings[0])
        if self.compiled:
            self._replay.seconds(self._recordings[0], work.packed[0])
        for layout in work.layouts:
            self._seconds(work.packed[0], layout, 1)
        self._timed: list[npt.NDArray[np.float64]] = []
        self._idled: list[tuple[float, float]] = []

    def run(self) -> Lap:
        """The physics of all episodes, without resets."""
        return replace(self.recorded, seconds=sum(self._replay.seconds(r) for r in self._recordings))

    def time_parts(self, executor: LocalExecutor) -> None:
        """One more round of `parts`, with an executor of one worker."""
        rows = []
        for recording, (index, place) in zip(self._recordings, self._work.episodes, strict=True):
            policy, layout = self._work.packed[index], self._work.layouts[place]
            rows.append(
                (
                    self._replay.seconds(recording, clock=time.thread_time),
                    self._replay.seconds(recording, policy, time.thread_time),
                    self._seconds(policy, layout, self._work.suite.horizon),
                    self._seconds(policy, layout, 0),
                )
            )
        self._timed.append(np.array(rows))
        laps = [self._idle(executor) for _ in range(IDLE_LAPS)]
        self._idled += [(lap.in_jobs, lap.seconds - lap.in_jobs) for lap in laps]

    def parts(self) -> dict[str, float]:
        """Microseconds of processor time a step by `maa_bench.bench.PARTS`.

        Four compiled loops are timed in turn on each episode: its physics; physics and forward pass; the whole
        episode after its reset; the reset alone (an episode of no step). Their differences are the parts. Of all
        rounds the shortest time counts, as the work is the same to the last bit and what disturbs it only adds. Job
        and executor are timed by the clock on the wall, on the same jobs with no layout to run: their median.
        """
        physics, acting, episode, reset = np.min(self._timed, axis=0).sum(axis=0)
        idle = np.median(self._idled, axis=0)
        seconds = (physics, acting - physics, episode - acting - reset, reset, *idle)
        return {name: float(1e6 * x / self.recorded.steps) for name, x in zip(PARTS, seconds, strict=True)}

    def _idle(self, executor: LocalExecutor) -> Lap:
        return Ours(replace(self._work, n_layouts=0), executor, 1).run()

    def _seconds(self, policy: PackedPolicy, layout: Float64, horizon: int) -> float:
        started = time.thread_time()
        self._simulator.first_success(policy, layout, horizon)
        return time.thread_time() - started

    def resets(self) -> Resets | None:
        """Of layouts that no episode used; None where a reset simulates nothing."""
        work = self._work
        reset_times = getattr(part_of(work.suite, "physics"), "reset_times", None)
        if reset_times is None:
            return None
        layouts = work.suite.layouts(work.task, "train")[:RESET_LAYOUTS]
        task = work.suite.task(work.task)
        found: Resets = reset_times(task, self._simulator, work.packed[0], layouts)
        return found
