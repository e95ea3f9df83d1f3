"""Scripted experts for Lift, Stack and Door: read off the observation alone, the same rules on all six arms but for
Jaco's slow fingers, which squeeze less and carry slower.

robosuite has none. An expert keeps no state. Which part of a task it is in follows from where the hand, the fingers and
the objects are, so an expert that is knocked off its way goes on from where it finds itself, and a policy can be cloned
from it. Phases change into each other through ramps; where a decision must not flicker, it holds over a wider range
once it is taken, and what shows that it was taken is the opening of the fingers.

OSC_POSE moves the hand at about 0.3 m/s for an action of 1, and turns it at about 3 rad/s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maa_bench.method import Agent
from maa_bench.simulators import Float64

TABLE = 0.8
"""Height of the table's top, m."""
POSITION_GAIN = 25.0
"""Action for a metre of error: full speed from 4 cm on."""
LOOK_AHEAD = 0.06
"""Seconds: the hand comes to rest about where it would be then at its present speed."""
ROTATION_GAIN = 3.0
"""Action for a radian of error."""
DOWN = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""The hand above the table: fingers point down and close along the world's y. Columns: the axis along
which they close, the one across it, the one along which they approach."""


@dataclass(frozen=True)
class Gripper:
    """How to handle cubes with a gripper.

    Attributes:
        wide: distance between the pads, m, from which it is open enough.
        firm: distance between the pads, m, from which a cube that is carried is squeezed no more.
        pace: greatest action with which a cube is carried.
    """

    wide: float
    firm: float
    pace: float


FAST = Gripper(wide=1.0, firm=0.0, pace=1.0)
SLOW = Gripper(wide=0.066, firm=0.048, pace=0.5)
"""Jaco's needs 200 steps from end to end, and as many to undo what it was told while it carried a cube."""


@dataclass(frozen=True)
class Scene:
    """An observation, taken apart. Positions in m, world frame; orientations are (3, 3), axes in columns.

    Attributes:
        hand: position of the grip site.
        frame: orientation of the hand: the fingers close along its x and approach along its z.
        speed: velocity of the hand, m/s.
        apart: distance between the finger pads, m.
        thing: position of the object: the cube, or the site on the door's handle.
        thing_frame: its orientation.
        goal: where the object is to go.
        latch: angle by which the door's handle is pushed down, rad.
        hinge: angle of the door, rad.
    """

    hand: Float64
    frame: Float64
    speed: Float64
    apart: float
    thing: Float64
    thing_frame: Float64
    goal: Float64
    latch: float
    hinge: float

    @classmethod
    def of(cls, obs: Float64) -> Scene:
        """Read the entries that `maa_bench.simulators.robosuite.observation` lists."""
        return cls(
            obs[0:3], _frame(obs[3:9]), obs[9:12], float(obs[44]), obs[13:16], _frame(obs[16:22]), obs[33:36],
            float(obs[43]), float(obs[42]),
        )  # fmt: skip

    @property
    def yaw(self) -> float:
        """Angle by which the closing axis is turned from the world's y, about the vertical."""
        return _yaw(self.frame[:, 0])


def _frame(columns: Float64) -> Float64:
    x, y = columns[:3], columns[3:]
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _yaw(axis: Float64) -> float:
    return float(np.arctan2(-axis[0], axis[1]))


def _ramp(x: float, low: float, high: float) -> float:
    """0 at `low`, 1 at `high`, straight between them; `low` may be the greater one."""
    return min(max((x - low) / (high - low), 0.0), 1.0)


def _up(height: float) -> Float64:
    return np.array([0.0, 0.0, height])


def _about_z(angle: float) -> Float64:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _about_x(angle: float) -> Float64:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def _about_y(angle: float) -> Float64:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def _action(scene: Scene, target: Float64, frame: Float64, grip: float) -> Float64:
    """Towards a pose of the hand; `grip` above 0 closes, below 0 opens."""
    turn = 0.5 * np.cross(scene.frame, frame, axis=0).sum(axis=1)  # the rotation vector, for small angles
    move = POSITION_GAIN * (target - scene.hand - LOOK_AHEAD * scene.speed)
    return np.clip(np.concatenate([move, ROTATION_GAIN * turn, [grip]]), -1.0, 1.0)


def _faces_yaw(scene: Scene, avoid: Float64 | None) -> float:
    """The yaw, near the hand's, with which the fingers close on two faces of the cube.

    It is not turned far from 0, where the arm began; a finger that would come down on what stands at `avoid` costs
    as much as turning on by a quarter of a turn.
    """
    frame = scene.thing_frame
    upright = int(np.argmax(np.abs(frame[2])))
    yaws = _yaw(frame[:, (upright + 1) % 3]) + np.arange(-4, 5) * np.pi / 2
    cost = np.abs(yaws - scene.yaw) + 0.5 * np.abs(yaws)
    if avoid is not None:
        away = avoid[:2] - scene.thing[:2]
        distance = max(float(np.linalg.norm(away)), 1e-9)
        between = np.abs(np.cos(yaws) * away[1] - np.sin(yaws) * away[0]) / distance
        cost += 3.0 * _ramp(distance, 0.13, 0.10) * np.clip((between - 0.75) / 0.1, 0.0, 1.0)
    return float(yaws[np.argmin(cost)])


def _closed(scene: Scene) -> float:
    """From 0, fingers open, to 1, fingers on a cube of 4 cm."""
    return _ramp(scene.apart, 0.062, 0.050)


def _lead(scene: Scene) -> float:
    """How far above the cube's middle a closing hand wants to be, m."""
    return 0.012 * _closed(scene) + 0.03 * _ramp(scene.apart, 0.052, 0.049)


def _holds(scene: Scene, yaw: float) -> bool:
    """Whether the cube is between the fingers: nearly centred to begin with; closed fingers do not let go so soon."""
    away, closed = scene.hand - scene.thing, _closed(scene)
    return bool(
        np.hypot(away[0], away[1]) < 0.010 + 0.012 * closed
        and abs(away[2]) < 0.012 + 0.010 * closed
        and abs(yaw - scene.yaw) < 0.15 + 0.3 * closed
    )


def _above(scene: Scene, yaw: float) -> Float64:
    """Where the hand goes to grasp: down a funnel, so that open fingers pass beside the cube."""
    away = scene.hand - scene.thing
    height = np.clip(2.0 * (np.hypot(away[0], away[1]) - 0.008), 0.0, 0.08)
    height += np.clip(0.12 * (abs(yaw - scene.yaw) - 0.12), 0.0, 0.05)
    if away[2] > 0.012:
        height = max(height, 0.05 * _ramp(scene.apart, 0.058, 0.052))
    return scene.thing + _up(height)


class _CubeExpert(Agent):
    """What Lift and Stack have in common."""

    def __init__(self, gripper: Gripper) -> None:
        self._gripper = gripper

    def reset(self) -> None:
        """Experts keep no state."""

    def _approach(self, scene: Scene, yaw: float) -> Float64:
        grip = -1.0 if scene.apart < self._gripper.wide else 0.0
        return _action(scene, _above(scene, yaw), _about_z(yaw) @ DOWN, grip)

    def _carry(self, scene: Scene, target: Float64, yaw: float) -> Float64:
        grip = 1.0 if scene.apart > self._gripper.firm else 0.0
        action = _action(scene, target, _about_z(yaw) @ DOWN, grip)
        action[:3] = np.clip(action[:3], -self._gripper.pace, self._gripper.pace)
        return action


class LiftExpert(_CubeExpert):
    """Down on the cube, close, up.

    While the fingers close the hand already tends upwards a little; what it holds comes along, and then it goes fast.
    """

    def act(self, obs: Float64) -> Float64:
        """(45,) to (7,) float64."""
        scene = Scene.of(obs)
        yaw = _faces_yaw(scene, None)
        if not _holds(scene, yaw):
            return self._approach(scene, yaw)
        raised = scene.thing[2] - scene.goal[2] > -0.015  # off the table by some millimetres
        target = scene.thing + _up(_lead(scene) + 0.05 * raised)
        target[2] = min(target[2], scene.goal[2] + 0.06)
        return self._carry(scene, target, yaw)


class StackExpert(_CubeExpert):
    """As `LiftExpert`, then over the other cube, down on it, open and up."""

    def act(self, obs: Float64) -> Float64:
        """(45,) to (7,) float64."""
        scene = Scene.of(obs)
        lack = scene.goal - scene.thing
        aside = float(np.hypot(lack[0], lack[1]))
        raised = scene.thing[2] > TABLE + 0.027
        yaw = _faces_yaw(scene, None if raised else scene.goal)
        frame = _about_z(yaw) @ DOWN
        if aside < 0.013 and -0.012 < -lack[2] < 0.006:  # it stands where it should
            away = 0.1 * _ramp(scene.apart, 0.055, 0.065)
            return _action(scene, scene.thing + _up(away), frame, -1.0)
        if not _holds(scene, yaw):
            return self._approach(scene, yaw)
        if not raised:
            return _action(scene, scene.thing + _up(_lead(scene)), frame, 1.0)
        # First up, then across, then down a funnel: the cube must not meet the other one's side.
        across = 1.0 if aside < 0.015 else _ramp(scene.thing[2], scene.goal[2] - 0.02, scene.goal[2] + 0.01)
        grip = scene.hand - scene.thing
        target = scene.thing + across * lack + grip
        target[2] = scene.goal[2] + min(0.022, 2.0 * max(aside - 0.006, 0.0) - 0.006) + grip[2] + 0.03 * (across < 1.0)
        return self._carry(scene, target, yaw)


TILT = 0.7
"""Radians by which the fingers point from straight down towards the door: a hand that hangs straight touches the door
before its fingers pass behind the handle."""
FOLLOW = 0.25
"""Share of the handle's turn that the hand makes too: one that does not turn meets the handle's axle, one that turns
all the way comes to the end of a wrist."""
LATCH = 1.4
"""Radians to which the handle is turned. The bolt is clear of the frame from about 1.2 rad on."""
BOLTED = 0.19
"""Radians by which the door has to stand open before the bolt has passed the frame."""


class DoorExpert(Agent):
    """One finger behind the handle and above it, the other before it; turn it down, then pull."""

    def reset(self) -> None:
        """Experts keep no state."""

    def act(self, obs: Float64) -> Float64:
        """(45,) to (7,) float64."""
        scene = Scene.of(obs)
        outward, along = -scene.thing_frame[:, 1], scene.thing_frame[:, 0]  # from the door; from the axle to the end
        turning = np.cross(along, outward)
        yaw = _yaw(outward)
        frame = _about_z(yaw) @ _about_y(-FOLLOW * max(scene.latch, 0.0)) @ _about_x(-TILT) @ DOWN
        across, approach = frame[:, 0], frame[:, 2]
        # The finger behind stays 36 mm from the middle of the handle, however wide the hand is open.
        middle = max(0.5 * scene.apart - 0.036, 0.0)
        place = scene.thing + 0.008 * along + middle * across
        away = scene.hand - place
        beside, before, depth = float(away @ along), float(away @ across), float(away @ approach)
        closed = _ramp(scene.apart, 0.080, 0.072)
        turned = _ramp(scene.latch, 0.1, 0.2)
        if (
            -0.015 - 0.01 * closed - 0.02 * turned < depth < 0.04
            and abs(beside) < 0.02 + 0.02 * turned
            and abs(before) < 0.012 + 0.008 * closed + 0.015 * turned
        ):
            turn = 0.06 * _ramp(scene.latch, LATCH + 0.1, LATCH - 0.1)
            pull = 0.07 * max(
                _ramp(scene.latch, LATCH - 0.25, LATCH - 0.15), _ramp(scene.hinge, BOLTED - 0.01, BOLTED + 0.01)
            )
            target = place + 0.012 * approach + max(closed, turned) * (turn * turning + pull * outward)
            return _action(scene, target, frame, 1.0)
        aside = float(np.hypot(beside, before))
        back = min(max(1.5 * (aside - 0.012), 0.0), 0.08)
        target = place + (0.012 - back) * approach
        # Too deep to pass beside the handle: first back, and only then sideways.
        wait = _ramp(depth + back, 0.015, 0.04) * _ramp(aside, 0.14, 0.10) * _ramp(aside, 0.02, 0.03)
        target += wait * (beside * along + before * across)
        return _action(scene, target, frame, -1.0)


def make_expert(env: str, arm: str) -> Agent:
    """The expert of `env`: Lift, Stack or Door; `arm` matters for its gripper alone."""
    if env == "Door":
        return DoorExpert()
    return {"Lift": LiftExpert, "Stack": StackExpert}[env](SLOW if arm == "Jaco" else FAST)
