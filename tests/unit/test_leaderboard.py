"""The leaderboard: groups apart, bytes that depend on the results alone, and no silent gaps."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from record_samples import TASKS, sample

from maa_bench.errors import RecordError
from maa_bench.metrics import METRICS
from maa_bench.report.csv_tables import TABLE_COLUMNS
from maa_bench.report.leaderboard import build_leaderboard, read_results
from maa_bench.report.tables import MARKED, format_interval, format_value
from maa_bench.results import load_record, write_record


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
    index = build_leaderboard(results, tmp_path / "out", figures=False)[0]
    first, second = index.read_text().split("\n### ")[1:3]
    assert "dataset toy-distill-1a2b" in first.splitlines()[0]
    assert "\n| make_an_agent |" in first
    assert "\n| random_seen |" in first
    assert "dataset zoo-2" in second.splitlines()[0]
    assert "\n| make_an_agent |" in second
    assert "\n| random_seen |" not in second
    assert "run-2" not in first


def named(protocol: str, condition: str = "base", **changes: Any) -> dict[str, Any]:
    """The changes that make a record one of a named protocol."""
    return {"protocol__name": protocol, "protocol__condition": condition, **changes}


def test_current_suites_and_the_standard_protocol_come_first(results: Path, tmp_path: Path) -> None:
    put(results, "random_seen", "r1", suite__name="toy-v2", **named("few-shot-v1"))
    put(results, "random_seen", "r2", suite__name="toy-v2", **named("few-shot-v1", "shots=1", protocol__shots=1))
    put(results, "random_seen", "r3", suite__name="toy-v2", **named("standard-v1"))
    put(results, "random_seen", "r4", suite__name="toy-v2", split__name="ml10", **named("standard-v1"))
    put(results, "random_seen", "r5", suite__name="other-v1", **named("paper-v1"))
    put(results, "random_seen", "r6", suite__name="toy-v1", **named("standard-v1"))
    text = build_leaderboard(results, tmp_path / "out", figures=False)[0].read_text()
    page, _, notes = text.partition("\n## Notes\n")
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## Contents",
        "## other-v1, split unseen",
        "## toy-v2, split unseen",
        "## toy-v2, split ml10",
        "## Older suites, and protocols without a name",
    ]
    titles = [line.removeprefix("### ").partition(", dataset")[0] for line in page.splitlines() if line[:4] == "### "]
    assert titles == [
        "paper-v1",
        "standard-v1",
        "few-shot-v1",
        "standard-v1",
        "toy-v1, split unseen: standard-v1",
        "toy-v1, split unseen: protocol without a name",
        "toy-v1, split unseen: protocol without a name",
    ]
    anchors = re.findall(r'<a id="([^"]+)"></a>', page)
    assert len(set(anchors)) == len(anchors) == len(titles)
    assert re.findall(r"\]\(#([^)]+)\)", page) == anchors, "the contents list leads to each, in order"
    curve = page.partition("#### By shots")[2]
    assert "| method | 1 | 4 \\* |" in curve
    assert "`oracle_best`" in notes


def test_conditions_are_rows_of_the_table_and_columns_of_the_page(results: Path, tmp_path: Path) -> None:
    base = put(results, "random_seen", "r1", success=0.9, **named("few-shot-v1"))
    point = put(results, "random_seen", "r2", success=0.2, **named("few-shot-v1", "shots=1", protocol__shots=1))
    paths = build_leaderboard(results, tmp_path / "out", figures=False)
    cells = [load_record(folder).metrics.aggregate.mean for folder in (point, base)]
    shown = " | ".join(f"{format_value(cell.value)} {format_interval(cell)}" for cell in cells)
    assert f"| random_seen | {shown} |" in paths[0].read_text()
    with paths[1].open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"] == "few-shot-v1"]
    by_condition = {row["condition"]: float(row["mean"]) for row in rows if row["task"] == "aggregate"}
    assert by_condition == pytest.approx({"base": cells[1].value, "shots=1": cells[0].value}, abs=5.1e-5)


def test_index_says_what_is_compared_and_how(results: Path, tmp_path: Path) -> None:
    text = build_leaderboard(results, tmp_path / "out", figures=False)[0].read_text()
    for words in ("toy-v1", "window-close, door-lock", "4 prompts", "3 test layouts", "40 checkpoints"):
        assert words in text
    assert all(header in text for header in MARKED.values())
    for name in METRICS:
        assert f"- `{name}`: " in text


def test_table_has_a_row_a_run_and_task(results: Path, tmp_path: Path) -> None:
    with build_leaderboard(results, tmp_path / "out", figures=False)[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == TABLE_COLUMNS
    assert len(rows) == 3 * 3
    assert all(bool(row["iqm"]) == (row["task"] == "aggregate") for row in rows)
    assert {(r["method"], r["run_id"]) for r in rows} == {
        ("make_an_agent", "run-1"),
        ("make_an_agent", "run-2"),
        ("random_seen", "run-1"),
    }


@pytest.mark.parametrize("figures", [False, pytest.param(True, marks=pytest.mark.heavy)])
def test_same_results_same_bytes(results: Path, tmp_path: Path, figures: bool) -> None:
    for condition, changes in (("base", {}), ("shots=1", {"protocol__shots": 1})):
        put(results, "make_an_agent", condition.replace("=", "-"), **named("few-shot-v1", condition, **changes))

    def made(source: Path, out: Path) -> dict[str, bytes]:
        return {str(p.relative_to(out)): p.read_bytes() for p in build_leaderboard(source, out, figures)}

    before = made(results, tmp_path / "out")
    again = tmp_path / "elsewhere"
    for run in sorted(results.glob("*/*"), reverse=True):  # Another place, another order on disk.
        shutil.copytree(run, again / run.relative_to(results))
    assert made(again, tmp_path / "two") == before
    stems = ("profiles-toy-v1-unseen-unnamed", "cost-toy-v1-unseen-unnamed", "curves-toy-v1-unseen-few-shot-v1")
    drawn = {f"figures/{stem}.{suffix}" for stem in stems for suffix in ("png", "svg")}
    tables = {"index.md", "table.csv", "runs.csv", "table.tex", "leaderboard.json", "site/index.html"}
    assert set(before) == {*tables, *(drawn if figures else ())}
    shown = set(re.findall(r"\]\((figures/[^)]+)\)", before["index.md"].decode()))
    assert shown == {name for name in drawn if figures and name.endswith("svg")}


def test_figures_that_are_no_more_go_away_and_strangers_stay(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "figures").mkdir(parents=True)
    for name in ("cost-of-former-times.svg", "transfer-matrix.svg"):
        (out / "figures" / name).write_text("x")
    build_leaderboard(results, out, figures=False)
    assert len(list((out / "figures").iterdir())) == 2
    assert "![" not in (out / "index.md").read_text()
    build_leaderboard(results, out)
    names = {path.name for path in (out / "figures").iterdir()}
    assert "cost-of-former-times.svg" not in names
    assert "transfer-matrix.svg" in names


def test_texts_cannot_break_the_page(tmp_path: Path) -> None:
    hostile = "<img src=x> [x](y) a|b $\\alpha ../../up"
    for method in ("one", "two"):
        put(
            tmp_path / "results", method, method__source=hostile, method__citation=hostile, dataset__id=f"d{hostile}",
            protocol__success_rule=hostile, **named("named-v1"),
        )  # fmt: skip
    paths = build_leaderboard(tmp_path / "results", tmp_path / "out")
    text = paths[0].read_text()
    assert "a\\|b" in text
    assert "<img" not in text
    assert "[x](y)" not in text
    slug = "toy-v1-unseen-named-v1"
    names = {f"{kind}-{slug}.{suffix}" for kind in ("cost", "profiles") for suffix in ("png", "svg")}
    assert {path.name for path in paths if path.parent.name == "figures"} == names
    for path in paths:
        assert path.resolve().is_relative_to(tmp_path / "out")


def test_a_broken_record_stops_everything(results: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in build_leaderboard(results, out, figures=False)}
    path = results / "random_seen" / "run-1" / "record.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(RecordError, match="truncated") as error:
        build_leaderboard(results, out)
    assert str(path) in str(error.value)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("number", ["mean", "legacy_best", "steps_to_success"])
@pytest.mark.parametrize("task", [TASKS[1], "aggregate"])
def test_a_number_that_the_episodes_do_not_give_stops_everything(
    results: Path, tmp_path: Path, task: str, number: str
) -> None:
    path = results / "random_seen" / "run-1" / "record.json"
    raw = json.loads(path.read_text())
    stated = raw["metrics"]["aggregate" if task == "aggregate" else "tasks"]
    stated = stated[number] if task == "aggregate" else stated[task][number]
    stated["value"] = next(end for end in stated["ci"] if end != stated["value"])
    path.write_text(json.dumps(raw))
    with pytest.raises(RecordError, match=rf"record\.json: {number} of '{task}' is .*, but its episodes give") as error:
        build_leaderboard(results, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


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
