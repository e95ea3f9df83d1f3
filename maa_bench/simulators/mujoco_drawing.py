"""Pictures of a MuJoCo model, drawn without a screen.

Not by `mujoco.Renderer`: it takes the backend that MUJOCO_GL named when mujoco was first imported, draws no larger
than the model allows, and complains when the interpreter ends. Nor by robosuite's own renderer, which must be asked for
when an environment is made. Here all pictures of a process share one GL context.
"""

from __future__ import annotations

import atexit
import importlib
import weakref
from dataclasses import dataclass
from functools import cache
from typing import Any

import mujoco
import numpy as np

from maa_bench import gl
from maa_bench.errors import DrawingError
from maa_bench.simulators import Pixels

MAX_GEOMS = 2000
"""Shapes in one picture; the models of Meta-World and robosuite have about a hundred."""

SHADOW_PIXELS = 1024
"""Side of the shadow map. 4096, of Meta-World and MuJoCo itself, takes two thirds of a frame's time without a GPU."""


@dataclass(frozen=True)
class View:
    """How the models of one simulator are looked at.

    Attributes:
        camera: name of one of the model's cameras.
        upside_down: whether that camera hangs so.
        hidden_group: a group of geoms that is not drawn, as what collides where something else is to be looked at.
    """

    camera: str
    upside_down: bool = False
    hidden_group: int | None = None


_open_contexts: weakref.WeakSet[Any] = weakref.WeakSet()


class Drawing:
    """Draws states of one model; made once, for any size.

    Raises:
        DrawingError: nothing can be drawn on this machine.
    """

    def __init__(self, model: Any, view: View) -> None:
        self._model, self._view = model, view
        _gl_context().make_current()
        self._scene = mujoco.MjvScene(model, maxgeom=MAX_GEOMS)
        self._options = mujoco.MjvOption()
        if view.hidden_group is not None:
            self._options.geomgroup[view.hidden_group] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, view.camera)
        quality = model.vis.quality
        shadows, quality.shadowsize = quality.shadowsize, SHADOW_PIXELS
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        quality.shadowsize = shadows
        _open_contexts.add(self._context)

    def frame(self, data: Any, width: int, height: int) -> Pixels:
        """The state `data` of the model: (height, width, 3) uint8."""
        _gl_context().make_current()
        context = self._context
        if (context.offWidth, context.offHeight) != (width, height):
            mujoco.mjr_resizeOffscreen(width, height, context)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
        mujoco.mjv_updateScene(
            self._model, data, self._options, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        whole = mujoco.MjrRect(0, 0, width, height)
        mujoco.mjr_render(whole, self._scene, context)
        pixels = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, whole, context)
        # GL's first row is the lowest. Of a camera that hangs upside down it is the top: swap left and right instead.
        return np.ascontiguousarray(pixels[:, ::-1] if self._view.upside_down else pixels[::-1])


@cache
def _gl_context() -> Any:
    """This process' GL context, of the backend that works."""
    backend = gl.choose()
    # `mujoco.gl_context` holds the backend of MUJOCO_GL at the time of its import, which may be long ago.
    module = importlib.import_module(f"mujoco.{backend}" if backend in gl.PACKAGES else "mujoco.gl_context")
    try:
        made = module.GLContext(1, 1)
    except Exception as error:  # each backend raises what it likes
        raise DrawingError(
            f"the GL backend {backend or 'of this system'} failed: {error}; {gl.how_to_mend()}"
        ) from None

    def close() -> None:
        # Before the display is closed (handlers run last in, first out) and before modules are torn down.
        for context in list(_open_contexts):
            context.free()
        made.free()

    atexit.register(close)
    return made
