"""A whole Meta-World episode in one compiled loop: policy, mocap control, physics, observation, success.

Stock `env.step` spends about half of its time outside physics (string look-ups, rewards, scipy rotations); this loop
makes the same calls to the same libmujoco (five `mj_step`, one `mj_forward`) on the same `mjData`, and computes only
what the observation and the success need, in the same order of floating-point operations.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from maa_bench.compiled import njit
from maa_bench.forward import action_row
from maa_bench.policy import Float32
from maa_bench.simulators.metaworld.success import UNSURE, YES, norm3, succeeds
from maa_bench.simulators.mujoco_calls import call

Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

SUBSTEPS = 5
NEEDS_STOCK = -2
"""Status of an episode that stock must roll: a rotation that scipy would first make orthogonal, or a success that
hangs on what this loop does not know."""

BAD_ACTION = -3
"""Status of an episode that ended before a step whose action is not finite."""

UNSTABLE = -4
"""Status of an episode that ended with a step in which the simulation became unstable."""


@njit
def quaternion_of(m: Float64, out: Float64) -> bool:
    """scipy's `Rotation.from_matrix(m).as_quat()` (x, y, z, w) of a flat (9,) matrix.

    Returns False where scipy would first replace the matrix by the nearest orthogonal one.
    """
    for i in range(3):
        for j in range(3):
            dot = m[3 * i] * m[3 * j] + m[3 * i + 1] * m[3 * j + 1] + m[3 * i + 2] * m[3 * j + 2]
            # Tighter than scipy's tolerance (1e-12): rotations of the simulation stay near 1e-15.
            if not abs(dot - (1.0 if i == j else 0.0)) < 5e-13:
                return False
    trace = m[0] + m[4] + m[8]
    choice, largest = 0, m[0]
    if m[4] > largest:
        choice, largest = 1, m[4]
    if m[8] > largest:
        choice, largest = 2, m[8]
    if trace > largest:
        choice = 3
    if choice == 3:
        out[0] = m[7] - m[5]
        out[1] = m[2] - m[6]
        out[2] = m[3] - m[1]
        out[3] = 1.0 + trace
    else:
        i = choice
        j = (i + 1) % 3
        k = (j + 1) % 3
        out[i] = 1.0 - trace + 2.0 * m[3 * i + i]
        out[j] = m[3 * j + i] + m[3 * i + j]
        out[k] = m[3 * k + i] + m[3 * i + k]
        out[3] = m[3 * k + j] - m[3 * j + k]
    length = math.sqrt(out[0] * out[0] + out[1] * out[1] + out[2] * out[2] + out[3] * out[3])
    for i in range(4):
        out[i] /= length
    return True


@njit
def _clip(x: float, low: float, high: float) -> float:
    """As np.clip: NaN stays NaN."""
    if x < low:
        return low
    if x > high:
        return high
    return x


@njit
def observe(
    hand: Float64,
    claws: Float64,
    position: Float64,
    orientation: Float64,
    joint: Float64,
    offset: Float64,
    second_position: Float64,
    second_orientation: Float64,
    second_offset: Float64,
    flags: Int64,
    out: Float64,
) -> bool:
    """Write the current half of an observation (18,): hand, gripper opening, positions and orientations of objects.

    `claws` is (2, 3): right and left. `flags`: has offset, is dial, orientation kind (0 constant or body, 1 matrix),
    has a second object, which has an offset. Returns False if the orientation needs stock.
    """
    for i in range(3):
        out[i] = hand[i]
        out[4 + i] = position[i]
    opening = norm3(claws[0, 0] - claws[1, 0], claws[0, 1] - claws[1, 1], claws[0, 2] - claws[1, 2])
    out[3] = _clip(opening / 0.1, 0.0, 1.0)
    if flags[0] == 1:
        for i in range(3):
            out[4 + i] += offset[i]
    if flags[1] == 1:
        out[4] += math.sin(joint[0]) * 0.05
        out[5] += -math.cos(joint[0]) * 0.05
        out[6] += 0.0 * 0.05
    if flags[3] == 1:
        for i in range(3):
            out[11 + i] = second_position[i]
            if flags[4] == 1:
                out[11 + i] += second_offset[i]
        for i in range(4):
            out[14 + i] = second_orientation[i]
    if flags[2] == 1:
        return quaternion_of(orientation, out[7:11])
    for i in range(4):
        out[7 + i] = orientation[i]
    return True


@njit
def episode(
    mj: Int64,
    mocap_pos: Float64,
    mocap_quat: Float64,
    ctrl: Float64,
    unstable: Int32,
    hand: Float64,
    right_claw: Float64,
    left_claw: Float64,
    right_finger: Float64,
    left_finger: Float64,
    position: Float64,
    orientation: Float64,
    joint: Float64,
    marker: Float64,
    second_position: Float64,
    second_orientation: Float64,
    offset: Float64,
    second_offset: Float64,
    flags: Int64,
    rule: Float64,
    target: Float64,
    limits: Float64,
    bounds: Float64,
    first_obs: Float64,
    packed: Float32,
    sizes: Int64,
    codes: Int64,
    horizon: int,
    after: int,
    least: int,
    trace_obs: Float64,
    trace_actions: Float32,
) -> tuple[int, int]:
    """One episode from the current state of `mjData`, which the caller has just reset.

    Args:
        mj: addresses of mj_step, mj_forward, the model and the data.
        mocap_pos, mocap_quat, ctrl, unstable, hand, ..., second_orientation: views into mjData, or constants;
            `unstable` counts the warnings after which MuJoCo resets a simulation.
        offset, second_offset, flags: see `observe`.
        rule: see `succeeds`; its last entry is the action scale.
        target: (3,) the goal.
        limits: (2, 3) of the mocap body. bounds: (2, 39) of the observation.
        first_obs: (39,) observation of the reset.
        packed, sizes, codes: the policy (see `maa_bench.forward`).
        horizon: steps at most.
        after, least: the episode ends `after` steps after the first success, but not before `least` steps.
        trace_obs, trace_actions: filled step by step as far as they reach ((0, ...) to keep nothing).

    Returns:
        (first success step, -1 if none, or NEEDS_STOCK, BAD_ACTION, UNSTABLE; the step that was reached).
    """
    obs = first_obs.copy()
    obs32 = np.empty(39, np.float32)
    previous = first_obs[:18].copy()
    current = np.zeros(18)
    a = np.empty(sizes.max(), np.float32)
    b = np.empty(sizes.max(), np.float32)
    action = np.empty(4, np.float32)
    claws = np.empty((2, 3))
    point = np.empty(3)
    fingers = np.empty(3)
    scale = np.float32(rule[-1])
    one = np.float32(1.0)
    first = -1
    if len(trace_obs):
        trace_obs[0] = obs
    for step in range(1, horizon + 1):
        for i in range(39):
            obs32[i] = obs[i]
        action_row(packed, sizes, codes, obs32, a, b, action)
        for i in range(4):
            if not math.isfinite(action[i]):
                return BAD_ACTION, step
        for i in range(3):
            # float32 as in stock: the action is, and numpy keeps it so when it multiplies by the scale.
            delta = action[i]
            if delta < -one:
                delta = -one
            elif delta > one:
                delta = one
            mocap_pos[i] = _clip(mocap_pos[i] + np.float64(np.float32(delta * scale)), limits[0, i], limits[1, i])
        mocap_quat[0] = 1.0
        mocap_quat[1] = 0.0
        mocap_quat[2] = 1.0
        mocap_quat[3] = 0.0
        ctrl[0] = action[3]
        ctrl[1] = -action[3]
        for _ in range(SUBSTEPS):
            call(mj[0], (mj[2], mj[3]))
        call(mj[1], (mj[2], mj[3]))
        for i in range(len(unstable)):
            if unstable[i] > 0:
                return UNSTABLE, step
        for i in range(3):
            claws[0, i] = right_claw[i]
            claws[1, i] = left_claw[i]
        if not observe(
            hand,
            claws,
            position,
            orientation,
            joint,
            offset,
            second_position,
            second_orientation,
            second_offset,
            flags,
            current,
        ):
            return NEEDS_STOCK, step
        for i in range(18):
            obs[i] = _clip(current[i], bounds[0, i], bounds[1, i])
            obs[18 + i] = _clip(previous[i], bounds[0, 18 + i], bounds[1, 18 + i])
            previous[i] = current[i]
        for i in range(3):
            obs[36 + i] = _clip(target[i], bounds[0, 36 + i], bounds[1, 36 + i])
        if step < len(trace_obs):
            trace_obs[step] = obs
        if step <= len(trace_actions):
            trace_actions[step - 1] = action
        if first < 0:
            for i in range(3):
                fingers[i] = (right_finger[i] + left_finger[i]) / 2.0
            success = succeeds(rule, obs, fingers, marker, joint[0], target, point)
            if success == UNSURE:
                return NEEDS_STOCK, step
            if success == YES:
                first = step
        if first > 0 and step >= first + after and step >= least:
            return first, step
    return first, horizon
