"""One control step of robosuite in compiled code: 25 times `mj_step1`, operational space control, `mj_step2`.

robosuite's own loop spends five sixths of its time around the physics: it looks names up, computes each Jacobian
three times, allocates, updates sensors. Here the same calls go to the same libmujoco, BLAS and LAPACK (scipy's, through
which numba, and with it robosuite, does its linear algebra), with the same arguments and in the same order, on memory
that is allocated once: torques keep every bit. The tests hold whole episodes against robosuite's `step`.

The formulas are those of robosuite 1.5.2 (`controllers/parts/arm/osc.py`, `utils/control_utils.py`) for OSC_POSE with
fixed gains, position and orientation uncoupled, after Khatib 1987.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench.compiled import njit
from maa_bench.simulators.mujoco_calls import call

Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

NULLSPACE_GAIN = 10.0
"""`joint_kp` of robosuite's `nullspace_torques`."""
CUTOFF = 1e-15
"""`rcond` of `numpy.linalg.pinv` as numba has it."""

DONE, SINGULAR = 0, 1
"""What came of a control step: all substeps, or a matrix that stock would raise an error for."""


@njit
def _pseudo_inverse(at: Int64, status: Int32, s: Float64, vt: Float64) -> bool:
    """Moore-Penrose inverse as `numpy.linalg.pinv` is compiled by numba: from `dgesdd`, by one `dgemm`.

    Args:
        at: addresses of functions and arguments (`Memory._svd`), the matrix (n, n) among them, which is destroyed.
        status: what LAPACK returns, by `Memory`: 1 the number of singular values that count, 2 of `dgesdd`.
        s, vt: (n,) and (n, n) scratch.

    Returns whether `dgesdd` converged; the inverse is where `at` says.
    """
    n = len(s)
    call(at[0], (at[2], at[4], at[4], at[6], at[4], at[7], at[8], at[4], at[9], at[4], at[10], at[11], at[12], at[13]))
    if status[2] != 0:
        return False
    cut, last = s[0] * CUTOFF, 0
    for k in range(n):
        if s[k] > cut:
            s[k] = 1.0 / s[k]
            last = k
    status[1] = last + 1
    for i in range(n):
        for j in range(last + 1):
            vt[i, j] = vt[i, j] * s[j]
    call(at[1], (at[3], at[3], at[4], at[4], at[5], at[14], at[9], at[4], at[8], at[4], at[15], at[16], at[4]))
    return True


@njit
def _controller(arm: Any, state: Any, scratch: Any, goal: Any, held: int) -> bool:
    """Torques of the arm, as stock's `run_controller`; False where a matrix has no inverse. See `control_step`."""
    at, at_6, at_3, index, gains, _, _ = arm
    qpos, qvel, bias, _, ref_pos, ref_mat = state
    jacobians, full, square, wide, inverses, status, torques = scratch
    goal_pos, goal_ori, start, _ = goal
    n = len(start)
    jac_p, jac_r, base_p, base_r = jacobians
    mass, inverse, null = square
    jac, jac_pos, jac_ori, left, left_3, right, right_2 = wide
    product_6, copy_6, s_6, vt_6, lambda_6, product_3, copy_3, s_3, vt_3, lambda_pos, lambda_ori = inverses
    call(at[2], (at[4], at[5], at[8], at[9], at[6]))
    call(at[2], (at[4], at[5], at[10], at[11], at[7]))
    velocity, base_velocity = np.dot(jac_p, qvel), np.dot(base_p, qvel)
    turning, base_turning = np.dot(jac_r, qvel), np.dot(base_r, qvel)
    if held == 0:
        for j in range(n):
            column = index[1, j]
            for i in range(3):
                jac_pos[i, j] = jac[i, j] = jac_p[i, column]
                jac_ori[i, j] = jac[3 + i, j] = jac_r[i, column]
        call(at[3], (at[4], at[12], at[13]))
        for i in range(n):
            for j in range(n):
                mass[i, j] = full[index[1, i], index[1, j]]
    inverse[:] = mass

    force, torque, wrench = np.empty(3), np.empty(3), np.empty(6)
    turn = np.zeros(3)
    for column in range(3):
        a0, a1, a2 = ref_mat[column], ref_mat[3 + column], ref_mat[6 + column]
        b0, b1, b2 = goal_ori[0, column], goal_ori[1, column], goal_ori[2, column]
        if column == 0:
            turn[0], turn[1], turn[2] = a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0
        else:
            turn[0] += a1 * b2 - a2 * b1
            turn[1] += a2 * b0 - a0 * b2
            turn[2] += a0 * b1 - a1 * b0
    for i in range(3):
        force[i] = (goal_pos[i] - ref_pos[i]) * gains[0, i] + -(velocity[i] - base_velocity[i]) * gains[1, i]
        torque[i] = 0.5 * turn[i] * gains[0, 3 + i] + -(turning[i] - base_turning[i]) * gains[1, 3 + i]

    call(at[14], (at[16], at[16], at[17], at[16], at[18], at[19]))
    if status[0] != 0:
        return False
    call(at[15], (at[16], at[17], at[16], at[18], at[20], at[21], at[19]))
    if status[0] != 0:
        return False
    np.dot(jac, inverse, left)
    np.dot(left, jac.T, product_6)
    if not math.isfinite(product_6.sum()):
        return False
    copy_6[:] = product_6
    if not _pseudo_inverse(at_6, status, s_6, vt_6):
        return False
    np.dot(jac_pos, inverse, left_3)
    np.dot(left_3, jac_pos.T, product_3)
    copy_3[:] = product_3
    if not _pseudo_inverse(at_3[0], status, s_3, vt_3):
        return False
    np.dot(jac_ori, inverse, left_3)
    np.dot(left_3, jac_ori.T, product_3)
    copy_3[:] = product_3
    if not _pseudo_inverse(at_3[1], status, s_3, vt_3):
        return False
    np.dot(inverse, jac.T, right)
    np.dot(right, lambda_6, right_2)
    np.dot(right_2, jac, null)
    for i in range(n):
        for j in range(n):
            null[i, j] = (1.0 if i == j else 0.0) - null[i, j]

    wrench[:3] = np.dot(lambda_pos, force)
    wrench[3:] = np.dot(lambda_ori, torque)
    pull = np.empty(n)
    damping = math.sqrt(NULLSPACE_GAIN) * 2.0
    for j in range(n):
        pull[j] = NULLSPACE_GAIN * (start[j] - qpos[index[0, j]]) - damping * qvel[index[1, j]]
    pull = np.dot(null.T, np.dot(mass, pull))
    push = np.dot(jac.T, wrench)
    for j in range(n):
        torques[j] = (push[j] + bias[index[1, j]]) + pull[j]
    return True


@njit
def control_step(arm: Any, state: Any, scratch: Any, goal: Any, held: int, substeps: int, trace: Float64) -> int:
    """All substeps of a control step whose first `mj_step1` was made: DONE or SINGULAR.

    The first four arguments are tuples (plain ones: numba looks at the types of others in Python, at every call).

    Args:
        arm: what stays the same.
            at: addresses: 0 mj_step1, 1 mj_step2, 2 mj_jacSite, 3 mj_fullM, 4 model, 5 data, 6 grip site, 7 base site,
                8-11 memory of the four Jacobians, 12 memory of the full mass matrix, 13 qM, 14 dgetrf, 15 dgetri,
                16-21 their arguments.
            at_6, at_3: for `_pseudo_inverse` of 6 x 6 and 3 x 3 matrices.
            index: (3, n) addresses of the arm's joints in qpos and qvel, of its motors in ctrl.
            gains: (2, 6) stiffness and damping.
            limits: (2, n) least and greatest torque of the motors.
            servos: addresses of the gripper's in ctrl.
        state: views of it: qpos, qvel, bias, ctrl, and position and matrix of the grip site.
        scratch: memory to work on.
            jacobians: four (3, nv): grip site's linear and angular, base site's linear and angular.
            full: (nv, nv) mass matrix of the model.
            square: mass matrix and its inverse (n, n), column by column; null space (n, n), row by row.
            wide: (6, n), (3, n), (3, n) Jacobians of the arm; (6, n) and (3, n) scratch; (n, 6), (n, 6) scratch.
            inverses: 6 x 6 and 3 x 3: product (row by row), copy (column by column), s, vt, inverse (column by column).
            status: (3,) what `dgetrf` and `dgetri` return, rank of the last inverse, what `dgesdd` returns.
            torques: (n,).
        goal: position (3,) and matrix (3, 3) of the grip site, world frame; (n,) joint positions that the null space is
            drawn to; commands of the gripper.
        held: 1 if in the first substep the arm's mass matrix and Jacobians are not those of the state, but what is in
            `square` and `wide`.
        substeps: how many.
        trace: (substeps, n_controls) for the commands of every substep, or no row.
    """
    at, _, _, index, _, limits, servos = arm
    ctrl, torques, grip = state[3], scratch[-1], goal[-1]
    for substep in range(substeps):
        if substep > 0:
            call(at[0], (at[4], at[5]))
        if not _controller(arm, state, scratch, goal, held if substep == 0 else 0):
            return SINGULAR
        for j in range(len(torques)):
            ctrl[index[2, j]] = min(max(torques[j], limits[0, j]), limits[1, j])
        for j in range(len(servos)):
            ctrl[servos[j]] = grip[j]
        if len(trace) > 0:
            trace[substep] = ctrl
        call(at[1], (at[4], at[5]))
    return DONE


@njit
def replay(at: Int64, ctrl: Float64, commands: Float64) -> None:
    """The physics of recorded substeps and nothing else. `commands`: (n_substeps, n_controls)."""
    for row in range(len(commands)):
        call(at[0], (at[4], at[5]))
        ctrl[:] = commands[row]
        call(at[1], (at[4], at[5]))
