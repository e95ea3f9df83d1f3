"""Parquet tables from enemies: damaged, of other types, or small files that stand for gigabytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile import frugal, mangled, mutated_table, parquet, pick, put, refused_cleanly
from record_samples import sample

from maa_bench import episodes, table_columns
from maa_bench.episodes import outcomes_of_episodes
from maa_bench.errors import RecordError
from maa_bench.parquet_guard import check_cost
from maa_bench.results import (
    CANDIDATE_ROWS,
    EPISODES,
    RECORD,
    load_candidate_rows,
    load_episodes,
    load_record,
    validate_record,
    write_record,
)

ORDINARY, HEAVY = 60, 1_000
TOKENS = (b"\0", b"\xff" * 8, b"PAR1", b"\x15\x80\x80\x80\x80\x10", b"\x7f" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound record."""
    record, table = sample()
    write_record(tmp_path / "make_an_agent" / "run-1", record, table)
    return tmp_path / "make_an_agent" / "run-1"


def fuzz(folder: Path, runs: int, seed: int) -> int:
    """How many of so many hostile tables were refused, each cleanly."""
    sound = {name: (folder / name).read_bytes() for name in (EPISODES, CANDIDATE_ROWS)}
    tables = {name: pq.read_table(folder / name) for name in sound}
    refused = 0
    with frugal():
        for run in range(runs):
            rng = np.random.default_rng([seed, run])
            name = pick(rng, list(sound))
            if run % 2:
                options = pick(rng, [{}, {"compression": "none"}, {"use_dictionary": False}, {"row_group_size": 5}])
                data = parquet(mutated_table(tables[name], rng), **options)
            else:
                data = mangled(sound[name], rng, TOKENS)
            put(folder, name, data)
            refused += refused_cleanly(f"run {run}, {name}", lambda: validate_record(folder))
            put(folder, name, sound[name])
    return refused


def test_mutated_tables_are_refused_in_one_line(folder: Path) -> None:
    assert fuzz(folder, ORDINARY, 0) > ORDINARY / 2
    validate_record(folder)


@pytest.mark.heavy
def test_a_thousand_mutated_tables_are_refused_in_one_line(folder: Path) -> None:
    assert fuzz(folder, HEAVY, 1) > HEAVY / 2


def bomb(kind: str, folder: Path) -> tuple[pa.Table, dict[str, object]]:
    """A table of few bytes that stands for many, and how to write it."""
    table = pq.read_table(folder / EPISODES)
    if kind == "a long text, once, in many rows":
        rows = 200_000
        indices, texts = pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 100_000])
        long = pa.DictionaryArray.from_arrays(indices, texts)
        many = table.take(np.zeros(rows, np.int64))
        return many.set_column(table.column_names.index("task"), "task", long), {}
    if kind == "zeros, well compressed":
        long = pa.array(["\0" * 40_000_000] + ["x"] * (table.num_rows - 1))
        return table.set_column(0, "method", pa.concat_arrays([long])), {"use_dictionary": False, "compression": "zstd"}
    if kind == "each as the one before":
        texts = pa.array([f"{'x' * 1000}{i}" for i in range(table.num_rows)])
        encoding = {"use_dictionary": False, "column_encoding": {"method": "DELTA_BYTE_ARRAY"}}
        return table.set_column(0, "method", texts), encoding
    assert kind == "rows"
    return table.take(np.zeros(300_000, np.int64)), {}


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("a long text, once, in many rows", "a text of 100,000 characters"),
        ("zeros, well compressed", "decompress to more than"),
        ("each as the one before", "DELTA_BYTE_ARRAY"),
        ("rows", "rows, but at most"),
    ],
)
def test_bombs_do_not_go_off(kind: str, says: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, options = bomb(kind, folder)
    data = parquet(table, **options)
    del table
    assert len(data) < 1_000_000
    put(folder, EPISODES, data)
    monkeypatch.setattr(table_columns, "MAX_DECOMPRESSED", 20_000_000)  # so that the test itself needs little
    monkeypatch.setattr(table_columns, "MAX_ROWS", 250_000)
    with frugal():
        assert refused_cleanly(kind, lambda: load_episodes(folder))
    with pytest.raises(Exception, match=says):
        load_episodes(folder)


def test_a_grid_that_lacks_rows_is_made_only_if_it_is_small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = load_episodes(folder).slice(0, 31)
    with pytest.raises(RecordError, match="has no row for training seed"):
        outcomes_of_episodes(table)
    monkeypatch.setattr(episodes, "_MANY", 10)
    with pytest.raises(RecordError, match="which would be"):
        outcomes_of_episodes(table)


def test_page_headers_are_believed_and_not_the_footer(folder: Path) -> None:
    data = parquet(pa.table({"x": np.zeros(1_000_000)}), use_dictionary=False, compression="zstd")
    metadata = pq.ParquetFile(pa.BufferReader(data)).metadata
    stated = metadata.row_group(0).column(0).total_uncompressed_size
    assert stated > 8_000_000 > 100 * len(data) / 2
    with pytest.raises(ValueError, match="decompress to more"):
        check_cost(data, 10**7, 1, 7_900_000)
    check_cost(data, 10**7, 1, 8_100_000)
    for version in ("1.0", "2.0"):
        for table in (pq.read_table(folder / EPISODES), pa.table({"a": [[1], [2, 3]], "b": ["x", None]})):
            plain = parquet(table, data_page_version=version, compression="none", write_page_index=True)
            check_cost(plain, 10**6, 20, len(plain))
            with pytest.raises(ValueError, match="decompress to more"):
                check_cost(plain, 10**6, 20, len(plain) // 100)


def test_rows_that_span_a_giant_grid_are_counted_and_not_made(folder: Path) -> None:
    table = pq.read_table(folder / EPISODES)
    for name in ("train_seed", "candidate", "layout"):
        where = table.column_names.index(name)
        table = table.set_column(where, name, pa.array(np.arange(table.num_rows) * 10**12))
    many = pa.concat_tables(
        [
            table.set_column(4, "train_seed", pa.array(np.arange(table.num_rows) + k * 10**6)).set_column(
                5, "candidate", pa.array(np.arange(table.num_rows) + k * 10**6)
            )
            for k in range(100)
        ]
    )
    put(folder, EPISODES, parquet(many))
    with frugal():
        assert refused_cleanly("grid", lambda: validate_record(folder))


def test_a_giant_number_of_candidates_is_not_listed(folder: Path) -> None:
    raw = json.loads((folder / RECORD).read_text())
    raw["protocol"]["candidates"] = 2**50
    (folder / RECORD).write_text(json.dumps(raw))
    record = load_record(folder)
    with frugal():
        assert refused_cleanly("candidates", lambda: load_candidate_rows(folder, record))
