"""docs/metrics.md: every metric is on it, and its table of the legacy metric is what the closed form gives."""

from __future__ import annotations

from itertools import dropwhile, takewhile
from pathlib import Path

import pytest

from maa_bench.metrics import METRICS
from maa_bench.stats.legacy import legacy_expectation

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def _rows(after: str) -> list[list[str]]:
    """The cells of the first table after a text, without its header."""
    lines = PAGE.partition(after)[2].splitlines()
    table = list(takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: line[:1] != "|", lines)))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_metric_has_a_row() -> None:
    named = [row[0].strip("`") for row in _rows("## Outcomes")]
    assert [name for name in named if name in METRICS] == list(METRICS)
    assert {"steps_to_success", "lift"} <= set(named)


def test_legacy_table() -> None:
    rows = _rows("<!-- legacy table")
    assert len(rows) > 3
    for success, *cells in rows:
        for cell, (k, candidates) in zip(cells, [(5, 16), (5, 100), (1, 16), (1, 100)], strict=True):
            assert float(cell) == pytest.approx(legacy_expectation(float(success), candidates, k), abs=0.00501)
