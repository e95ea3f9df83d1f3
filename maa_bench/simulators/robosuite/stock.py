"""robosuite's own environments, stepped by their own `step`, one model a task and arm.

Traps of robosuite 1.5.2 that this file steps around: global seeds do nothing, so what is random about a reset (object
placement, joint noise) is a layout and set; `info` is empty, so success is `_check_success()`; an observation differs
with the arm, so ours is read off the state (`observation`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench.errors import SuiteError, did_you_mean
from maa_bench.method import Agent
from maa_bench.simulators import Float64
from maa_bench.simulators.mujoco_drawing import View
from maa_bench.simulators.mujoco_task import MujocoTask, silence
from maa_bench.simulators.robosuite.dynamics import ModelDynamics
from maa_bench.simulators.robosuite.observation import OBS_DIM, bounds, observe, observed
from maa_bench.simulators.robosuite.upstream import ARMS, TASKS, make
from maa_bench.suite import Task

VIEW = View("sideview", hidden_group=0)
"""By the nearest of robosuite's cameras that has arm and objects of every task in view. Its geoms of group 0 are
what collides, those of group 1 what is looked at."""

POSE = 7
"""Numbers of an object's pose in a layout: position (m) and quaternion, scalar first."""

MAX_JOINT_NOISE = 0.25
"""Radians. robosuite's joint noise has a standard deviation of 0.02; a layout farther from an arm's initial joint
positions is another arm's."""

MAX_STRAY = 0.1
"""Metres. An object farther outside the region in which robosuite places it is another task's: Lift's cube and Door's
door have layouts of the same length."""

DRAW = "draw them anew: python -m maa_bench.simulators.freeze SUITE.toml OUT.npz"


def arm_of(task: Task) -> str:
    """The arm of a task that this simulator has.

    Raises:
        SuiteError: unknown task or arm; the line gives the nearest right names.
    """
    if task.env not in TASKS:
        raise SuiteError(
            f"task {task.name!r}: env {task.env!r} is none of {', '.join(TASKS)}.{did_you_mean(task.env, TASKS)}"
        )
    arm = task.options.get("arm")
    if set(task.options) != {"arm"} or not isinstance(arm, str):
        raise SuiteError(
            f"task {task.name!r}: options are {dict(task.options)}; robosuite tasks need "
            '{ arm = "Panda" }, or another arm, and nothing else'
        )
    if arm not in ARMS:
        raise SuiteError(f"task {task.name!r}: no arm {arm!r} here, only {', '.join(ARMS)}.{did_you_mean(arm, ARMS)}")
    return arm


class Placement:
    """Stands in the place of robosuite's placement sampler: objects are put where the layout says."""

    def __init__(self, objects: list[Any]) -> None:
        self.objects = objects
        self.poses = np.zeros((len(objects), POSE))

    def sample(self) -> dict[str, tuple[Float64, Float64, Any]]:
        """As a robosuite sampler: object's name to (position, quaternion, object)."""
        return {o.name: (pose[:3], pose[3:], o) for o, pose in zip(self.objects, self.poses, strict=True)}


class StockTask(MujocoTask):
    """One robosuite environment; observations (45,) float64 (see `observation`), actions (7,) in [-1, 1].

    An action is OSC_POSE's: displacement (5 cm for 1) and rotation vector (0.5 rad for 1) of the end effector, world
    frame, and the gripper (below 0 opens, above 0 closes). One step is 25 substeps of 2 ms.

    The reward is robosuite's own, shaped, at most 1 a step.
    """

    action_dim = 7

    def __init__(self, task: Task) -> None:
        self.arm = arm_of(task)
        silence()
        self.task = task
        self.env: Any = make(task.env, self.arm)
        self.sampler = self.env.placement_initializer
        region = np.array([self.sampler.x_range, self.sampler.y_range])
        across, objects = np.append(region.mean(axis=1), self.sampler.z_offset), self.sampler.mujoco_objects
        self._middle = self.sampler.reference_pos + across - [[0.0, 0.0, o.bottom_offset[2]] for o in objects]
        self._reach = np.append((region[:, 1] - region[:, 0]) / 2, 0.0)
        self._placement = Placement(self.sampler.mujoco_objects)
        self.env.placement_initializer = self._placement
        self._robot = self.env.robots[0]
        self.noise = self._robot.initialization_noise["magnitude"]
        self._robot.initialization_noise = {"magnitude": 0.0, "type": "gaussian"}  # it is in the layout
        self.start = np.array(self._robot.init_qpos, np.float64)
        self.model, self.data = self.env.sim.model._model, self.env.sim.data._data
        super().__init__(self.model, self.data, ModelDynamics(self.env), VIEW)
        self._observed = observed(self.env)
        self._obs = np.zeros(OBS_DIM)

    @property
    def layout_dim(self) -> int:
        """Numbers of a layout: the arm's joint positions (rad), then the pose of every object."""
        return len(self.start) + self._placement.poses.size

    def reset(self, layout: Float64) -> Float64:
        """`layout`: (layout_dim,).

        Raises:
            SuiteError: it is another task's or arm's.
        """
        self.reward, self._steps = 0.0, 0
        self._robot.init_qpos, self._placement.poses = self._parts(layout)
        self.env.reset()
        return self._observe()

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Float64, bool]:
        """One `env.step`."""
        with self._a_step():
            _, reward, _, _ = self.env.step(np.clip(np.asarray(action, np.float64), -1.0, 1.0))
        self.reward = float(reward)
        return self._observe(), bool(self.env._check_success())

    def observation_bounds(self) -> tuple[Float64, Float64]:
        """See `TaskSimulator`."""
        return bounds()

    def expert(self) -> Agent:
        """A scripted controller for the task; the arm matters for its gripper alone."""
        from maa_bench.simulators.robosuite.experts import make_expert

        return make_expert(self.task.env, self.arm)

    def _observe(self) -> Float64:
        observe(*self._observed, self._obs)
        return self._obs.copy()

    def _parts(self, layout: Float64) -> tuple[Float64, Float64]:
        """Joint positions and poses (n_objects, 7) of a layout, checked."""
        n = len(self.start)
        layout = np.array(layout, np.float64)
        if layout.shape != (self.layout_dim,):
            raise SuiteError(
                f"task {self.task.name!r}: a layout of {self.task.env} on {self.arm} has {self.layout_dim} numbers, "
                f"not {' x '.join(map(str, layout.shape)) or 1}: it belongs to another task or arm; {DRAW}"
            )
        if not (np.abs(layout[:n] - self.start) <= MAX_JOINT_NOISE).all():
            raise SuiteError(
                f"task {self.task.name!r}: a layout begins with {self.arm}'s initial joint positions, "
                f"and these are not; {DRAW}"
            )
        poses = layout[n:].reshape(-1, POSE)
        if not np.allclose(np.linalg.norm(poses[:, 3:], axis=1), 1.0, atol=1e-6):
            raise SuiteError(f"task {self.task.name!r}: a layout's quaternion is not of length 1; {DRAW}")
        if not (np.abs(poses[:, :3] - self._middle) <= self._reach + MAX_STRAY).all():
            raise SuiteError(
                f"task {self.task.name!r}: an object lies outside the region of {self.task.env}'s: the layout "
                f"belongs to another task; {DRAW}"
            )
        return layout[:n], poses
