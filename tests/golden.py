"""Reads the golden vectors: numbers made with the official Make-An-Agent code, and weights by a formula.

The folder is named by the environment variable `MAA_BENCH_GOLDEN`; by default it is `../shared/golden` beside
the repository. Its README says what each file holds and how near is near enough.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

FOLDER = Path(os.environ.get("MAA_BENCH_GOLDEN") or Path(__file__).parents[2] / "shared" / "golden")

needs_golden = pytest.mark.skipif(
    not (FOLDER / "manifest.json").is_file(), reason=f"no golden vectors in {FOLDER} (set MAA_BENCH_GOLDEN)"
)
"""Mark for tests, or modules (`pytestmark`), that read the vectors."""


def record(name: str) -> dict[str, Any]:
    """`<name>.json`."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def arrays(name: str) -> dict[str, npt.NDArray[Any]]:
    """All arrays of `<name>.npz`."""
    with np.load(FOLDER / f"{name}.npz") as archive:
        return dict(archive)


def formula(
    seed: int, index: int, shape: tuple[int, ...], scale: float = 1.0, offset: float = 0.0
) -> npt.NDArray[np.float32]:
    """The array offset + scale * z of the given shape, every operation rounded to float32."""
    z = np.random.default_rng([seed, index]).standard_normal(shape, dtype=np.float32)
    scaled = np.float32(scale) * z
    return np.float32(offset) + scaled if offset else scaled


def sha256(array: npt.NDArray[Any]) -> str:
    """Of the raw little-endian bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def weights(name: str) -> dict[str, npt.NDArray[np.float32]]:
    """Every weight tensor of `<name>.json` by its official name, checked against its SHA-256."""
    content = record(name)
    made: dict[str, npt.NDArray[np.float32]] = {}
    for entry in content["parameters"]:
        array = formula(content["seed"], entry["index"], tuple(entry["shape"]), entry["scale"], entry["offset"])
        assert sha256(array) == entry["sha256"], f"{name}: random stream of {entry['official_name']} changed"
        made[entry["official_name"]] = array
    return made
