"""Pictures of a robosuite model, drawn without a screen.

Not by robosuite's own renderer: it must be asked for when an environment is made, takes its GL backend when robosuite
is imported, and leaves its context to whoever ends the process. Here all pictures of a process share one GL context.
"""

from __future__ import annotations

import atexit
import importlib
import weakref
from functools import cache
from typing import Any

import mujoco
import numpy as np

from maa_bench import gl
from maa_bench.errors import DrawingError
from maa_bench.simulators import Pixels

CAMERA = "frontview"
"""Of robosuite's cameras the one that has arm, table and objects of every task in view."""

COLLISION_GROUP = 0
"""robosuite's geoms of this group are what collides; those of group 1 are what is looked at."""

MAX_GEOMS = 2000
"""Shapes in one picture; robosuite's models have about a hundred."""

SHADOW_PIXELS = 1024
"""Side of the shadow map. MuJoCo's 4096 takes most of a frame's time without a GPU."""

_open_contexts: weakref.WeakSet[Any] = weakref.WeakSet()


class Drawing:
    """Draws states of one model; made once, for any size.

    Raises:
        DrawingError: nothing can be drawn on this machine.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        _gl_context().make_current()
        self._scene = mujoco.MjvScene(model, maxgeom=MAX_GEOMS)
        self._options = mujoco.MjvOption()
        self._options.geomgroup[COLLISION_GROUP] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_CAMERA, CAMERA)
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
        return np.ascontiguousarray(pixels[::-1])  # GL's first row is the lowest


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
