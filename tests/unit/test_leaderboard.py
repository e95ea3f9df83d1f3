"""The leaderboard: groups apart, bytes that depend on the results alone, and no silent gaps."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from record_samples import sample

from maa_bench.errors import RecordError
from maa_bench.metrics import METRICS
from maa_bench.report.leaderboard import build_leaderboard, read_results
from maa_bench.report.tables import LONG_COLUMNS, MARKED
from maa_bench.results import write_record


def put(results: Path, method: str, run_id: str = "run-1", **changes: Any) -> Path:
    """Write a record where it belongs."""
    record, table = sample(method, run_id=run_id, **changes)
    folder = results / method / run_id
    write_record(folder, record, table)
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two methods in one group, one of them also in a second group with another dataset."""
    folder = tmp_path / "results"
    put(folder, "make_an_agent", success=0.7)
    put(folder, "random_seen", success=0.3)
    put(folder, "make_an_agent", "run-2", dataset__id="zoo-2")
    (folder / "README.md").write_text("Records.")
    return folder


def test_groups_are_never_mixed(results: Path, tmp_path: Path) -> None:
    index, _ = build_leaderboard(results, tmp_path / "out")
    first, second = index.read_text().split("\n## ")[1:3]
    assert "dataset toy-distill-1a2b" in first.splitlines()[0]
    assert "| task | make_an_agent | random_seen |" in first
    assert "dataset zoo-2" in second.splitlines()[0]
    assert "| task | make_an_agent |\n" in second
    assert "run-2" not in first


def test_index_says_what_is_compared_and_how(results: Path, tmp_path: Path) -> None:
    text = build_leaderboard(results, tmp_path / "out")[0].read_text()
    for words in ("toy-v1", "window-close, door-lock", "4 prompts", "3 test layouts", "40 checkpoints"):
        assert words in text
    assert all(header in text for header in MARKED.values())
    for name in METRICS:
        assert f"- `{name}`: " in text


def test_table_is_the_long_format(results: Path, tmp_path: Path) -> None:
    with build_leaderboard(results, tmp_path / "out")[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == LONG_COLUMNS
    assert len(rows) == 3 * 3 * len(METRICS)
    assert {(r["method"], r["run_id"]) for r in rows} == {
        ("make_an_agent", "run-1"),
        ("make_an_agent", "run-2"),
        ("random_seen", "run-1"),
    }


def test_same_results_same_bytes(results: Path, tmp_path: Path) -> None:
    before = [path.read_bytes() for path in build_leaderboard(results, tmp_path / "out")]
    again = tmp_path / "elsewhere"
    for run in sorted(results.glob("*/*"), reverse=True):  # Another place, another order on disk.
        shutil.copytree(run, again / run.relative_to(results))
    assert [path.read_bytes() for path in build_leaderboard(again, tmp_path / "out")] == before
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["index.md", "table.csv"]


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    put(tmp_path / "results", "a|b", method__source="<img src=x> [x](y)", method__summary="x")
    text = build_leaderboard(tmp_path / "results", tmp_path / "out")[0].read_text()
    assert "| task | a\\|b |\n" in text
    assert "<img" not in text
    assert "[x](y)" not in text


def test_a_broken_record_stops_everything(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = [path.read_bytes() for path in build_leaderboard(results, out)]
    path = results / "random_seen" / "run-1" / "record.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(RecordError, match="truncated") as error:
        build_leaderboard(results, out)
    assert str(path) in str(error.value)
    assert [(out / name).read_bytes() for name in ("index.md", "table.csv")] == before


def test_a_run_without_a_record_is_broken_too(results: Path) -> None:
    (results / "random_seen" / "run-1" / "record.json").unlink()
    with pytest.raises(RecordError, match="the file is missing"):
        read_results(results)


def test_a_record_in_the_wrong_folder_is_refused(results: Path) -> None:
    shutil.copytree(results / "random_seen" / "run-1", results / "random_seen" / "copy")
    with pytest.raises(RecordError, match=r"copy.*belongs in .*random_seen/run-1"):
        read_results(results)
    shutil.rmtree(results / "random_seen" / "copy")
    shutil.copytree(results / "random_seen" / "run-1", results / "deep" / "er" / "run-1")
    with pytest.raises(RecordError, match=r"belongs in|missing"):
        read_results(results)


def test_folders_left_by_a_crash_are_no_records(results: Path) -> None:
    shutil.copytree(results / "random_seen" / "run-1", results / "random_seen" / ".run-1.tmp")
    (results / "random_seen" / ".run-1.tmp" / "record.json").write_text("{")
    assert len(read_results(results)) == 3


def test_no_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such folder"):
        build_leaderboard(tmp_path / "results", tmp_path / "out")
    (tmp_path / "results").mkdir()
    with pytest.raises(RecordError, match="holds no records yet"):
        build_leaderboard(tmp_path / "results", tmp_path / "out")
    assert not (tmp_path / "out").exists()
