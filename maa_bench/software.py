"""Versions of the packages that can change a number."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

DECIDING = ("maa-bench", "numpy", "torch", "numba", "scipy", "mujoco", "metaworld", "diffusers")
"""With another version of one of these, finished work is done again instead of taken from the cache."""

RECORDED = (*DECIDING, "gymnasium", "robosuite", "pyarrow")
"""What a record names."""


def software(packages: Iterable[str] = DECIDING) -> dict[str, str]:
    """Installed versions by package; packages that are not installed are left out."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
