"""Resets at the speed of their physics: stock's own reset once a layout, without what nobody reads; then a copy.

A stock reset is 500 physics steps, and a fifth of their time again in Python around them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from metaworld.sawyer_xyz_env import SawyerXYZEnv

from maa_bench.simulators import Float64
from maa_bench.simulators.dynamics import NOMINAL, Dynamics
from maa_bench.simulators.mujoco_calls import address_of, libmujoco

KEPT_LAYOUTS = 128
"""Reset states kept a task: all layouts of a suite (125), at about 0.2 MB each."""


def addresses(env: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(4,) int64: mj_step, mj_forward, and the environment's model and data, for compiled loops."""
    functions = map(address_of, ("mj_step", "mj_forward"))
    return np.array([*functions, env.model._address, env.data._address], dtype=np.int64)


def make_lean(env: Any) -> None:
    """Leave out of an environment's simulation what nobody reads; its observations keep every bit.

    That is `mj_rnePostConstraint` (contact forces) after each control step, and in resets, where the hand waits for 50
    control steps at one place, a call from Python for each of them.
    """
    model, data = env.model, env.data

    def do_simulation(ctrl: Any, n_frames: int) -> None:
        data.ctrl[:] = ctrl
        mujoco.mj_step(model, data, nstep=n_frames)

    def reset_hand(steps: int = 50) -> None:
        data.mocap_pos[0] = env.hand_init_pos
        data.mocap_quat[0] = (1.0, 0.0, 1.0, 0.0)
        do_simulation((-1.0, 1.0), steps * env.frame_skip)
        env.init_tcp = env.tcp_center

    env.do_simulation = do_simulation
    if type(env)._reset_hand is SawyerXYZEnv._reset_hand:  # some tasks do more there
        env._reset_hand = reset_hand


@dataclass
class ResetState:
    """An environment as it is after the reset to one layout; `data` is the address of an mjData of its own."""

    data: int
    free: Callable[[int], None]
    body_pos: Float64
    site_pos: Float64
    obs: Float64
    target: Float64

    def __del__(self) -> None:
        self.free(self.data)


class ResetStates:
    """The reset states of one environment, made when first asked for and copied back afterwards.

    Args:
        env: the environment.
        reset: its reset, from a layout to the first observation.
    """

    def __init__(self, env: Any, reset: Callable[[Float64], Float64]) -> None:
        self._env, self._reset = env, reset
        self._states: OrderedDict[tuple[Dynamics, bytes], ResetState] = OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def restore(self, layout: Float64, dynamics: Dynamics = NOMINAL) -> ResetState:
        """Put the environment into the state that a reset to this layout leaves under its dynamics, which are given."""
        key = dynamics, np.asarray(layout, np.float64).tobytes()
        state = self._states.get(key)
        model, data = self._env.model, self._env.data
        if state is None:
            obs = self._reset(layout)
            state = ResetState(
                libmujoco().mj_copyData(None, model._address, data._address),
                libmujoco().mj_deleteData,
                model.body_pos.copy(),
                model.site_pos.copy(),
                obs,
                self._env._target_pos.copy(),
            )
            self._states[key] = state
            if len(self._states) > KEPT_LAYOUTS:
                self._states.popitem(last=False)
            return state
        libmujoco().mj_copyData(data._address, model._address, state.data)
        model.body_pos[:] = state.body_pos
        model.site_pos[:] = state.site_pos
        return state
