"""robosuite's physics scaled: the model of one environment under other masses, frictions, dampings and gains.

- mass: mass and inertia of every body, arm and objects; what MuJoCo derives from them is derived again. The arm's
  controller is told (it computes with the model's own mass matrix and gravity), so it is the objects' that is felt.
- friction: all coefficients of all geoms (a contact takes the larger of its two, so that every contact's scales), and
  dry friction of joints.
- damping: that of every joint, of the door as of arm and fingers.
- gain: how far an action sends the end effector, and the servos of the fingers (force for a given distance; where
  they come to rest stays).
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from maa_bench.simulators.dynamics import NOMINAL, Dynamics

_SCALED = {
    "mass": ("body_mass", "body_inertia"),
    "friction": ("geom_friction", "dof_frictionloss"),
    "damping": ("dof_damping",),
    "gain": ("actuator_gainprm", "actuator_biasprm"),
}
_DERIVED = (
    *("body_subtreemass", "body_invweight0", "dof_M0", "dof_invweight0", "tendon_invweight0", "actuator_acc0"),
    *("cam_poscom0", "light_poscom0"),
)
"""What `mj_setConst` makes of the masses: solvers scale constraints by it, and tracking cameras look at it."""
_STATISTICS = ("meaninertia", "meanmass", "meansize", "extent")
_PLACED = ("body_pos", "body_quat")
"""Where a layout puts the door."""


class ModelDynamics:
    """Sets the dynamics of an environment's model; made before its first reset.

    Args:
        env: a robosuite environment whose resets keep its model.
    """

    def __init__(self, env: Any) -> None:
        self._model = env.sim.model._model
        names = [name for scaled in _SCALED.values() for name in scaled]
        self._arrays = {name: getattr(self._model, name).copy() for name in (*names, *_DERIVED)}
        self._statistics = {name: getattr(self._model.stat, name) for name in _STATISTICS}
        self._centre = self._model.stat.center.copy()
        self._placed = {name: getattr(self._model, name).copy() for name in _PLACED}
        robot = env.robots[0]
        self._servos = robot._ref_joint_gripper_actuator_indexes[robot.arms[0]]
        # Controllers are made anew at every reset, from this.
        self._controller = robot.composite_controller_config["body_parts"][robot.arms[0]]
        self._reach = {name: np.array(self._controller[name]) for name in ("output_min", "output_max")}
        self.current = NOMINAL

    def set(self, dynamics: Dynamics) -> None:
        """Scale what the model had when this was made; the state of the simulation is left alone."""
        if dynamics == self.current:
            return
        model = self._model
        for name, values in self._arrays.items():
            getattr(model, name)[:] = values
        for name, value in self._statistics.items():
            setattr(model.stat, name, value)
        model.stat.center[:] = self._centre
        for setting in dynamics.perturbed:
            rows = self._servos if setting == "gain" else slice(None)
            for name in _SCALED[setting]:
                getattr(model, name)[rows] *= getattr(dynamics, setting)
        for name, reach in self._reach.items():
            self._controller[name] = (reach * dynamics.gain).tolist()
        if dynamics.mass != 1:
            self._derive()
        self.current = dynamics

    def _derive(self) -> None:
        """Call `mj_setConst`, which looks at where bodies stand: not where the last layout has put them."""
        model = self._model
        standing = {name: getattr(model, name).copy() for name in _PLACED}
        for name, values in self._placed.items():
            getattr(model, name)[:] = values
        mujoco.mj_setConst(model, mujoco.MjData(model))
        for name, values in standing.items():
            getattr(model, name)[:] = values
