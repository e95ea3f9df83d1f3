"""Versions of the packages that can change a number."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import metadata

DECIDING = ("maa-bench", "numpy", "torch", "numba", "scipy", "mujoco", "metaworld", "diffusers")
"""With another version of one of these, finished work is done again instead of taken from the cache."""

RECORDED = (*DECIDING, "gymnasium", "robosuite", "pyarrow")
"""What a record names."""


def software(packages: Iterable[str] = DECIDING) -> dict[str, str]:
    """Installed versions by package; packages that are not installed are left out."""
    versions = {name: _version(name) for name in packages}
    return {name: found for name, found in versions.items() if found is not None}


@cache  # reading it takes milliseconds, and every address of a plan needs it
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
