"""Compiling with numba, kept on disk, and never out of date.

numba keeps compiled code by the time stamp of the file that a function stands in, and does not see that a function
it calls in another file was changed: after an update the old arithmetic would go on running unnoticed. Here the folder
of the compiled code is named after the sources of everything that maa-bench compiles.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

SOURCES = (
    "compiled.py",
    "forward.py",
    "simulators/metaworld/kernel.py",
    "simulators/metaworld/physics.py",
    "simulators/metaworld/success.py",
    "simulators/mujoco_calls.py",
    "simulators/robosuite/kernel.py",
    "simulators/robosuite/observation.py",
    "simulators/robosuite/products.py",
)
"""Every file with a function that is compiled (a test sees to it), below this one's folder."""


def njit(function: Callable[..., Any]) -> Any:
    """`numba.njit` that frees the interpreter lock and is cached in `cache_folder()`, or not at all."""
    if cache_folder() is None:
        return numba.njit(nogil=True)(function)
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, cache_folder()
    try:
        return numba.njit(cache=True, nogil=True)(function)
    finally:
        config.CACHE_DIR = before


@cache
def cache_folder() -> str | None:
    """Where compiled code is kept: under NUMBA_CACHE_DIR if it is set, else under the platform's cache folder.

    None if nothing can be written there: then every process compiles for itself, as numba's own way out (a folder
    beside the sources) would not notice a change.
    """
    from platformdirs import user_cache_path

    here = Path(__file__).parent
    sources = hashlib.sha256(b"".join((here / name).read_bytes() for name in SOURCES)).hexdigest()[:16]
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = (Path(chosen) if chosen else user_cache_path("maa-bench") / "compiled") / sources
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return str(folder)
    except OSError:
        return None
