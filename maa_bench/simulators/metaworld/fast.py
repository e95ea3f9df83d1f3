"""Meta-World at the speed of physics: the stock environment's own model and data, stepped by a compiled loop.

A layout is reset by stock once; afterwards its whole `mjData` is copied back (5 us instead of 500 physics steps).
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, cast

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from maa_bench.forward import PackedPolicy
from maa_bench.simulators import STEPS, EpisodeError, Float64, Trajectory
from maa_bench.simulators.metaworld.kernel import BAD_ACTION, NEEDS_STOCK, UNSTABLE, episode, quaternion_of
from maa_bench.simulators.metaworld.resets import ResetStates, addresses, make_lean
from maa_bench.simulators.metaworld.stock import StockTask
from maa_bench.simulators.metaworld.success import CONDITIONS, DISTANCES, POINTS, norm3
from maa_bench.simulators.metaworld.tasks import FAST_TASKS, Quaternion
from maa_bench.simulators.mujoco_task import BAD
from maa_bench.suite import Task


@cache
def same_arithmetic() -> bool:
    """Whether this machine's numpy and scipy compute norms, sines and rotations with the loop's very bits.

    They do wherever it was tried, but BLAS and vector libraries choose code by processor; where they do not, every
    task is left to stock.
    """
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((2000, 3)) * 0.1
    norms = all(float(np.linalg.norm(v)) == norm3(v[0], v[1], v[2]) for v in vectors)
    norms &= all(float(np.linalg.norm(v[:2])) == norm3(v[0], v[1], 0.0) for v in vectors)
    angles = rng.uniform(-7.0, 7.0, 2000)
    sines = all(np.sin(np.array([x]))[0] == math.sin(x) and np.cos(np.array([x]))[0] == math.cos(x) for x in angles)
    rotations, out = True, np.empty(4)
    for matrix in Rotation.random(500, random_state=1).as_matrix():
        quaternion_of(np.ascontiguousarray(matrix).ravel(), out)
        rotations &= out.tobytes() == Rotation.from_matrix(matrix).as_quat().tobytes()
    return norms and sines and rotations


class FastTask(StockTask):
    """A `StockTask` whose whole episodes of flat policies run in the compiled loop, with stock's very bytes."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._rules = FAST_TASKS[task.env]
        make_lean(self.env)
        self._states = ResetStates(self.env, self.reset)
        model, data = self.env.model, self.env.data
        self._mj = addresses(self.env)
        rules = self._rules
        second = rules.second
        by_matrix = rules.by_matrix or rules.quaternion[0] in ("geom", "site")
        self._views = (
            data.mocap_pos[0],
            data.mocap_quat[0],
            data.ctrl,
            data.warning.number[BAD],
            data.xpos[_id(model, "body", "hand")],
            data.xpos[_id(model, "body", "rightclaw")],
            data.xpos[_id(model, "body", "leftclaw")],
            data.site_xpos[_id(model, "site", "rightEndEffector")],
            data.site_xpos[_id(model, "site", "leftEndEffector")],
            _position(self.env, rules.position),
            _orientation(self.env, rules.quaternion, by_matrix),
            _joint(self.env, rules.joint) if rules.joint else np.zeros(1),
            _position(self.env, rules.marker) if rules.marker else np.zeros(3),
            _position(self.env, second.position) if second else np.zeros(3),
            _orientation(self.env, second.quaternion, by_matrix=False) if second else np.zeros(4),
        )
        offsets = rules.offset, second.offset if second else None
        self._offsets = tuple(np.array(offset or (0.0, 0.0, 0.0)) for offset in offsets)
        flags = offsets[0] is not None, rules.dial, by_matrix, second is not None, offsets[1] is not None
        self._flags = np.array(flags, dtype=np.int64)
        self._rule = np.array(
            [
                DISTANCES.index(rules.distance),
                rules.threshold,
                POINTS.index(rules.of),
                rules.shift is not None,
                *(rules.shift or (0.0, 0.0, 0.0)),
                rules.weights is not None,
                *(rules.weights or (1.0, 1.0, 1.0)),
                rules.height is not None,
                rules.height or 0.0,
                CONDITIONS.index(rules.condition),
                self.env.action_scale,
            ],
            dtype=np.float64,
        )
        self._limits = np.stack([self.env.mocap_low, self.env.mocap_high]).astype(np.float64)
        space = self.env.sawyer_observation_space
        self._bounds = np.stack([space.low, space.high]).astype(np.float64)

    def first_success(self, policy: PackedPolicy, layout: Float64, horizon: int) -> tuple[int, int]:
        """See `TaskSimulator`."""
        nothing = np.empty((0, 39)), np.empty((0, 4), np.float32)
        first, steps = self._episode(policy, layout, horizon, 0, 0, *nothing)
        return super().first_success(policy, layout, horizon) if first == NEEDS_STOCK else (first, steps)

    def trajectory(self, policy: PackedPolicy, layout: Float64, horizon: int, after: int, least: int) -> Trajectory:
        """See `TaskSimulator`."""
        observations, actions = np.empty((horizon + 1, 39)), np.empty((horizon, 4), np.float32)
        first, steps = self._episode(policy, layout, horizon, after, least, observations, actions)
        if first == NEEDS_STOCK:
            return super().trajectory(policy, layout, horizon, after, least)
        return Trajectory(observations[: steps + 1], actions[:steps], first)

    def _episode(
        self, policy: PackedPolicy, layout: Float64, horizon: int, after: int, least: int, *traces: Any
    ) -> tuple[int, int]:
        state = self._states.restore(layout, self._dynamics.current)
        self._rule[-1] = self.env.action_scale  # part of the dynamics
        first, step = episode(
            self._mj, *self._views, *self._offsets, self._flags, self._rule, state.target, self._limits, self._bounds,
            state.obs, policy.packed, policy.sizes, policy.codes, horizon, after, least, *traces,
        )  # fmt: skip
        if first == BAD_ACTION:
            STEPS.taken += step - 1
            raise EpisodeError.of_action(step)
        STEPS.taken += step
        if first == UNSTABLE:
            raise EpisodeError.of_simulation(step)
        return first, step


def _position(env: Any, source: tuple[str, str]) -> Float64:
    """A view of where a body, site or geom is: (3,)."""
    kind, name = source
    arrays = {"body": env.data.xpos, "site": env.data.site_xpos, "geom": env.data.geom_xpos}
    return cast(Float64, arrays[kind][_id(env.model, kind, name)])


def _orientation(env: Any, source: tuple[str, str] | Quaternion, by_matrix: bool) -> Float64:
    """A view of how it is turned: the (9,) matrix of a body, site or geom, a body's (4,) quaternion; or constants."""
    if len(source) == 4:
        return np.array(source)
    kind, name = source
    arrays = {"body": env.data.xmat, "site": env.data.site_xmat, "geom": env.data.geom_xmat}
    return cast(Float64, (arrays[kind] if by_matrix else env.data.xquat)[_id(env.model, kind, name)])


def _joint(env: Any, name: str) -> Float64:
    """A view of the position of a joint with one degree of freedom: (1,)."""
    return cast(Float64, env.data.qpos[env.model.jnt_qposadr[_id(env.model, "joint", name)] :][:1])


def _id(model: Any, kind: str, name: str) -> int:
    found = mujoco.mj_name2id(model, getattr(mujoco.mjtObj, f"mjOBJ_{kind.upper()}"), name)
    if found < 0:
        raise KeyError(f"model has no {kind} {name!r}")
    return int(found)
