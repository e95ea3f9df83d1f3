"""Records from enemies: whatever is in them, a clean line comes out, and soon."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hostile import frugal, mangled, mutated, refused_cleanly
from record_samples import sample

from maa_bench.errors import RecordError
from maa_bench.report.leaderboard import read_results
from maa_bench.results import RECORD, load_record, validate_record, write_record

ORDINARY, HEAVY = 150, 3_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound record."""
    record, table = sample()
    write_record(tmp_path / "make_an_agent" / "run-1", record, table)
    return tmp_path / "make_an_agent" / "run-1"


def fuzz(folder: Path, runs: int, seed: int) -> int:
    """How many of so many hostile records were refused, each cleanly."""
    sound = (folder / RECORD).read_bytes()
    raw = json.loads(sound)
    refused = 0
    with frugal():
        for run in range(runs):
            rng = np.random.default_rng([seed, run])
            data = json.dumps(mutated(raw, rng)).encode() if run % 2 else mangled(sound, rng)
            (folder / RECORD).write_bytes(data)
            refused += refused_cleanly(f"run {run}, load", lambda: load_record(folder))
            if run % 10 == 1:
                refused_cleanly(f"run {run}, all", lambda: read_results(folder.parents[1]))
                refused_cleanly(f"run {run}, validate", lambda: validate_record(folder))
    return refused


def test_mutated_records_are_refused_in_one_line(folder: Path) -> None:
    assert fuzz(folder, ORDINARY, 0) > ORDINARY / 2


@pytest.mark.heavy
def test_thousands_of_mutated_records_are_refused_in_one_line(folder: Path) -> None:
    assert fuzz(folder, HEAVY, 1) > HEAVY / 2


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b'"run_id": "run-1"', b'"run_id": "run-1", "run_id": "run-2"', "'run_id' stands twice"),
        (b'"schema_version": 2', b'"schema_version": 2, "x": ' + b"[" * 100_000, "nested too deeply"),
        (b'"peak_mb": 300.5', b'"peak_mb": 1e999', "must be finite"),
        (b'"peak_mb": 300.5', b'"peak_mb": NaN', "must be finite"),
        (b'"peak_mb": 300.5', b'"peak_mb": 1e308', "cost.peak_mb"),
        (b'"fit": 12.5', b'"fit": 1e308', "cost.seconds.fit"),
        (b'"base": 0', b'"base": ' + b"9" * 5_000, "5000 digits"),
        (b'"base": 0', b'"base": ' + b"9" * 30, "seeds.base"),
        (b'"run_id": "run-1"', b'"run_id": "../run-1"', "run_id"),
        (b'"name": "make_an_agent"', b'"name": "../x"', "method.name"),
        (b'"name": "make_an_agent"', '"name": "m\u0430ke_an_agent"'.encode(), "method.name"),
        (b'"name": "make_an_agent"', b'"name": "a\\u0000b"', "method.name"),
        (b'"summary": "Makes agents."', b'"summary": "' + b"x" * 100_000 + b'"', "method.summary"),
        (b'"summary": "Makes agents."', b'"summary": "\\u001b[2J"', "method.summary"),
        (b'"summary": "Makes agents."', '"summary": "a\u202eb"'.encode(), "method.summary"),
        (b'"episodes.parquet"', b'"../episodes.parquet"', "files"),
        (b'"episodes.parquet"', b'"' + b"x" * 5_000 + b'"', "files"),
        (b'"schema_version": 2', b'"schema_version": "' + b"x" * 10_000 + b'"', "schema_version is"),
        (b'"weights": null', b'"weights": "../../x"', "weights"),
        (b'"weights": null', b'"weights": "https://host/x"', "weights"),
    ],
)
def test_tricks_are_named(folder: Path, old: bytes, new: bytes, says: str) -> None:
    data = (folder / RECORD).read_bytes()
    assert old in data
    (folder / RECORD).write_bytes(data.replace(old, new, 1))
    assert refused_cleanly(says, lambda: load_record(folder))
    with pytest.raises(RecordError, match=says):
        load_record(folder)


def test_a_giant_is_not_read(folder: Path) -> None:
    with (folder / RECORD).open("r+b") as file:
        file.truncate(20 << 30)  # a hole, not twenty gigabytes
    with frugal():
        assert refused_cleanly("giant", lambda: load_record(folder))


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    (folder / RECORD).unlink()
    os.mkfifo(folder / RECORD)
    assert refused_cleanly("pipe", lambda: load_record(folder))
    (folder / RECORD).unlink()
    (folder / RECORD).mkdir()
    assert refused_cleanly("folder", lambda: load_record(folder))
