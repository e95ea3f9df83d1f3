"""What a benchmark number is: pure functions from tables of outcomes to one figure.

All take the outcomes of one task. `success` has shape (n_seeds, n_candidates, n_layouts) on the *test*
layouts, `select` (n_seeds, n_candidates, n_select_layouts) on the *select* layouts; entries are 0 or 1 (bool
or float). The two sets of layouts are disjoint, so a metric that picks candidates never picks on the rollouts
that it reports. Every metric is averaged over the training seeds. `maa_bench.stats` gives their intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt

Outcomes = npt.NDArray[np.bool_] | npt.NDArray[np.floating[Any]]
Float64 = npt.NDArray[np.float64]

TOP = 5
"""How many candidates `top5_selected` and `legacy_top5` average."""

LEGACY_LAYOUTS = 2
"""The released evaluation runs two frozen layouts, one episode each."""

METRICS = {
    "mean": "Success of all candidates on all test layouts. Nothing is selected: the headline.",
    "best_selected": "Test success of the candidate that did best on the select layouts "
    "(ties: the lower candidate index).",
    "top5_selected": "Mean test success of the 5 candidates that did best on the select layouts "
    "(all of them where there are fewer).",
    "qualified_rate": "Share of candidates that succeed on every test layout.",
    "oracle_best": "Test success of the candidate that did best on the test layouts themselves: an upper bound "
    "of what any choice between the candidates could reach, and no result, because it selects on what it reports.",
    "legacy_top5": "The released code's metric, on the first 2 test layouts: each layout's outcomes are "
    "sorted on their own, averaged rank by rank, and the 5 largest averaged. It selects on the very rollouts "
    "that it reports and may mix different candidates; never compare it with the other columns.",
    "legacy_best": "The same code's best: the largest entry of that list, which is the share of the first 2 test "
    "layouts on which any candidate succeeded.",
}
"""Every metric of a run record, in the order of the tables, with its definition."""


def mean(success: Outcomes) -> float:
    """Mean of all outcomes; `success`: (n_seeds, n_candidates, n_layouts)."""
    return float(np.mean(success))


def best_selected(success: Outcomes, select: Outcomes) -> float:
    """Test success of the one candidate a seed that is best on the select layouts."""
    return _top_selected(success, select, 1)


def top5_selected(success: Outcomes, select: Outcomes) -> float:
    """Mean test success of the min(5, n_candidates) candidates a seed that are best on the select layouts."""
    return _top_selected(success, select, TOP)


def qualified_rate(success: Outcomes) -> float:
    """Share of candidates with 100 % success on the test layouts."""
    return float(np.mean(np.all(np.asarray(success, dtype=np.float64) >= 1, axis=2)))


def oracle_best(success: Outcomes) -> float:
    """Test success of the one candidate a seed that is best on the test layouts: an upper bound."""
    return float(np.mean(np.mean(success, axis=2, dtype=np.float64).max(axis=1)))


def legacy_by_rank(values: npt.NDArray[Any]) -> Float64:
    """Sort each layout's column on its own and average rank by rank, largest first.

    This is the released code's "per policy" list (its `seed` is one environment layout): a rank mixes
    different candidates. The release sorts lengths ascending and turns the list round before the cut, which
    comes to the same list: its "top 5 length" is the mean of the five *longest* episodes, and its minimum is
    the last entry.

    Args:
        values: (n_candidates, n_layouts) successes, rewards or lengths.

    Returns:
        (n_candidates,) float64, descending.
    """
    return np.sort(np.asarray(values, dtype=np.float64), axis=0)[::-1].mean(axis=1)


def legacy_top_k(values: npt.NDArray[Any], k: int = TOP) -> float:
    """The released code's "top k": mean of the k largest entries of `legacy_by_rank` (of all, if fewer)."""
    return float(legacy_by_rank(values)[:k].mean())


def legacy_top5(success: Outcomes) -> float:
    """`legacy_top_k` of each seed on the first two test layouts; `success`: (n_seeds, n_candidates,
    n_layouts)."""
    return float(np.mean([legacy_top_k(seed[:, :LEGACY_LAYOUTS]) for seed in np.asarray(success)]))


def legacy_best(success: Outcomes) -> float:
    """The released code's "best": the largest entry of `legacy_by_rank` of each seed on the first two test layouts."""
    return float(np.mean([legacy_top_k(seed[:, :LEGACY_LAYOUTS], 1) for seed in np.asarray(success)]))


def all_metrics(
    success: Outcomes, select: Outcomes | None, metrics: Collection[str] = tuple(METRICS)
) -> dict[str, float]:
    """Every metric of one task, or those of these names, keyed and ordered as `METRICS`.

    `select` may be None for a single candidate: there is nothing to select.
    """
    if select is None:
        if success.shape[1] != 1:
            raise ValueError("outcomes on select layouts are needed to choose among several candidates")
        select = success
    made: dict[str, Callable[[], float]] = {
        "mean": lambda: mean(success),
        "best_selected": lambda: best_selected(success, select),
        "top5_selected": lambda: top5_selected(success, select),
        "qualified_rate": lambda: qualified_rate(success),
        "oracle_best": lambda: oracle_best(success),
        "legacy_top5": lambda: legacy_top5(success),
        "legacy_best": lambda: legacy_best(success),
    }
    return {name: make() for name, make in made.items() if name in metrics}


def _top_selected(success: Outcomes, select: Outcomes, k: int) -> float:
    if success.ndim != 3 or select.ndim != 3 or success.shape[:2] != select.shape[:2]:
        raise ValueError(f"outcome tables do not fit: test {success.shape}, select {select.shape}")
    score = np.mean(select, axis=2, dtype=np.float64)
    # A stable sort of the negated score breaks ties by the lower candidate index, never by test outcomes.
    chosen = np.argsort(-score, axis=1, kind="stable")[:, :k]
    per_candidate = np.mean(success, axis=2, dtype=np.float64)
    return float(np.take_along_axis(per_candidate, chosen, axis=1).mean())
