"""Many comparisons at once: of 20 true nulls one is "significant" at .05 by luck alone."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted by Holm's step-down rule (S. Holm, Scandinavian Journal of Statistics 6, 1979).

    Calling everything below .05 true then errs on any of them with a probability of at most .05, however they
    hang together. The smallest of m is multiplied by m, the next by m - 1, and so on; none falls below the
    one before it.

    Args:
        p_values: (m,) in [0, 1], in any order.

    Returns:
        (m,) adjusted, in the same order.
    """
    adjusted = [0.0] * len(p_values)
    so_far = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        so_far = max(so_far, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = so_far
    return adjusted
