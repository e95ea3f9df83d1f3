"""A point mass in the plane: numpy only, for tests, tutorials and people who write a method.

The mass starts somewhere near the origin and must come to a goal that the observation does not show: each goal is a
task of its own and needs other weights, so a method has to read the goal off the prompt. One step moves the mass by
`0.05 * velocity`; the velocity follows the action with a lag of one half. That is a mass driven by the action and
braked by its medium, `mass v' = gain u - damping v`, in a unit of time in which a step halves what is left of the
difference.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maa_bench.errors import SuiteError
from maa_bench.forward import PackedPolicy
from maa_bench.method import Agent
from maa_bench.simulators import (
    STEPS,
    Float64,
    Pixels,
    Trajectory,
    check_served,
    step_trajectory,
    step_until_success,
)
from maa_bench.simulators.dynamics import Dynamics
from maa_bench.suite import LAYOUT_SETS, Task

CONTROL_HZ = 20
"""The toy keeps no time of its own: so many steps move the mass as far as its velocity says."""

SPEED = 0.05
RADIUS = 0.1
GAIN = 4.0
BOUND = 10.0
"""Positions stay within: 100 steps of at most 0.05 each, from a start within 0.2, lead no farther than 5.2."""

VIEW = 1.5
"""A picture shows at least [-1.5, 1.5]^2; a mass that has left it is not seen."""


class PointMass:
    """State (x, y, vx, vy); action: wanted velocity in [-1, 1]^2; success within 0.1 of the goal.

    The reward of a step is minus the distance to the goal after it.
    """

    action_dim = 2

    def __init__(self, task: Task) -> None:
        goal = task.options.get("goal")
        if task.env != "point-mass" or not isinstance(goal, list) or len(goal) != 2:
            raise SuiteError(f"toy task {task.name!r} needs env = 'point-mass' and options.goal = [x, y]")
        self.goal = np.array(goal, dtype=np.float64)
        self.reward = 0.0
        self._state = np.zeros(4)
        self._kept = self._driven = 0.5
        self._fastest = 1.0

    def set_dynamics(self, dynamics: Dynamics) -> None:
        """See `TaskSimulator`. The velocity of `mass v' = gain u - damping v` after a step, in closed form.

        Raises:
            ProtocolError: friction, which the medium has not.
        """
        check_served("toy", dynamics.perturbed)
        self._kept = 0.5 ** (dynamics.damping / dynamics.mass)
        self._fastest = dynamics.gain / dynamics.damping
        self._driven = (1.0 - self._kept) * self._fastest

    def reset(self, layout: Float64) -> Float64:
        """`layout`: (2,) start position."""
        self.reward = 0.0
        self._state = np.array([layout[0], layout[1], 0.0, 0.0])
        return self._state.copy()

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Float64, bool]:
        """Observation (4,): position and velocity."""
        STEPS.taken += 1
        wanted = np.clip(np.asarray(action, np.float64), -1.0, 1.0)
        velocity = self._kept * self._state[2:] + self._driven * wanted
        position = self._state[:2] + SPEED * velocity
        self._state = np.concatenate([position, velocity])
        offset = position - self.goal
        squared = offset @ offset
        self.reward = -float(np.sqrt(squared))
        return self._state.copy(), bool(squared <= RADIUS * RADIUS)

    def observation_bounds(self) -> tuple[Float64, Float64]:
        """Positions within `BOUND`, velocities within 1, or more under a larger gain: two (4,) float64."""
        high = np.array([BOUND, BOUND, 1.0, 1.0]) * max(1.0, self._fastest)
        return -high, high

    def expert(self) -> Agent:
        """Heads straight for the goal."""
        return _Expert(self.goal)

    def first_success(self, policy: PackedPolicy, layout: Float64, horizon: int) -> tuple[int, int]:
        """See `TaskSimulator`."""
        return step_until_success(self, policy, layout, horizon)

    def trajectory(self, policy: PackedPolicy, layout: Float64, horizon: int, after: int, least: int) -> Trajectory:
        """See `TaskSimulator`."""
        return step_trajectory(self, policy, layout, horizon, after, least)

    def frame(self, width: int, height: int) -> Pixels:
        """The mass (dark), the goal (green, as large as it counts) and the origin (a grey cross)."""
        scale = 2 * VIEW / min(width, height)
        x = (np.arange(width) + 0.5 - width / 2) * scale
        y = (height / 2 - np.arange(height) - 0.5)[:, None] * scale
        pixels = np.full((height, width, 3), 255.0)
        _paint(pixels, (np.minimum(np.abs(x), np.abs(y)) - scale / 2) / scale, (225, 225, 225))
        for (centre_x, centre_y), radius, colour in (
            (self.goal, RADIUS, (60, 180, 75)),
            (self._state[:2], RADIUS / 2, (30, 40, 90)),
        ):
            _paint(pixels, (np.hypot(x - centre_x, y - centre_y) - radius) / scale, colour)
        return pixels.round().astype(np.uint8)


def _paint(pixels: Float64, distance: Float64, colour: tuple[int, int, int]) -> None:
    """Colour the inside of a shape, given each pixel's signed distance to its edge in pixels; the edge is smooth."""
    touched = distance < 0.5
    inside = np.minimum(0.5 - distance[touched], 1.0)[:, None]
    pixels[touched] += inside * (np.array(colour) - pixels[touched])


class _Expert:
    def __init__(self, goal: Float64) -> None:
        self._goal = goal

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self, obs: Float64) -> Float64:
        return np.clip(GAIN * (self._goal - obs[:2]), -1.0, 1.0)


def check_task(task: Task) -> None:
    """Refuse a task without a goal.

    Raises:
        SuiteError: the line says what a task needs.
    """
    PointMass(task)


def open_task(task: Task) -> PointMass:
    """A fresh point mass with the task's goal."""
    return PointMass(task)


def draw_layouts(task: Task, layout_set: str, count: int) -> Float64:
    """Start positions in [-0.2, 0.2]^2, the same for every task: (count, 2) float64."""
    rng = np.random.default_rng([20240715, LAYOUT_SETS.index(layout_set)])
    return rng.uniform(-0.2, 0.2, size=(count, 2))


def versions() -> dict[str, str]:
    """Nothing but numpy's elementary arithmetic decides the toy's physics."""
    return {}
