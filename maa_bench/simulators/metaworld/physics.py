"""The limit of speed: the physics of recorded episodes and nothing else, in a compiled loop.

Contacts decide how long a step of physics takes, so the limit must be that of the same trajectory: an episode is
recorded once with stock, and its inputs are replayed from the same reset state through five `mj_step` and one
`mj_forward` a control step. That the replay is the recorded episode is checked by the bytes of the last `qpos`.
"""

from __future__ import annotations

import copy
import ctypes
import time
from dataclasses import dataclass
from typing import Any

import mujoco
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from maa_bench.forward import PackedPolicy, action_row
from maa_bench.policy import Float32
from maa_bench.simulators import Float64, Resets, TaskSimulator
from maa_bench.simulators.metaworld.fast import libmujoco
from maa_bench.simulators.metaworld.kernel import SUBSTEPS, Int64, _call
from maa_bench.simulators.metaworld.stock import StockTask
from maa_bench.suite import Task


def _now_signature(typing_context: Any, function: Any, clock: Any) -> Any:
    """Nanoseconds of a clock, through the C function `int clock_gettime(int, struct timespec *)` at an address."""
    signature = types.int64(types.intp, types.int32)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        int32, int64 = ir.IntType(32), ir.IntType(64)
        timespec = cgutils.alloca_once(builder, ir.LiteralStructType([int64, int64]))
        kind = ir.FunctionType(int32, [int32, timespec.type])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1], timespec])
        seconds, rest = (builder.load(cgutils.gep_inbounds(builder, timespec, 0, i)) for i in range(2))
        return builder.add(builder.mul(seconds, int64(1_000_000_000)), rest)

    return signature, codegen


_now: Any = intrinsic(_now_signature)


@numba.njit(cache=True, nogil=True)
def _apply(mocap_pos: Float64, mocap_quat: Float64, ctrl: Float64, row: Float64) -> None:
    for i in range(3):
        mocap_pos[i] = row[i]
    for i in range(4):
        mocap_quat[i] = row[3 + i]
    for i in range(len(ctrl)):
        ctrl[i] = row[7 + i]


@numba.njit(cache=True, nogil=True)
def _physics(mj: Int64) -> None:
    for _ in range(SUBSTEPS):
        _call(mj[0], mj[2], mj[3])
    _call(mj[1], mj[2], mj[3])


@numba.njit(cache=True, nogil=True)
def _replay(mj: Int64, mocap_pos: Float64, mocap_quat: Float64, ctrl: Float64, inputs: Float64) -> None:
    for step in range(len(inputs)):
        _apply(mocap_pos, mocap_quat, ctrl, inputs[step])
        _physics(mj)


@numba.njit(cache=True, nogil=True)
def _replay_parts(
    clock: int,
    clock_id: int,
    mj: Int64,
    mocap_pos: Float64,
    mocap_quat: Float64,
    ctrl: Float64,
    inputs: Float64,
    observations: Float32,
    packed: Float32,
    sizes: Int64,
    codes: Int64,
) -> tuple[int, int]:
    """Nanoseconds of the policy's forward pass and of physics, each timed where it runs: after the other, which has
    pushed its numbers out of the caches."""
    a = np.empty(sizes.max(), np.float32)
    b = np.empty(sizes.max(), np.float32)
    action = np.empty(sizes[-1], np.float32)
    physics, forward = 0, 0
    for step in range(len(inputs)):
        started = _now(clock, clock_id)
        action_row(packed, sizes, codes, observations[step], a, b, action)
        acted = _now(clock, clock_id)
        _apply(mocap_pos, mocap_quat, ctrl, inputs[step])
        _physics(mj)
        forward += acted - started
        physics += _now(clock, clock_id) - acted
    return physics, forward


@numba.njit(cache=True, nogil=True)
def _clock_cost(clock: int, clock_id: int, calls: int) -> int:
    """Nanoseconds that one look at the clock adds to what it times."""
    started = _now(clock, clock_id)
    for _ in range(calls):
        _now(clock, clock_id)
    return (_now(clock, clock_id) - started) // (calls + 1)


@dataclass(frozen=True)
class Recording:
    """One episode as stock runs it.

    Attributes:
        data, body_pos, site_pos: the state after the reset.
        inputs: (steps, 7 + n_controls) float64: mocap position and quaternion and the controls of each control step.
        observations: (steps, 39) float32, what the policy saw before each step.
        final_qpos: positions after the last step.
        first_success: the step of the first success, or -1.
    """

    data: Any
    body_pos: Float64
    site_pos: Float64
    inputs: Float64
    observations: Float32
    final_qpos: Float64
    first_success: int


class ReplayMismatchError(Exception):
    """A replay did not end where the recorded episode did: what was timed is not that episode."""


class Replay:
    """Records episodes of one task and replays their physics."""

    def __init__(self, task: Task) -> None:
        self.stock = StockTask(task)
        model, data = self.stock.env.model, self.stock.env.data
        step, forward = (
            ctypes.cast(getattr(libmujoco(), name), ctypes.c_void_p).value for name in ("mj_step", "mj_forward")
        )
        self._mj = np.array([step, forward, model._address, data._address], dtype=np.int64)
        self._controls = data.mocap_pos[0], data.mocap_quat[0], data.ctrl
        self._clock: int = ctypes.cast(ctypes.CDLL(None).clock_gettime, ctypes.c_void_p).value or 0

    def record(self, policy: PackedPolicy, layout: Float64, horizon: int) -> Recording:
        """One episode in the plain stock loop, ended at the first success."""
        model, data = self.stock.env.model, self.stock.env.data
        obs = self.stock.reset(layout)
        start = copy.copy(data), model.body_pos.copy(), model.site_pos.copy()
        inputs: list[Float64] = []
        observations: list[Float32] = []
        first = -1
        while first < 0 and len(inputs) < horizon:
            observations.append(obs.astype(np.float32))
            obs, success = self.stock.step(policy.act(obs))
            inputs.append(np.concatenate(self._controls))
            if success:
                first = len(inputs)
        return Recording(*start, np.array(inputs), np.array(observations), data.qpos.copy(), first)

    def seconds(self, recording: Recording) -> float:
        """How long the episode's physics takes, without the reset.

        Raises:
            ReplayMismatchError: it was not the recorded episode.
        """
        self._restore(recording)
        started = time.perf_counter()
        _replay(self._mj, *self._controls, recording.inputs)
        seconds = time.perf_counter() - started
        self._check(recording)
        return seconds

    def parts(self, recording: Recording, policy: PackedPolicy) -> tuple[float, float]:
        """(seconds of physics, seconds of forward passes) of one replay in which both take turns.

        Processor time of this thread: what else the machine does meanwhile is not counted.

        Raises:
            ReplayMismatchError: it was not the recorded episode.
        """
        self._restore(recording)
        clock = self._clock, time.CLOCK_THREAD_CPUTIME_ID
        nanoseconds = _replay_parts(
            *clock, self._mj, *self._controls, recording.inputs, recording.observations,
            policy.packed, policy.sizes, policy.codes,
        )  # fmt: skip
        self._check(recording)
        looks = len(recording.inputs) * _clock_cost(*clock, 1000)
        return (nanoseconds[0] - looks) / 1e9, (nanoseconds[1] - looks) / 1e9

    def _restore(self, recording: Recording) -> None:
        model, data = self.stock.env.model, self.stock.env.data
        libmujoco().mj_copyData(data._address, model._address, recording.data._address)
        model.body_pos[:] = recording.body_pos
        model.site_pos[:] = recording.site_pos

    def _check(self, recording: Recording) -> None:
        if self.stock.env.data.qpos.tobytes() != recording.final_qpos.tobytes():
            raise ReplayMismatchError(f"the replayed physics of {len(recording.inputs)} steps ended elsewhere")


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
