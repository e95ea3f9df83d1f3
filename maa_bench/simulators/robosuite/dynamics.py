"""What the dynamics of `maa_bench.simulators.mujoco_dynamics` are in robosuite.

- mass: the arm's controller is told (it computes with the model's own mass matrix and gravity), so it is the objects'
  that is felt.
- gain: of the controller's goal, and of the fingers; the arm's motors, which are no servos, stay as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from maa_bench.simulators.mujoco_dynamics import MujocoDynamics


class ModelDynamics(MujocoDynamics):
    """Sets the dynamics of an environment's model; made before any layout is put into it.

    robosuite resets an environment while it is made, by its own placement sampler. Cubes are placed in the state, but
    Door's door in the model (`body_pos`, `body_quat`). What is copied here is therefore not the pose that the model was
    compiled with but a draw, the same in every process, as `upstream.make` sets the seed.

    Args:
        env: a robosuite environment whose resets keep its model.
    """

    def __init__(self, env: Any) -> None:
        robot = env.robots[0]
        arm = robot.arms[0]
        servos = robot._ref_joint_gripper_actuator_indexes[arm]
        super().__init__(env.sim.model._model, placed=("body_pos", "body_quat"), servos=servos)  # a layout's door
        # Controllers are made anew at every reset, from this.
        self._controller = robot.composite_controller_config["body_parts"][arm]
        self._ends = {name: np.array(self._controller[name]) for name in ("output_min", "output_max")}

    def _reach(self, gain: float) -> None:
        for name, ends in self._ends.items():
            self._controller[name] = (ends * gain).tolist()
