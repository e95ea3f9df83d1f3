"""What the compiled control step works on: addresses of C functions, memory that is allocated once, indices."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numba.extending import get_cython_function_address

from maa_bench.simulators.mujoco_calls import address_of
from maa_bench.simulators.robosuite.kernel import Float64, Int64


def _scipy(module: str, name: str) -> int:
    return int(get_cython_function_address(f"scipy.linalg.{module}", name))


def _int(value: int) -> Any:
    return np.array([value], np.int32)


def _address(array: Any) -> int:
    return int(array.ctypes.data)


class Memory:
    """Everything that the control steps of one environment need and that stays the same.

    Args:
        env: a robosuite environment whose resets keep its model.

    Attributes:
        arm, state, scratch: the first arguments of `control_step`; at: what `arm` begins with; substeps: its count.
        servos: addresses of the gripper's actuators in ctrl; n_controls: how many there are in all.
        held: what the first substep after a reset takes from the controller: pairs of an array and its name there.
    """

    def __init__(self, env: Any) -> None:
        model, data = env.sim.model._model, env.sim.data._data
        robot = env.robots[0]
        arm = robot.arms[0]
        controller = robot.part_controllers[arm]
        n, nv = len(controller.qvel_index), model.nv
        motors = robot._ref_actuators_indexes_dict[arm]
        base = env.sim.model.site_name2id(f"{controller.naming_prefix}{controller.part_name}_center")
        site = env.sim.model.site_name2id(controller.ref_name)
        self._kept: list[Any] = [env]  # whose addresses are used

        jacobians = tuple(np.zeros((3, nv)) for _ in range(4))
        full = np.zeros((nv, nv))
        mass, inverse = np.zeros((n, n), order="F"), np.zeros((n, n), order="F")
        status = np.zeros(3, np.int32)
        at_6, inverses_6 = self._svd(6, status)
        # The two 3 x 3 inverses share all memory but that of their results.
        at_3, inverses_3 = self._svd(3, status)
        other = np.zeros((3, 3), order="F")
        at_other = at_3.copy()
        at_other[16] = _address(other)
        size, pivots = _int(n), np.zeros(n, np.int32)
        work, lwork = self._inverse_work(n, inverse, pivots, status)
        at = [
            *map(address_of, ("mj_step1", "mj_step2", "mj_jacSite", "mj_fullM")),
            model._address, data._address, site, base, *map(_address, jacobians), _address(full), _address(data.qM),
            _scipy("cython_lapack", "dgetrf"), _scipy("cython_lapack", "dgetri"),
            *map(_address, (size, inverse, pivots, status, work, lwork)),
        ]  # fmt: skip
        self.at: Int64 = np.array(at, np.int64)
        self.n_controls = int(model.nu)
        self.substeps = int(env.control_timestep / env.model_timestep)
        index = np.array([controller.qpos_index, controller.qvel_index, motors], np.int64)
        gains = np.stack([controller.kp, controller.kd]).astype(np.float64)
        limits = np.ascontiguousarray(model.actuator_ctrlrange[motors].T)
        self.servos: Int64 = np.array(robot._ref_joint_gripper_actuator_indexes[arm], np.int64)
        self.arm = (self.at, at_6, np.stack([at_3, at_other]), index, gains, limits, self.servos)
        wide = tuple(np.zeros(shape) for shape in ((6, n), (3, n), (3, n), (6, n), (3, n), (n, 6), (n, 6)))
        names = "mass_matrix", "J_full", "J_pos", "J_ori"
        self.held: list[tuple[Float64, str]] = list(zip((mass, *wide[:3]), names, strict=True))
        self.ref_pos, self.ref_mat = data.site_xpos[site], data.site_xmat[site].reshape(3, 3)
        self.state = (data.qpos, data.qvel, data.qfrc_bias, data.ctrl, self.ref_pos, data.site_xmat[site])
        square, inverses = (mass, inverse, np.zeros((n, n))), (*inverses_6, *inverses_3, other)
        self.scratch = (jacobians, full, square, wide, inverses, status, np.zeros(n))
        self._kept += [size, pivots, work, lwork]

    def _svd(self, n: int, status: Any) -> tuple[Int64, tuple[Float64, ...]]:
        """Addresses for `_pseudo_inverse` of n x n matrices, and its (product, copy, s, vt, inverse).

        The addresses: 0 dgesdd, 1 dgemm, 2 and 3 the letters S and C, 4 n, 5 the rank, 6 the matrix, 7-9 s, u, vt, 10
        and 11 work and its size, 12 iwork, 13 what dgesdd returns, 14 and 15 the numbers 1 and 0, 16 the inverse.
        """
        product, copy, result = np.zeros((n, n)), np.zeros((n, n), order="F"), np.zeros((n, n), order="F")
        s, u, vt = np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
        gesdd, gemm = _scipy("cython_lapack", "dgesdd"), _scipy("cython_blas", "dgemm")
        letters, size, iwork = np.frombuffer(b"SC", np.uint8).copy(), _int(n), np.zeros(8 * n, np.int32)
        one, zero, query, best = np.ones(1), np.zeros(1), _int(-1), np.zeros(1)
        order = _address(letters), _address(letters) + 1
        arrays = copy, s, u, size, vt, size
        ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 14)(gesdd)(
            order[0], _address(size), _address(size), _address(copy), _address(size),
            *map(_address, arrays[1:]), *map(_address, (best, query, iwork)), _address(status) + 8,
        )  # fmt: skip
        work = np.zeros(int(best[0]))
        lwork = _int(len(work))
        self._kept += [product, copy, result, s, u, vt, letters, size, iwork, one, zero, work, lwork, status]
        at = [
            gesdd, gemm, order[0], order[1], _address(size), _address(status) + 4, _address(copy), _address(s),
            _address(u), _address(vt), _address(work), _address(lwork), _address(iwork), _address(status) + 8,
            _address(one), _address(zero), _address(result),
        ]  # fmt: skip
        return np.array(at, np.int64), (product, copy, s, vt, result)

    def _inverse_work(self, n: int, inverse: Float64, pivots: Any, status: Any) -> tuple[Float64, Any]:
        """Scratch of `dgetri`, as large as it asks for, and its size."""
        size, query, best = _int(n), _int(-1), np.zeros(1)
        ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 7)(_scipy("cython_lapack", "dgetri"))(
            *map(_address, (size, inverse, size, pivots, best, query, status))
        )
        work = np.zeros(int(best[0]))
        return work, _int(len(work))
