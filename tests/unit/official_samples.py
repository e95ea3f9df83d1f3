"""Content of the released `.pt` formats for a small policy, and the one line in which reading a wrong file ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maa_bench.dataset.official import read_any
from maa_bench.errors import DataError
from maa_bench.policy import PolicySpec
from maa_bench.prompts import Behaviors

PAPER = PolicySpec(39, (128, 128), 4, ("elu", "relu"))
SMALL = PolicySpec(4, (8,), 2, ("tanh",))
"""76 parameters, traj 200, task 12."""
ROWS = 3


def small_tensors() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "param": torch.tensor(rng.standard_normal((ROWS, 76)), dtype=torch.float32),
        "traj": torch.tensor(rng.standard_normal((ROWS, 200))),
        "task": torch.tensor(rng.standard_normal((ROWS, 12))),
    }


def processed_tensors() -> dict[str, Any]:
    return {"param": torch.randn(ROWS, 2, 16), "traj": torch.randn(ROWS, 8), "task": torch.randn(ROWS, 8)}


def some_behaviors(spec: PolicySpec, n: int) -> Behaviors:
    rng = np.random.default_rng(1)
    return Behaviors(
        rng.standard_normal((n, 60, spec.obs_dim)).astype(np.float32),
        rng.uniform(-1, 1, (n, 60, spec.action_dim)).astype(np.float32),
        rng.standard_normal((n, 3, spec.obs_dim)).astype(np.float32),
    )


def small_params(n: int = ROWS) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((n, 76)).astype(np.float32)


def refusal(path: Path, read: Callable[[Path], Any] = lambda path: read_any(path, SMALL)) -> str:
    """The one line that reading a file ends in; it names the file and does not advise to load it unsafely."""
    with pytest.raises(DataError) as caught:
        read(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    assert len(line) - len(str(path)) < 700
    assert "weights_only" not in line
    return line


def saved(folder: Path, content: Any, name: str = "door-open.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name
