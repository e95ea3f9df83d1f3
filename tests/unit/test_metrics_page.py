"""docs/metrics.md: every metric is on it, and its table of the legacy metric is what the closed form gives."""

from __future__ import annotations

import re
from itertools import dropwhile, takewhile
from pathlib import Path

import pytest

from maa_bench.metrics import METRICS
from maa_bench.report.csv_tables import RUN_COLUMNS, TABLE_COLUMNS
from maa_bench.report.diversity import DISTANCES
from maa_bench.stats.legacy import legacy_expectation

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")

ENDS = ("_lo", "_hi")


def _rows(after: str) -> list[list[str]]:
    """The cells of the first table after a text, without its header."""
    lines = PAGE.partition(after)[2].splitlines()
    table = list(takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: line[:1] != "|", lines)))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_metric_has_a_row() -> None:
    named = [row[0].strip("`") for row in _rows("## Outcomes")]
    assert [name for name in named if name in METRICS] == list(METRICS)
    assert {"steps_to_success", "iqm", "lift"} <= set(named)
    assert [row[0].strip("`") for row in _rows("### Diversity and memorisation")] == list(DISTANCES)


def test_every_column_of_the_csv_files_has_a_row() -> None:
    """Ends of intervals are told of once for all."""
    for after, columns in (("| column of `table.csv`", TABLE_COLUMNS), ("| column of `runs.csv`", RUN_COLUMNS)):
        text = PAGE[PAGE.index(after) :].partition("\n\n")[0]
        named = [name for line in text.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]
        assert sorted(named) == sorted(name for name in columns if name[-3:] not in ENDS)


def test_legacy_table() -> None:
    rows = _rows("<!-- legacy table")
    assert len(rows) > 3
    for success, *cells in rows:
        for cell, (k, candidates) in zip(cells, [(5, 16), (5, 100), (1, 16), (1, 100)], strict=True):
            assert float(cell) == pytest.approx(legacy_expectation(float(success), candidates, k), abs=0.00501)
