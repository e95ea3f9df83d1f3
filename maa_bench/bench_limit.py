"""The physics of a task's episodes, alone and as a part of ours; Meta-World only."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import numpy as np

from maa_bench.bench import PARTS
from maa_bench.bench_ways import Lap, Ours, Work
from maa_bench.execution.local import LocalExecutor
from maa_bench.forward import PackedPolicy
from maa_bench.simulators import Float64, Resets, simulator_of
from maa_bench.simulators.metaworld.fast import FastTask
from maa_bench.simulators.metaworld.physics import Replay, reset_times

RESET_LAYOUTS = 10
IDLE_LAPS = 9


class Limit:
    """Records the episodes in the stock loop, and times their physics.

    Attributes:
        recorded: what came of the episodes in the stock loop.
        compiled: whether flat policies of this task run in the compiled loop, so that it has parts to time.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        task = work.suite.task(work.task)
        self._replay = Replay(task)
        started = time.perf_counter()
        self._recordings = [
            self._replay.record(work.packed[policy], work.layouts[layout], work.suite.horizon)
            for policy, layout in work.episodes
        ]
        first = np.array([r.first_success for r in self._recordings], np.int64).reshape(-1, work.n_layouts)
        steps = sum(len(r.inputs) for r in self._recordings)
        self.recorded = Lap(first, steps, time.perf_counter() - started)
        self._simulator = simulator_of(work.suite).open_task(task)
        self.compiled = isinstance(self._simulator, FastTask)
        # Compiled code is loaded now, and the layouts' first resets are done.
        self._replay.seconds(self._recordings[0])
        self._replay.parts(self._recordings[0], work.packed[0])
        for layout in work.layouts:
            self._seconds(work.packed[0], layout, 1)

    def run(self) -> Lap:
        """The physics of all episodes, without resets."""
        return replace(self.recorded, seconds=sum(self._replay.seconds(r) for r in self._recordings))

    def parts(self, executor: LocalExecutor) -> dict[str, float]:
        """Microseconds of processor time a step by `maa_bench.bench.PARTS`, with an executor of one worker.

        Physics and forward pass are timed inside a compiled loop, each in its place, and right after it the whole
        compiled episode and the reset before it (an episode of no step); what remains of the episode is the rest of
        the loop. Job and executor are timed, by the clock on the wall, on the same jobs with no layout to run.
        """
        rows = []
        for recording, (index, place) in zip(self._recordings, self._work.episodes, strict=True):
            policy, layout = self._work.packed[index], self._work.layouts[place]
            physics, forward = self._replay.parts(recording, policy)
            reset = self._seconds(policy, layout, 0)
            episode = self._seconds(policy, layout, self._work.suite.horizon)
            rows.append((physics, forward, episode - physics - forward - reset, reset))
        idle = Ours(replace(self._work, n_layouts=0), executor, 1)
        laps = [idle.run() for _ in range(IDLE_LAPS)]
        job, rest = median(lap.in_jobs for lap in laps), median(lap.seconds - lap.in_jobs for lap in laps)
        seconds = (*np.sum(rows, axis=0), job, rest)
        return {name: float(1e6 * x / self.recorded.steps) for name, x in zip(PARTS, seconds, strict=True)}

    def _seconds(self, policy: PackedPolicy, layout: Float64, horizon: int) -> float:
        started = time.thread_time()
        self._simulator.first_success(policy, layout, horizon)
        return time.thread_time() - started

    def resets(self) -> Resets:
        """Of layouts that no episode used."""
        work = self._work
        layouts = work.suite.layouts(work.task, "train")[:RESET_LAYOUTS]
        return reset_times(work.suite.task(work.task), self._simulator, work.packed[0], layouts)
