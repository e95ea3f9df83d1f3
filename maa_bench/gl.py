"""Which off-screen GL backend MuJoCo can draw with on this machine. Only drawing needs one."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

from maa_bench.errors import DrawingError

PACKAGES = {"egl": "libegl1 libgl1", "osmesa": "libosmesa6"}
"""Off-screen backend of MuJoCo -> Debian packages that it needs (libgl1 brings the drivers); in the order of trial."""

TIMEOUT = 60.0
"""Seconds that one attempt may take."""

_PROBE = """
import mujoco
empty = mujoco.MjModel.from_xml_string("<mujoco><worldbody/></mujoco>")
renderer = mujoco.Renderer(empty, 16, 16)  # a GLContext alone may seem to work where nothing can be drawn
print("made")
"""


def works(backend: str) -> bool:
    """Whether a backend can draw; "" is MuJoCo's own choice where MUJOCO_GL is not set.

    Tried in a process of its own: a broken driver takes its process down.
    """
    environment = {**os.environ, "MUJOCO_GL": backend}
    environment.pop("PYOPENGL_PLATFORM", None)  # MuJoCo sets it for one backend, and then refuses the other
    if not backend:
        del environment["MUJOCO_GL"]
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], env=environment, capture_output=True, timeout=TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and b"made" in done.stdout


def choose() -> str:
    """The backend to draw with: the user's MUJOCO_GL if it is set, else the first that works.

    Raises:
        DrawingError: it does not work, or none does.
    """
    return _choose(os.environ.get("MUJOCO_GL", "").lower().strip())


@cache
def _choose(wanted: str) -> str:
    candidates = [wanted] if wanted else [*PACKAGES, ""]
    for backend in candidates:
        if works(backend):
            return backend
    if wanted:
        raise DrawingError(f"nothing can be drawn with MUJOCO_GL={wanted}: unset it, or {how_to_mend()}")
    raise DrawingError(f"nothing can be drawn without a screen: {how_to_mend()}")


def how_to_mend() -> str:
    """What to install and to set."""
    ways = " or ".join(f"`apt-get install {package}` and MUJOCO_GL={backend}" for backend, package in PACKAGES.items())
    return f"{ways} (an attempt may take {TIMEOUT:.0f} s: on a busy machine, try again)"
