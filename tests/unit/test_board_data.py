"""The data of the page: what stands where, in a fixed order, and nothing of a record that it must not be."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from board_samples import CONDITIONS, HOSTILE, METHODS, condition, conditions, hostile_record
from record_samples import sample

from maa_bench.metrics import METRICS
from maa_bench.record import RunRecord
from maa_bench.report.board_data import RESULTS, board_data, board_json
from maa_bench.report.board_types import Board, Row
from maa_bench.report.tables import IQM, Extra, Ranged


def rows(board: Board) -> dict[str, Row]:
    return {row["id"]: row for group in board["groups"] for row in group["rows"]}


def changed(record: RunRecord, **parts: dict[str, Any]) -> RunRecord:
    """A record with some keys of its parts replaced."""
    raw = record.model_dump()
    for part, values in parts.items():
        raw[part] |= values
    return RunRecord.model_validate(raw)


@pytest.fixture(scope="module")
def records() -> list[RunRecord]:
    return conditions()


@pytest.fixture(scope="module")
def board(records: list[RunRecord]) -> Board:
    return board_data(records)


def test_a_group_a_condition_the_base_first_then_along_the_axes(board: Board) -> None:
    assert [group["condition"] for group in board["groups"]] == [
        "base", "shots=1", "shots=50", "prompt_source=partial", "prompt_noise=0.1", "prompt_noise=0.4",
    ]  # fmt: skip
    assert {group["protocol"] for group in board["groups"]} == {"synthetic-v1"}
    for group in board["groups"]:
        assert sorted(row["method"] for row in group["rows"]) == sorted(METHODS)


def test_every_number_is_the_record_s_own(board: Board, records: list[RunRecord]) -> None:
    by_id = rows(board)
    assert len(by_id) == len(records)
    for record in records:
        row = by_id[f"{record.method.name}/{record.run_id}"]
        for metric in METRICS:
            cell = row["metrics"][metric]
            if cell is None:
                assert record.method.deterministic_candidates
                assert row["tasks"][metric] is None
                continue
            own = record.metrics.aggregate[metric]
            assert cell == [own.value, *own.ci]
            by_task = [record.metrics.tasks[task][metric] for task in record.split.test]
            assert row["tasks"][metric] == [[m.value, *m.ci] for m in by_task]
        steps = record.metrics.aggregate.steps_to_success
        assert row["steps_to_success"] == (None if steps is None else [steps.value, *(steps.ci or ())])
        assert row["cost"]["fit_s"] == record.cost.seconds.fit / 2, "of one of two training seeds"


def test_a_method_of_one_policy_has_no_metric_that_selects(board: Board) -> None:
    row = rows(board)["expert/synthetic-base"]
    assert [name for name, cell in row["metrics"].items() if cell is not None] == ["mean", "qualified_rate"]


def test_lift_and_interquartile_mean_are_what_was_given(records: list[RunRecord]) -> None:
    given = {
        "bc_on_prompts/synthetic-base": Extra(0.5, Ranged(0.25, (-0.125, 1 / 3))),
        "synthetic_meta/synthetic-base": Extra(Ranged(0.75, (0.5, 2 / 3 + 0.25)), 0.5),
        "random_seen/synthetic-base": Extra(0.25),
    }
    board = rows(board_data(records, given))
    middles = {name: row["metrics"][IQM] for name, row in board.items() if row["metrics"][IQM] is not None}
    assert middles == {
        "bc_on_prompts/synthetic-base": [0.5],
        "synthetic_meta/synthetic-base": [0.75, 0.5, 0.916667],
        "random_seen/synthetic-base": [0.25],
    }
    assert {str(row["tasks"][IQM]) for row in board.values()} == {"None"}, "of all tasks together"
    lifts = {name: row["lift"] for name, row in board.items() if row["lift"] is not None}
    assert lifts == {
        "bc_on_prompts/synthetic-base": [0.25, -0.125, 0.333333],
        "synthetic_meta/synthetic-base": [0.5],
    }


def test_a_method_that_stands_twice_is_told_apart() -> None:
    one, again = (
        RunRecord.model_validate(condition("base", "random_seen").model_dump() | {"run_id": name}) for name in "ab"
    )
    found = rows(board_data([one, again, condition("base", "expert")]))
    assert {row["label"] for row in found.values()} == {"random_seen (a)", "random_seen (b)", "expert"}


def test_axes_name_the_rows_of_their_points(board: Board) -> None:
    (axes,) = board["families"]
    by_setting = {axis["setting"]: axis for axis in axes}
    assert {name: axis["values"] for name, axis in by_setting.items()} == {
        "shots": [1, 4, 50],
        "prompt_source": ["expert", "partial"],
        "prompt_noise": [0, 0.1, 0.4],
    }
    known = rows(board)
    for axis in axes:
        assert sorted(line["method"] for line in axis["lines"]) == sorted(METHODS)
        for line in axis["lines"]:
            assert all(row is not None and known[row]["method"] == line["method"] for row in line["rows"])
    shots = next(line for line in by_setting["shots"]["lines"] if line["method"] == "expert")
    assert shots["rows"] == ["expert/synthetic-shots-1", "expert/synthetic-base", "expert/synthetic-shots-50"]


def test_kinds_of_rows(board: Board) -> None:
    kinds = {row["method"]: row["kind"] for row in rows(board).values()}
    assert kinds == {name: {"control": "control", "ceiling": "ceiling"}.get(family, "method")
                     for name, (family, _, _) in METHODS.items()}  # fmt: skip


def test_kinds_of_metrics(board: Board) -> None:
    kinds = {metric["name"]: metric["kind"] for metric in board["metrics"]}
    assert list(kinds) == ["mean", IQM, *list(METRICS)[1:]]
    assert {name for name, kind in kinds.items() if kind == "legacy"} == {"legacy_top5", "legacy_best"}
    assert {name for name, kind in kinds.items() if kind == "bound"} == {"oracle_best"}


def test_the_order_of_records_changes_nothing(board: Board, records: list[RunRecord]) -> None:
    assert board_json(board_data(records[::-1])) == board_json(board)


def test_json_is_the_same_data_with_a_row_a_line(board: Board) -> None:
    text = board_json(board)
    assert json.loads(text) == json.loads(json.dumps(board))
    lines = [line for line in text.splitlines() if line.startswith('{"id":')]
    assert len(lines) >= len(CONDITIONS) * len(METHODS)
    assert text.isascii()


def test_groups_that_share_all_names_are_told_apart() -> None:
    one, _ = sample()
    two = changed(one, suite={"layouts_sha256": "b" * 64})
    three = changed(one, protocol={"horizon": 77})
    groups = board_data([one, two, three])["groups"]
    assert len({group["protocol"] for group in groups}) == 3
    assert all(group["protocol"].endswith(f"#{group['id']}") for group in groups)


def test_the_headline_is_the_newest_suite_s_unseen_split_under_the_standard() -> None:
    one, _ = sample()
    standard = {"name": "standard-v1", "condition": "base"}
    old = changed(one, suite={"name": "toy-v2"}, protocol=standard)
    new = changed(one, suite={"name": "toy-v10"}, protocol=standard)
    seen = changed(one, suite={"name": "toy-v10"}, split={"name": "seen"}, protocol=standard)
    noisy = changed(one, suite={"name": "toy-v10"}, protocol={"name": "noisy-v1", "condition": "base"})
    groups = board_data([old, noisy, seen, new])["groups"]
    assert [(group["suite"], group["split"], group["protocol"]) for group in groups] == [
        ("toy-v10", "unseen", "standard-v1"),
        ("toy-v10", "unseen", "noisy-v1"),
        ("toy-v10", "seen", "standard-v1"),
        ("toy-v2", "unseen", "standard-v1"),
    ]


def test_a_point_that_fits_two_bases_stands_in_one_group() -> None:
    one = condition("base", "bc_on_prompts")
    other = changed(RunRecord.model_validate(one.model_dump() | {"run_id": "other"}), protocol={"shots": 16})
    groups = board_data([one, other, condition("shots=1", "bc_on_prompts")])["groups"]
    assert len(groups) == 3


def test_links_go_into_the_results_only(board: Board) -> None:
    plain = re.compile(re.escape(RESULTS) + r"(/[A-Za-z0-9][A-Za-z0-9._-]*){3}")
    for row in rows(board).values():
        assert row["files"][0]["name"] == "record.json"
        for file in row["files"]:
            assert file["href"] is not None
            assert plain.fullmatch(file["href"])


@pytest.mark.parametrize("text", [*HOSTILE, "..", ".", "../../../etc", "a/b", "%2e%2e", "x\n"])
def test_names_that_are_not_plain_have_no_link(text: str) -> None:
    (row,) = rows(board_data([hostile_record(text)])).values()
    assert [file["href"] for file in row["files"]] == [None, None]


def test_weights_that_are_not_committed_have_no_link() -> None:
    record, _ = sample()
    raw = record.model_dump()
    raw["files"] = {name: {"sha256": "0" * 64, "bytes": 5} for name in ("candidates.safetensors", "episodes.parquet")}
    (row,) = rows(board_data([RunRecord.model_validate(raw)])).values()
    assert {file["name"]: file["href"] is None for file in row["files"]} == {
        "record.json": False,
        "candidates.safetensors": True,
        "episodes.parquet": False,
    }


def test_values_of_an_axis_ascend(board: Board) -> None:
    for axis in board["families"][0]:
        numbers = [value for value in axis["values"] if not isinstance(value, str)]
        assert all(a < b for a, b in pairwise(numbers))
