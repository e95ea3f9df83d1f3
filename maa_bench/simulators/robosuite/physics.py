"""The limit of speed: the physics of recorded episodes and nothing else, in a compiled loop.

An episode is run by the fast path and by stock in step, which must see the same; the commands of every substep are
kept, and replayed from the same reset state through `mj_step1` and `mj_step2`. That the replay is the recorded episode
is checked by the bytes of the last `qpos`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from maa_bench.forward import PackedPolicy
from maa_bench.simulators import Float64
from maa_bench.simulators.replay import Recording, ReplayMismatchError, Start
from maa_bench.simulators.robosuite.fast import FastTask
from maa_bench.simulators.robosuite.kernel import replay
from maa_bench.simulators.robosuite.stock import StockTask

NEEDS_FAST_PATH = True
"""The commands of the substeps are seen in the compiled control step alone."""

WHOLE_EPISODES = False
"""The fast path runs single control steps; a reset simulates nothing, so it is not timed."""


class Replay:
    """Records episodes of one task, and replays their physics.

    Args:
        task: the task by its fast path.
    """

    def __init__(self, task: FastTask) -> None:
        self.fast, self.stock = task, StockTask(task.task)

    def record(self, policy: PackedPolicy, layout: Float64, horizon: int) -> Recording:
        """One episode, ended at the first success; inputs (steps, 25, n_controls): the controls of each substep.

        Raises:
            ReplayMismatchError: stock saw something else.
        """
        model, data, memory = self.fast.model, self.fast.data, self.fast.memory
        obs = self.fast.reset(layout)
        self.stock.reset(layout)
        start = Start.of(model, data, ("body_pos", "body_quat"))
        inputs: list[Float64] = []
        first = -1
        while first < 0 and len(inputs) < horizon:
            action = policy.act(obs)
            theirs, their_success = self.stock.step(action)
            inputs.append(np.zeros((memory.substeps, memory.n_controls)))
            obs, success = self.fast.traced(action, inputs[-1])
            if obs.tobytes() != theirs.tobytes() or success != their_success:
                raise ReplayMismatchError(f"stock saw something else in step {len(inputs)}")
            if success:
                first = len(inputs)
        return Recording(start, np.array(inputs), data.qpos.copy(), first)

    def seconds(self, recording: Recording, clock: Callable[[], float] = time.perf_counter) -> float:
        """How long the episode's physics takes, without the reset.

        Raises:
            ReplayMismatchError: it was not the recorded episode.
        """
        model, data, memory = self.fast.model, self.fast.data, self.fast.memory
        recording.start.restore(model, data)
        commands = recording.inputs.reshape(-1, memory.n_controls)
        started = clock()
        replay(memory.at, data.ctrl, commands)
        seconds = clock() - started
        recording.check(data)
        return seconds
