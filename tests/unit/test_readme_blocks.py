"""Blocks of a Markdown page: which records stand for a suite and split, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from record_samples import make_record, sample

from maa_bench.errors import RecordError
from maa_bench.report.readme import with_tables
from maa_bench.report.tables import format_value
from maa_bench.results import write_record


def put(results: Path, run_id: str, success: float, name: str | None, condition: str = "", **changes: Any) -> str:
    """Write a record; returns its mean as tables show it."""
    labels = {"protocol__name": name, "protocol__condition": condition}
    record, table = sample("make_an_agent", success, run_id=run_id, **labels, **changes)
    write_record(results / "make_an_agent" / run_id, record, table)
    return format_value(record.metrics.aggregate.mean.value)


@pytest.fixture
def means(tmp_path: Path) -> dict[str, str]:
    """Records of several protocols; the mean of each, all different."""
    made = {
        "none": put(tmp_path, "none", 0.15, None),
        "quick": put(tmp_path, "quick", 0.35, "quick-v1", "base"),
        "few": put(tmp_path, "few", 0.5, "few-shot-v1", "base"),
        "few1": put(tmp_path, "few1", 0.65, "few-shot-v1", "shots=1", protocol__shots=1),
        "standard": put(tmp_path, "standard", 0.85, "standard-v1", "base"),
    }
    assert len(set(made.values())) == len(made)
    return made


def block(what: str) -> str:
    return f"Before.\n\n<!-- {what} -->\nold\n<!-- end -->\n\nAfter.\n"


def test_a_table_is_of_the_standard_protocol_or_of_the_one_that_is_named(tmp_path: Path, means: dict[str, str]) -> None:
    for what, before, key in (
        ("table: toy-v1 unseen", "aggregate", "standard"),
        ("table: toy-v1 unseen few-shot-v1", "aggregate", "few"),
        ("measured: make_an_agent", "2", "standard"),
    ):
        text = with_tables(block(what), tmp_path)
        assert [mean for mean in means.values() if f"| {before} | {mean} [" in text] == [means[key]]
        assert text.startswith(f"Before.\n\n<!-- {what} -->\n\n|")
        assert text.endswith("\n\n<!-- end -->\n\nAfter.\n")
        assert "old" not in text
        assert with_tables(text, tmp_path) == text


def test_without_a_standard_protocol_the_most_training_seeds_count(tmp_path: Path) -> None:
    put(tmp_path, "many", 0.5, "quick-v1", "base")
    few = put(tmp_path, "few", 0.15, None)
    record, table = sample("make_an_agent", 0.15)
    assert len(record.seeds.train) == 2
    rows = table.filter(table.column("train_seed").to_numpy() == 0)
    write_record(tmp_path / "make_an_agent" / "few", make_record(rows, run_id="few"), rows)
    assert f"| {few} [" not in with_tables(block("table: toy-v1 unseen"), tmp_path)


def test_a_curve_is_the_table_along_one_axis(tmp_path: Path, means: dict[str, str]) -> None:
    text = with_tables(block("curve: toy-v1 unseen few-shot-v1 shots"), tmp_path)
    (row,) = (line for line in text.splitlines() if line.startswith("| make_an_agent"))
    assert [cell.split()[0] for cell in row.split("|")[2:4]] == [means["few1"], means["few"]]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("table: toy-v1 seen", "no records of suite toy-v1, split seen"),
        ("table: toy-v1 unseen noisy-v1", "protocol noisy-v1"),
        ("curve: toy-v1 unseen few-shot-v1 mass", "no records along 'mass'"),
        ("curve: toy-v1 unseen few-shot-v1", "<!-- curve: toy-v1 unseen few-shot-v1 -->"),
        ("table: a b c d", "<!-- table: a b c d -->"),
    ],
)
@pytest.mark.usefixtures("means")
def test_a_block_that_cannot_be_filled_is_an_error(tmp_path: Path, what: str, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        with_tables(block(what), tmp_path)
