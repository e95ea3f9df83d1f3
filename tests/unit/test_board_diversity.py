"""Diversity and memorisation in the leaderboard: means of what `candidates.parquet` holds, dashes where it has none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from record_samples import CANDIDATES, TASKS, sample

from maa_bench import candidate_rows
from maa_bench.record import AGGREGATE, RunRecord
from maa_bench.report.diversity import DISTANCES, MISSING_NOTE, TITLE, diversity_table
from maa_bench.report.evidence import Evidence
from maa_bench.report.leaderboard import BOARD, build_leaderboard
from maa_bench.report.render import to_markdown
from maa_bench.report.tables import NOTHING, Extra, key_of
from maa_bench.results import write_record

NAN = float("nan")


def measured(results: Path, method: str, cells: dict[str, dict[str, list[float]]] | None) -> RunRecord:
    """A record on disk with these distances, by "<seed>/<task>" and name."""
    record, table = sample(method)
    arrays = {cell: {name: np.array(values) for name, values in of.items()} for cell, of in (cells or {}).items()}
    return write_record(results / method / record.run_id, record, table, measures=arrays)


def test_what_is_shown_is_what_is_measured() -> None:
    assert tuple(DISTANCES) == candidate_rows.DISTANCES


def test_distances_are_means_of_the_tasks_that_have_one(tmp_path: Path) -> None:
    first, second = TASKS
    record = measured(
        tmp_path,
        "a",
        {
            f"0/{first}": {"train_distance": [1, 2, 3, 4], "spread": [NAN] * 4},
            f"1/{first}": {"train_distance": [5, 6, 7, NAN], "spread": [NAN] * 4},
            f"0/{second}": {"train_distance": [10, 10, 10, 10], "path_spread": [0, 0, 0, 1]},
        },
    )
    distances = Evidence(tmp_path).distances(record)
    assert distances == {
        first: {"train_distance": 4.0},
        second: {"train_distance": 10.0, "path_spread": 0.25},
        AGGREGATE: {"train_distance": 7.0, "path_spread": 0.25},
    }
    assert CANDIDATES == 4
    assert Evidence(tmp_path).distances(measured(tmp_path, "unknown", None)) == {}


def test_table_shows_dashes_for_what_was_not_measured() -> None:
    some, none = sample("some", 0.9)[0], sample("none", 0.1)[0]
    extras = {
        key_of(some): Extra(0.5, distances={AGGREGATE: {"train_distance": 0.125, "spread": 12.4}}),
        key_of(none): Extra(0.5),
    }
    table = diversity_table([none, some], extras)
    assert table is not None
    assert table.header == ("method", "mean", "train_distance", "spread", "path_spread")
    assert table.rows == (
        ("some", some.metrics.aggregate.mean.value, 0.125, 12.4, NOTHING),
        ("none", none.metrics.aggregate.mean.value, *[NOTHING] * 3),
    )
    assert MISSING_NOTE in table.notes
    assert "| .12 | 12 | – |" in to_markdown(table)  # noqa: RUF001
    assert diversity_table([none], extras) is None
    assert diversity_table([some], {}) is None


def test_page_and_data_have_them(tmp_path: Path) -> None:
    known = {f"{seed}/{task}": {"spread": [0.5] * 4} for seed in (0, 1) for task in TASKS}
    records = [measured(tmp_path / "results", "a", known), measured(tmp_path / "results", "b", None)]
    page = build_leaderboard(tmp_path / "results", tmp_path / "out", figures=False)[0].read_text(encoding="utf-8")
    section = page.partition(f"#### {TITLE}\n")[2].partition("\n#### ")[0]
    assert [line.split(" | ")[2:] for line in section.splitlines() if line.startswith(("| a", "| b"))] == [
        [NOTHING, ".50", f"{NOTHING} |"], [NOTHING, NOTHING, f"{NOTHING} |"],
    ]  # fmt: skip
    board = json.loads((tmp_path / "out" / BOARD).read_text(encoding="utf-8"))
    rows = {row["id"]: row["distances"] for group in board["groups"] for row in group["rows"]}
    assert rows == {
        key_of(records[0]): {"train_distance": None, "spread": pytest.approx(0.5), "path_spread": None},
        key_of(records[1]): dict.fromkeys(DISTANCES),
    }
    assert [about["name"] for about in board["distances"]] == list(DISTANCES)
