"""What a robosuite policy sees: the same 45 numbers for every arm and every task, float64, from the simulator's state.

| entries | what | unit |
|---|---|---|
| 0-2   | position of the end effector (robosuite's `grip_site`, between the finger tips), world frame | m |
| 3-8   | its orientation: first two columns of the rotation matrix, world frame | - |
| 9-11  | its linear velocity, world frame | m/s |
| 12    | gripper opening: 1 open, 0 at the closed end of its servos' range, before which the pads may meet | - |
| 13-15 | position of the object, world frame | m |
| 16-21 | its orientation, as 3-8 | - |
| 22-24 | position of the object, end effector's frame | m |
| 25-30 | its orientation, end effector's frame | - |
| 31-32 | cosine and sine of four times the angle by which it is turned about the fingers' approach axis | - |
| 33-35 | position of the goal, world frame | m |
| 36-38 | position of the goal, end effector's frame | m |
| 39-41 | from the object to the goal, world frame | m |
| 42    | angle of the door's hinge; 0 without a door | rad |
| 43    | angle of the door's latch; 0 without a door | rad |
| 44    | distance between the finger pads: their groups' mean centres; a grasped cube reads the same on every arm | m |

The object is Lift's cube, Stack's red cube and Door's handle. Its goal is where it succeeds: for Lift with its middle 4
cm above the table, straight above where the cube is now; for Stack on top of the green cube; for Door where the handle
is once the door stands open by 0.3 rad.

Orientations are two columns of a matrix because no three or four numbers are continuous over all rotations (Zhou et
al., "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019): the quaternion of a gripper that
points down has a scalar part near 0, where its sign flips. A cube looks the same after a quarter of a turn; so do
entries 31 and 32, which have no jump where the nearest pair of faces changes. They are the real and imaginary part of
(x + iy)^4, the mean of the object's first two axes (x, y, z) in the end effector's frame: their length falls below 1,
continuously, as those axes leave the plane of the fingers.

As in robosuite's own observables, everything that depends on positions of bodies is 2 ms old (`mj_step1` of the last
substep), while joint angles are those after it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench.compiled import njit

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

OBS_DIM = 45
LIFT_HEIGHT = 0.04
"""Metres above the table from which robosuite's Lift counts as lifted."""
OPEN_ANGLE = 0.3
"""Radians from which robosuite's Door counts as open."""
LIFT, STACK, DOOR = 0, 1, 2

POSITION_BOUND = 30.0
"""Metres, and metres a second. Nothing upstream bounds a cube that was pushed off the table; it falls to the floor
below and slides on it for the seconds that are left."""
ANGLE_BOUND = 4.0
"""Radians. The hinge's range ends at 0.4, the latch's at 1.57; both give way a little."""
PAD_BOUND = 0.5
"""Metres. The widest gripper opens to about 0.15."""


@njit
def _to_frame(matrix: Float64, origin: Float64, point: Float64, out: Float64) -> None:
    """A point of the world in the frame (origin, matrix (9,) row by row)."""
    x, y, z = point[0] - origin[0], point[1] - origin[1], point[2] - origin[2]
    for i in range(3):
        out[i] = matrix[i] * x + matrix[3 + i] * y + matrix[6 + i] * z


@njit
def observe(
    kind: int,
    eef_pos: Float64,
    eef_mat: Float64,
    eef_cvel: Float64,
    eef_com: Float64,
    qpos: Float64,
    fingers: Int64,
    finger_ends: Float64,
    object_pos: Float64,
    object_mat: Float64,
    other: Float64,
    axis: Float64,
    angles: Int64,
    height: float,
    pads: Float64,
    left: Int64,
    right: Int64,
    out: Float64,
) -> None:
    """Write an observation.

    Args:
        kind: LIFT, STACK or DOOR.
        eef_pos, eef_mat: (3,) and (9,) of the grip site.
        eef_cvel: (6,) its body's velocity about `eef_com`: angular, then linear.
        eef_com: (3,) centre of mass of that body's kinematic tree.
        qpos: joint positions.
        fingers: addresses of the driven finger joints in `qpos`.
        finger_ends: (2, n_fingers) their positions when closed, and when open.
        object_pos, object_mat: (3,) and (9,) of the object.
        other: (3,) Stack: the green cube; Door: a point on the hinge's axis; not read for Lift.
        axis: (3,) Door: the hinge's direction; not read for others.
        angles: (2,) Door: addresses of hinge and latch in `qpos`; not read for others.
        height: Lift: of the goal; Stack: of the goal above the green cube; metres.
        pads: (n_geoms, 3) positions of all geoms. left, right: those that are the pads of either side of the gripper.
        out: (45,).
    """
    for i in range(3):
        out[i] = eef_pos[i]
        out[13 + i] = object_pos[i]
        for column in range(2):
            out[3 + 3 * column + i] = eef_mat[3 * i + column]
            out[16 + 3 * column + i] = object_mat[3 * i + column]
    # v = v_com + omega x (p - com)
    x, y, z = eef_pos[0] - eef_com[0], eef_pos[1] - eef_com[1], eef_pos[2] - eef_com[2]
    out[9] = eef_cvel[3] + (eef_cvel[1] * z - eef_cvel[2] * y)
    out[10] = eef_cvel[4] + (eef_cvel[2] * x - eef_cvel[0] * z)
    out[11] = eef_cvel[5] + (eef_cvel[0] * y - eef_cvel[1] * x)
    opening = 0.0
    for i in range(len(fingers)):
        opening += (qpos[fingers[i]] - finger_ends[0, i]) / (finger_ends[1, i] - finger_ends[0, i])
    out[12] = min(max(opening / len(fingers), 0.0), 1.0)
    _to_frame(eef_mat, eef_pos, object_pos, out[22:25])
    for column in range(2):
        for i in range(3):
            out[25 + 3 * column + i] = (
                eef_mat[i] * object_mat[column]
                + eef_mat[3 + i] * object_mat[3 + column]
                + eef_mat[6 + i] * object_mat[6 + column]
            )
    out[31] = out[32] = 0.0
    for column in range(2):
        c, s = out[25 + 3 * column], out[26 + 3 * column]
        c, s = c * c - s * s, 2.0 * c * s
        out[31] += 0.5 * (c * c - s * s)
        out[32] += c * s
    goal = out[33:36]
    if kind == DOOR:
        _turned(object_pos, other, axis, OPEN_ANGLE - qpos[angles[0]], goal)
        out[42], out[43] = qpos[angles[0]], qpos[angles[1]]
    else:
        below = other if kind == STACK else object_pos
        goal[0], goal[1] = below[0], below[1]
        goal[2] = below[2] + height if kind == STACK else height
        out[42] = out[43] = 0.0
    _to_frame(eef_mat, eef_pos, goal, out[36:39])
    for i in range(3):
        out[39 + i] = goal[i] - object_pos[i]
    squared = 0.0
    for i in range(3):
        apart = 0.0
        for geom in left:
            apart += pads[geom, i] / len(left)
        for geom in right:
            apart -= pads[geom, i] / len(right)
        squared += apart * apart
    out[44] = math.sqrt(squared)


@njit
def _turned(point: Float64, anchor: Float64, axis: Float64, angle: float, out: Float64) -> None:
    """`point` turned about the axis through `anchor`, by Rodrigues' formula."""
    x, y, z = point[0] - anchor[0], point[1] - anchor[1], point[2] - anchor[2]
    cosine, sine = math.cos(angle), math.sin(angle)
    along = (axis[0] * x + axis[1] * y + axis[2] * z) * (1.0 - cosine)
    out[0] = anchor[0] + x * cosine + (axis[1] * z - axis[2] * y) * sine + axis[0] * along
    out[1] = anchor[1] + y * cosine + (axis[2] * x - axis[0] * z) * sine + axis[1] * along
    out[2] = anchor[2] + z * cosine + (axis[0] * y - axis[1] * x) * sine + axis[2] * along


def observed(env: Any) -> tuple[Any, ...]:
    """The arguments of `observe` but the last: views of an environment's state, which stay valid across its resets."""
    model, data = env.sim.model._model, env.sim.data._data
    robot = env.robots[0]
    arm = robot.arms[0]
    site = robot.eef_site_id[arm]
    body = model.site_bodyid[site]
    nothing = np.zeros(3)
    angles = np.zeros(2, np.int64)
    other, axis, height = nothing, nothing, 0.0
    name = type(env).__name__
    if name == "Door":
        kind = DOOR
        object_pos, object_mat = data.site_xpos[env.door_handle_site_id], data.site_xmat[env.door_handle_site_id]
        hinge = env.sim.model.joint_name2id(env.door.joints[0])
        other, axis = data.xanchor[hinge], data.xaxis[hinge]
        angles[:] = env.hinge_qpos_addr, env.handle_qpos_addr
    else:
        cube = env.cube_body_id if name == "Lift" else env.cubeA_body_id
        object_pos, object_mat = data.xpos[cube], data.xmat[cube]
        if name == "Lift":
            kind, height = LIFT, float(env.model.mujoco_arena.table_offset[2] + LIFT_HEIGHT)
        else:
            kind, other = STACK, data.xpos[env.cubeB_body_id]
            height = float(env.cubeA.size[2] + env.cubeB.size[2])
    fingers, ends = finger_joints(env)
    groups = robot.gripper[arm].important_geoms
    left, right = (
        np.array([env.sim.model.geom_name2id(name) for name in groups[f"{side}_fingerpad"]], np.int64)
        for side in ("left", "right")
    )
    return (
        kind, data.site_xpos[site], data.site_xmat[site], data.cvel[body], data.subtree_com[model.body_rootid[body]],
        data.qpos, fingers, ends, object_pos, object_mat, other, axis, angles, height,
        data.geom_xpos, left, right,
    )  # fmt: skip


def finger_joints(env: Any) -> tuple[Int64, Float64]:
    """Addresses (n,) in qpos of the joints that the gripper's servos drive, and where they are sent: (2, n).

    Closed and open are the ends of the servos' ranges to which robosuite's own mapping takes the gripper's action.
    """
    model, robot = env.sim.model._model, env.robots[0]
    arm = robot.arms[0]
    gripper = robot.gripper[arm]
    servos = robot._ref_joint_gripper_actuator_indexes[arm]
    low, high = model.actuator_ctrlrange[servos].T
    before = gripper.current_action
    ends = []
    for action in (1.0, -1.0):  # robosuite's convention: 1 closes
        gripper.current_action = np.zeros(gripper.dof)
        while True:
            previous = np.array(gripper.current_action)
            command = np.asarray(gripper.format_action(np.array([action])))
            if np.array_equal(previous, gripper.current_action):
                break
        ends.append(0.5 * (high + low) + 0.5 * (high - low) * command)
    gripper.current_action = before
    joints = model.actuator_trnid[servos, 0]
    return model.jnt_qposadr[joints].astype(np.int64), np.array(ends)


def bounds() -> tuple[Float64, Float64]:
    """Least and greatest value of every entry: two (45,) float64."""
    high = np.full(OBS_DIM, POSITION_BOUND)
    for start, stop in ((3, 9), (16, 22), (25, 33)):
        high[start:stop] = 1.0 + 1e-9  # cosines, but for rounding
    high[12] = 1.0
    high[22:25] = high[36:42] = 4.0 * POSITION_BOUND  # differences of positions, in turned frames
    high[42:44] = ANGLE_BOUND
    high[44] = PAD_BOUND
    low = -high
    low[12] = low[44] = 0.0
    return low, high
