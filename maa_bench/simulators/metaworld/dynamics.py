"""Meta-World's physics scaled: the model of one environment under other masses, frictions, dampings and gains.

- mass: mass and inertia of every body, arm and objects; what MuJoCo derives from them is derived again.
- friction: all coefficients of all geoms (a contact takes the larger of its two, so that every contact's scales), and
  dry friction of joints.
- damping: that of every joint, of drawers, doors and knobs as of arm and fingers.
- gain: how far the arm is sent by an action (Meta-World drives it by a mocap body, `action_scale` metres for an action
  of 1), and the servos of the fingers (force for a given distance; where they come to rest stays).
"""

from __future__ import annotations

from typing import Any

import mujoco

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


class ModelDynamics:
    """Sets the dynamics of an environment's model; made before its first reset.

    Args:
        env: a Meta-World environment.
    """

    def __init__(self, env: Any) -> None:
        self._env, self._model = env, env.model
        names = [name for scaled in _SCALED.values() for name in scaled]
        self._arrays = {name: getattr(self._model, name).copy() for name in (*names, *_DERIVED)}
        self._statistics = {name: getattr(self._model.stat, name) for name in _STATISTICS}
        self._centre = self._model.stat.center.copy()
        self._body_pos = self._model.body_pos.copy()
        self._action_scale = env.action_scale
        self._scratch: Any = None
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
            for name in _SCALED[setting]:
                getattr(model, name)[:] *= getattr(dynamics, setting)
        if dynamics.mass != 1:
            self._derive()
        self._env.action_scale = self._action_scale * dynamics.gain
        self.current = dynamics

    def _derive(self) -> None:
        """Call `mj_setConst`, which looks at where bodies stand: not where the last layout has put them."""
        model, scratch = self._model, self._scratch or mujoco.MjData(self._model)
        standing = model.body_pos.copy()
        model.body_pos[:] = self._body_pos
        mujoco.mj_resetData(model, scratch)
        mujoco.mj_setConst(model, scratch)
        model.body_pos[:] = standing
        self._scratch = scratch
