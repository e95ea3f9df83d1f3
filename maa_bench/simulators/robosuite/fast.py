"""robosuite at nearly the speed of its physics and linear algebra: stock's very bytes at three times its speed.

A control step of `FastTask` makes the calls of stock's that decide the state, in compiled code (`kernel`), and leaves
out observables, rewards that nobody reads, and the robot's record of its recent past.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from maa_bench.simulators import Float64
from maa_bench.simulators.robosuite.kernel import SINGULAR, control_step
from maa_bench.simulators.robosuite.memory import Memory
from maa_bench.simulators.robosuite.observation import LIFT_HEIGHT, OPEN_ANGLE
from maa_bench.simulators.robosuite.stock import StockTask
from maa_bench.suite import Task


@cache
def same_arithmetic() -> bool:
    """Whether numpy and compiled code multiply small matrices to the same bits on this machine.

    Stock does some products by numpy's BLAS and some by scipy's; the compiled step does all by scipy's. They agree
    wherever it was tried; where they do not, every task is left to stock.
    """
    from maa_bench.simulators.robosuite.products import product

    rng = np.random.default_rng(0)

    def same(matrix: Any, vector: Any) -> bool:
        return bool(np.dot(matrix, vector).tobytes() == product(matrix, vector).tobytes())

    return all(
        same(rng.standard_normal((3, nv)), rng.standard_normal(nv))
        and same(np.asfortranarray(rng.standard_normal((3, 3))), rng.standard_normal(3))
        and same(rng.standard_normal((6, n)).T, rng.standard_normal(6))
        for n in (6, 7)
        for nv in range(10, 40)
        for _ in range(10)
    )


class FastTask(StockTask):
    """A `StockTask` whose control steps are compiled, with stock's very bytes; the reward is computed when read."""

    _reward: float | None

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        arm = self._robot.arms[0]
        self.memory = Memory(self.env)
        self._gripper = self._robot.gripper[arm]
        self._grip = self._robot.part_controllers[self._robot.get_gripper_name(arm)]
        self._no_trace = np.zeros((0, self.memory.n_controls))
        ends = self.model.actuator_ctrlrange[self.memory.servos]
        self._grip_low, self._grip_high = ends[:, 0], ends[:, 1]
        self._grip_middle, self._grip_reach = 0.5 * (ends[:, 1] + ends[:, 0]), 0.5 * (ends[:, 1] - ends[:, 0])

    @property
    def reward(self) -> float:
        """robosuite's own, of the state that the last step left; 0 before the first."""
        if self._reward is None:
            self._reward = float(self.env.reward(None))
        return self._reward

    @reward.setter
    def reward(self, value: float) -> None:
        self._reward = value

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Float64, bool]:
        """One control step: 25 substeps of 2 ms."""
        return self.traced(action, self._no_trace)

    def traced(self, action: npt.NDArray[np.floating], trace: Float64) -> tuple[Float64, bool]:
        """A step that also writes the commands of every substep: `trace` is (25, n_controls) float64, or has no row."""
        from robosuite.utils.transform_utils import axisangle2quat, quat2mat

        memory = self.memory
        with self._a_step():
            self._reward = None
            action = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
            mujoco.mj_step1(self.model, self.data)
            controller = self._robot.part_controllers[self._robot.arms[0]]
            # robosuite's controller reads the state when it is made, in a reset, and not again in the first substep. In
            # between the fingers were set: they change the mass matrix, and the last bits of the Jacobians.
            held = int(self._steps == 1)
            if held:
                for array, name in memory.held:
                    array[:] = getattr(controller, name)
            delta = controller.scale_action(action[:6])
            goal_pos = memory.ref_pos + delta[:3]
            goal_ori = np.dot(quat2mat(axisangle2quat(delta[3:])), memory.ref_mat)
            grip = self._grip.scale_action(self._gripper.format_action(action[6:]))
            grip = np.clip(self._grip_middle + self._grip_reach * grip, self._grip_low, self._grip_high)
            goal = goal_pos, goal_ori, controller.initial_joint, grip
            parts = memory.arm, memory.state, memory.scratch, goal
            if control_step(*parts, held, memory.substeps, trace) == SINGULAR:
                raise np.linalg.LinAlgError("Matrix is singular to machine precision.")
        return self._observe(), self._succeeds()

    def _succeeds(self) -> bool:
        """As `_check_success`, which is asked itself only where contacts decide."""
        env, data = self.env, self.data
        if self.task.env == "Door":
            return bool(data.qpos[env.hinge_qpos_addr] > OPEN_ANGLE)
        if self.task.env == "Lift":
            return bool(data.xpos[env.cube_body_id, 2] > env.model.mujoco_arena.table_offset[2] + LIFT_HEIGHT)
        lifted = data.xpos[env.cubeA_body_id, 2] > env.table_offset[2] + LIFT_HEIGHT
        return bool(lifted and env._check_success())
