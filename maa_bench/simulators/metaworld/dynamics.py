"""What the dynamics of `maa_bench.simulators.mujoco_dynamics` are in Meta-World.

The arm is driven by a mocap body, `action_scale` metres for an action of 1: gain scales that. All actuators are servos
of the fingers.
"""

from __future__ import annotations

from typing import Any

from maa_bench.simulators.mujoco_dynamics import MujocoDynamics


class ModelDynamics(MujocoDynamics):
    """Sets the dynamics of an environment's model; made before its first reset.

    Args:
        env: a Meta-World environment.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env.model, placed=("body_pos",))
        self._env, self._action_scale = env, env.action_scale

    def _reach(self, gain: float) -> None:
        self._env.action_scale = self._action_scale * gain
