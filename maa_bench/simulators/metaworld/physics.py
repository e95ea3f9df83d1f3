"""The limit of speed: the physics of recorded episodes and nothing else, in a compiled loop.

Contacts decide how long a step of physics takes, so the limit must be that of the same trajectory: an episode is
recorded once with stock, and its inputs are replayed from the same reset state through five `mj_step` and one
`mj_forward` a control step. That the replay is the recorded episode is checked by the bytes of the last `qpos`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from maa_bench.compiled import njit
from maa_bench.forward import PackedPolicy, action_row
from maa_bench.policy import Float32
from maa_bench.simulators import Float64, Resets, TaskSimulator
from maa_bench.simulators.metaworld.kernel import SUBSTEPS, Int64
from maa_bench.simulators.metaworld.resets import addresses
from maa_bench.simulators.metaworld.stock import StockTask
from maa_bench.simulators.mujoco_calls import call
from maa_bench.simulators.replay import Recording, ReplayMismatchError, Start
from maa_bench.suite import Task

NEEDS_FAST_PATH = False
"""Stock's own memory holds all that is recorded, with the fast path and without."""

WHOLE_EPISODES = True
"""The fast path runs whole episodes of flat policies."""


@njit
def _apply(mocap_pos: Float64, mocap_quat: Float64, ctrl: Float64, row: Float64) -> None:
    for i in range(3):
        mocap_pos[i] = row[i]
    for i in range(4):
        mocap_quat[i] = row[3 + i]
    for i in range(len(ctrl)):
        ctrl[i] = row[7 + i]


@njit
def _physics(mj: Int64) -> None:
    for _ in range(SUBSTEPS):
        call(mj[0], (mj[2], mj[3]))
    call(mj[1], (mj[2], mj[3]))


@njit
def _replay(mj: Int64, mocap_pos: Float64, mocap_quat: Float64, ctrl: Float64, inputs: Float64) -> None:
    for step in range(len(inputs)):
        _apply(mocap_pos, mocap_quat, ctrl, inputs[step])
        _physics(mj)


@njit
def _replay_acting(
    mj: Int64,
    mocap_pos: Float64,
    mocap_quat: Float64,
    ctrl: Float64,
    inputs: Float64,
    observations: Float32,
    packed: Float32,
    sizes: Int64,
    codes: Int64,
    actions: Float32,
) -> None:
    """The same with the policy's forward pass before each step, where physics has pushed it out of the caches."""
    a = np.empty(sizes.max(), np.float32)
    b = np.empty(sizes.max(), np.float32)
    for step in range(len(inputs)):
        action_row(packed, sizes, codes, observations[step], a, b, actions[step])
        _apply(mocap_pos, mocap_quat, ctrl, inputs[step])
        _physics(mj)


@dataclass(frozen=True)
class ActedRecording(Recording):
    """One episode as stock runs it; inputs (steps, 7 + n_controls): mocap position and quaternion, and the controls.

    Attributes:
        observations, actions: (steps, 39) and (steps, 4) float32, what the policy saw and did.
    """

    observations: Float32
    actions: Float32


class Replay:
    """Records episodes of one task in the plain loop of stock steps, and replays their physics.

    Args:
        stock: the task. With a fast path too, its physics runs in the very memory that the compiled episodes run in:
            where that lies can make a step a few percent faster or slower.
    """

    def __init__(self, stock: StockTask) -> None:
        self.stock = stock
        data = self.stock.env.data
        self._mj = addresses(self.stock.env)
        self._controls = data.mocap_pos[0], data.mocap_quat[0], data.ctrl

    def record(self, policy: PackedPolicy, layout: Float64, horizon: int) -> ActedRecording:
        """One episode in the plain stock loop, ended at the first success."""
        model, data = self.stock.env.model, self.stock.env.data
        obs = self.stock.reset(layout)
        start = Start.of(model, data, ("body_pos", "site_pos"))
        inputs: list[Float64] = []
        observations: list[Float32] = []
        actions: list[Float32] = []
        first = -1
        while first < 0 and len(inputs) < horizon:
            observations.append(obs.astype(np.float32))
            actions.append(policy.act(obs))
            obs, success = self.stock.step(actions[-1])
            inputs.append(np.concatenate(self._controls))
            if success:
                first = len(inputs)
        final = data.qpos.copy()
        return ActedRecording(start, np.array(inputs), final, first, np.array(observations), np.array(actions))

    def seconds(
        self,
        recording: ActedRecording,
        policy: PackedPolicy | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> float:
        """How long the episode's physics takes, without the reset; with a policy, its forward passes too.

        Raises:
            ReplayMismatchError: it was not the recorded episode.
        """
        recording.start.restore(self.stock.env.model, self.stock.env.data)
        actions = np.zeros_like(recording.actions)
        started = clock()
        if policy is None:
            _replay(self._mj, *self._controls, recording.inputs)
        else:
            _replay_acting(
                self._mj, *self._controls, recording.inputs, recording.observations,
                policy.packed, policy.sizes, policy.codes, actions,
            )  # fmt: skip
        seconds = clock() - started
        recording.check(self.stock.env.data)
        if policy is not None and actions.tobytes() != recording.actions.tobytes():
            raise ReplayMismatchError("the policy is not the recorded one")
        return seconds


def reset_times(task: Task, ours: TaskSimulator, policy: PackedPolicy, layouts: Float64) -> Resets:
    """Seconds a reset, of processor time: stock's, the `mj_step`s inside it, and ours the first time and later.

    Args:
        task: the task.
        ours: its simulator, which has seen none of the layouts.
        policy: any; it takes no step.
        layouts: (n, layout_dim).
    """
    plain, timed = StockTask(task), StockTask(task)
    spent = 0.0

    def simulate(ctrl: Any, n_frames: int) -> None:
        """`MujocoEnv._step_mujoco_simulation`, its physics timed."""
        nonlocal spent
        timed.env.data.ctrl[:] = ctrl
        started = time.thread_time()
        mujoco.mj_step(timed.env.model, timed.env.data, nstep=n_frames)
        spent += time.thread_time() - started
        mujoco.mj_rnePostConstraint(timed.env.model, timed.env.data)

    timed.env._step_mujoco_simulation = simulate
    rows = []
    for layout in layouts:
        moments = [time.thread_time()]
        plain.reset(layout)
        moments.append(time.thread_time())
        for _ in range(2):
            ours.first_success(policy, layout, 0)
            moments.append(time.thread_time())
        spent = 0.0
        timed.reset(layout)
        stock, first, later = np.diff(moments)
        rows.append((stock, spent, first, later))
    return Resets(*(float(x) for x in np.median(rows, axis=0)))
