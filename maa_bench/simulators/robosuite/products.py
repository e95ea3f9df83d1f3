"""numpy's product of a matrix and a vector, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from maa_bench.compiled import njit


@njit
def product(matrix: Any, vector: Any) -> Any:
    """`matrix @ vector` by the BLAS that compiled code uses."""
    return np.dot(matrix, vector)
