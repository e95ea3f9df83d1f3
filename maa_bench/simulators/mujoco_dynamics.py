"""MuJoCo's physics scaled: the model of one environment under other masses, frictions, dampings and gains.

- mass: mass and inertia of every body, arm and objects; what MuJoCo derives from them is derived again.
- friction: all coefficients of all geoms (a contact takes the larger of its two, so that every contact's scales), and
  dry friction of joints.
- damping: that of every joint, of drawers, doors and knobs as of arm and fingers.
- gain: how far the arm is sent by an action, which is the simulator's to say (`_reach`), and the servos of the fingers
  (force for a given distance; where they come to rest stays).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
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


class MujocoDynamics(ABC):
    """Sets the dynamics of an environment's model; made before any layout is put into it.

    Args:
        model: the model, which resets keep.
        placed: its arrays by which a layout says where bodies stand. What follows from scaled masses is derived with
            them as they are when this is made, whatever layouts come later.
        servos: which actuators are servos; default: all.

    Attributes:
        current: what is set.
    """

    def __init__(self, model: Any, placed: Sequence[str], servos: Any = slice(None)) -> None:
        self._model, self._servos = model, servos
        names = [name for scaled in _SCALED.values() for name in scaled]
        self._arrays = {name: getattr(model, name).copy() for name in (*names, *_DERIVED)}
        self._statistics = {name: getattr(model.stat, name) for name in _STATISTICS}
        self._centre = model.stat.center.copy()
        self._placed = {name: getattr(model, name).copy() for name in placed}
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
            rows = self._servos if setting == "gain" else slice(None)
            for name in _SCALED[setting]:
                getattr(model, name)[rows] *= getattr(dynamics, setting)
        if dynamics.mass != 1:
            self._derive()
        self._reach(dynamics.gain)
        self.current = dynamics

    @abstractmethod
    def _reach(self, gain: float) -> None:
        """Let an action send the arm `gain` times as far as it does by itself."""

    def _derive(self) -> None:
        """Call `mj_setConst`, which looks at where bodies stand: where they stood when this was made."""
        model, scratch = self._model, self._scratch or mujoco.MjData(self._model)
        standing = {name: getattr(model, name).copy() for name in self._placed}
        for name, values in self._placed.items():
            getattr(model, name)[:] = values
        mujoco.mj_resetData(model, scratch)
        mujoco.mj_setConst(model, scratch)
        for name, values in standing.items():
            getattr(model, name)[:] = values
        self._scratch = scratch
