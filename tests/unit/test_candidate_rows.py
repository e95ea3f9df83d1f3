"""Candidate rows: a hash that ties a result to its parameters, and a table that must be whole."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from record_samples import sample

from maa_bench.candidate_rows import candidate_table, check_candidate_table, sha256_of_params
from maa_bench.errors import RecordError
from maa_bench.results import CANDIDATE_ROWS, load_candidate_rows, validate_record, write_record


def test_the_hash_is_of_little_endian_floats() -> None:
    params = np.array([1.5, -2.0, 3e-8], np.float32)
    assert sha256_of_params(params) == hashlib.sha256(struct.pack("<3f", *params)).hexdigest()
    assert sha256_of_params(params.astype(">f4")) == sha256_of_params(params)


def test_a_record_has_a_row_for_every_candidate(tmp_path: Path) -> None:
    record, episodes = sample()
    params = {"1/door-lock": np.arange(12, dtype=np.float32).reshape(4, 3)}
    measures = {"1/door-lock": {"train_distance": np.array([0.0, 0.25, np.nan, 1.0])}}
    written = write_record(tmp_path / "run-1", record, episodes, params, measures)
    rows = load_candidate_rows(tmp_path / "run-1", written)
    assert rows is not None
    assert written.files[CANDIDATE_ROWS].rows == rows.num_rows == 2 * 2 * 4
    flat = [row for row in rows.to_pylist() if row["sha256"]]
    assert [(row["task"], row["train_seed"], row["candidate"]) for row in flat] == [
        ("door-lock", 1, i) for i in range(4)
    ]
    assert [row["train_distance"] for row in flat] == [0.0, 0.25, None, 1.0]
    assert {row["spread"] for row in rows.to_pylist()} == {None}


def test_a_table_of_other_candidates_is_refused(tmp_path: Path) -> None:
    record, episodes = sample()
    table = candidate_table(record, {})
    assert check_candidate_table(record, table).equals(table)
    for wrong in (table.slice(1), table.take(list(range(15, -1, -1))), table.drop_columns(["sha256"])):
        with pytest.raises(RecordError, match="candidates: "):
            check_candidate_table(record, wrong)
    folder = tmp_path / "run-1"
    written = write_record(folder, record, episodes)
    pq.write_table(table.slice(1), folder / CANDIDATE_ROWS)
    with pytest.raises(RecordError, match=r"candidates\.parquet: candidates: 15 rows are not the 16"):
        load_candidate_rows(folder, written)
    with pytest.raises(RecordError, match="altered"):
        validate_record(folder)
