"""What the released code's metric reads on average, in closed form: how much of it is selection."""

from __future__ import annotations

import math

from maa_bench.metrics import TOP


def legacy_expectation(success: float, candidates: int = 100, k: int = TOP) -> float:
    """Expected legacy "top k" of candidates that are all equally good.

    A layout's K successes, binomial, are sorted to the front, and the first k averaged: min(K, k) / k.
    Averaging rank by rank over several layouts changes nothing of that expectation.

    Args:
        success: true success of every candidate, in [0, 1]. candidates: how many (the paper has 100). k: how
        many count: 5 for `legacy_top5`, 1 for `legacy_best`.

    Raises:
        ValueError: numbers that are none of these.
    """
    if not (0 <= success <= 1 and candidates >= 1 and k >= 1):
        raise ValueError(f"no such benchmark: success {success}, {candidates} candidates, top {k}")
    k = min(k, candidates)
    fewer = sum((k - n) * _binomial(n, candidates, success) for n in range(k))
    return 1 - fewer / k


def _binomial(n: int, trials: int, p: float) -> float:
    return math.comb(trials, n) * p**n * (1 - p) ** (trials - n)
