"""Run records on disk: `results/<method>/<run_id>/{record.json, *.parquet, candidates.safetensors}`.

This is the one writer and the one reader of these files. The record's keys are in `maa_bench.record`, the
columns in `maa_bench.episodes` and `maa_bench.candidate_rows`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from maa_bench.agreement import check_numbers, check_run, metrics_of_grid
from maa_bench.candidate_rows import CANDIDATE_COLUMNS, Measures, candidate_table, check_candidate_table
from maa_bench.episodes import EPISODE_COLUMNS, outcomes_of_episodes, sorted_episodes
from maa_bench.errors import RecordError, did_you_mean, one_line
from maa_bench.files import sha256_of, whole_folder, write_bytes
from maa_bench.migration import migrated
from maa_bench.record import SCHEMA_VERSION, FileInfo, RunRecord, known_keys
from maa_bench.record_metrics import Metrics
from maa_bench.table_columns import read_table
from maa_bench.untrusted import json_object, read_limited

if TYPE_CHECKING:
    import pyarrow as pa

RECORD = "record.json"
MAX_RECORD = 5_000_000
"""Bytes of it: fifty tasks have some tens of thousands."""
EPISODES = "episodes.parquet"
CANDIDATE_ROWS = "candidates.parquet"
CANDIDATES = "candidates.safetensors"
FAILURES = "failures.json"
"""In the place of a record: why a run has none."""


def metrics_of_episodes(table: pa.Table) -> Metrics:
    """Check an episode table and make every metric, with its interval, of it.

    Args:
        table: columns as `EPISODE_SCHEMA`, rows in any order.

    Raises:
        RecordError: the table is not whole; the message says what is missing, doubled or contradictory.
    """
    return metrics_of_grid(outcomes_of_episodes(table))


def write_record(
    folder: Path,
    record: RunRecord,
    episodes: pa.Table,
    candidates: Mapping[str, npt.NDArray[np.float32]] | None = None,
    measures: Measures | None = None,
) -> RunRecord:
    """Write a record with its episodes, its candidates and their parameters into `folder`, whole or not at all.

    An older record in `folder` is replaced.

    Args:
        folder: `results/<method>/<run_id>`.
        record: everything but `files`, which is filled in here.
        episodes: columns as `EPISODE_SCHEMA`, rows in any order; must be what the record says it is.
        candidates: parameters by "<train seed>/<task>": (n, n_params) float32; none of agents that are not flat.
        measures: how new they are, see `candidate_rows`.

    Returns:
        The record as written.

    Raises:
        RecordError: the episodes are not whole or belong to another run than the record.
    """
    table = sorted_episodes(episodes, record.split.test)
    check_run(record, outcomes_of_episodes(table), table)
    about = candidate_table(record, candidates or {}, measures)
    contents = {EPISODES: _parquet_bytes(table), CANDIDATE_ROWS: _parquet_bytes(about)}
    rows = {EPISODES: table.num_rows, CANDIDATE_ROWS: about.num_rows}
    if candidates:
        from safetensors.numpy import save

        contents[CANDIDATES] = save({k: np.ascontiguousarray(v) for k, v in candidates.items()})
    with whole_folder(folder) as temporary:
        files = {}
        for name, data in contents.items():
            write_bytes(temporary / name, data)
            files[name] = FileInfo(sha256=sha256_of(temporary / name), bytes=len(data), rows=rows.get(name))
        record = record.model_copy(update={"files": files})
        write_bytes(temporary / RECORD, record_bytes(record))
    return record


def record_bytes(record: RunRecord) -> bytes:
    """A record as `record.json` has it."""
    text = json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False)
    return (text + "\n").encode()


def load_record(folder: str | Path) -> RunRecord:
    """Read a record and check the files beside it by size and SHA-256.

    Raises:
        RecordError: one line that names the file and what is wrong with it.
    """
    folder = Path(folder)
    path = folder / RECORD
    record = parse_record(path)
    for name, info in record.files.items():
        file = folder / name
        if not file.is_file():
            if name == CANDIDATES:  # Not committed; the record keeps its hash.
                continue
            raise RecordError(f"{file}: the file is missing, but {RECORD} lists it")
        if file.stat().st_size != info.bytes or sha256_of(file) != info.sha256:
            raise RecordError(f"{file}: the file was altered: its SHA-256 is not the one in {RECORD}")
    return record


def load_episodes(folder: Path) -> pa.Table:
    """The episode rows of a record, in file order, with the columns of `EPISODE_SCHEMA`."""
    return read_table(folder / EPISODES, EPISODE_COLUMNS, "episodes")


def load_candidate_rows(folder: Path, record: RunRecord) -> pa.Table | None:
    """The candidate rows of a record, in order, with the columns of `CANDIDATE_COLUMNS`; None if it lists none.

    Raises:
        RecordError: the file cannot be read, or does not hold the record's candidates.
    """
    if CANDIDATE_ROWS not in record.files:
        return None
    path = folder / CANDIDATE_ROWS
    table = read_table(path, CANDIDATE_COLUMNS, "candidates")
    try:
        return check_candidate_table(record, table)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from error


def validate_record(folder: Path, intervals: bool = True) -> RunRecord:
    """`load_record`, and also: the episodes belong to the record, and its metrics are theirs (made again here).

    Args:
        folder: the record's.
        intervals: make these again, too, which takes a tenth of a second; without, it is milliseconds.

    Raises:
        RecordError: one line that names what does not hold.
    """
    record = load_record(folder)
    table = load_episodes(folder)
    try:
        grid = outcomes_of_episodes(table)
        check_run(record, grid, table)
        if not table.equals(sorted_episodes(table, record.split.test)):
            raise RecordError("episodes: rows are not in order (task, train_seed, candidate, layout_set, layout)")
    except RecordError as error:
        raise RecordError(f"{folder}: {error}") from error
    try:
        check_numbers(record, grid, intervals)
    except RecordError as error:
        raise RecordError(f"{folder / RECORD}: {error}") from error
    load_candidate_rows(folder, record)
    return record


def _parquet_bytes(table: pa.Table) -> bytes:
    """Bytes that depend on the rows (and the pyarrow version) only."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=9, row_group_size=1 << 20)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def parse_record(path: Path) -> RunRecord:
    """Read `record.json`, of this schema version or an older one, and look at no other file but to migrate it.

    Raises:
        RecordError: one line that names the file and what is wrong with it.
    """

    try:
        data = read_limited(path, MAX_RECORD)
        raw = json_object(data)
    except FileNotFoundError as error:
        raise RecordError(f"{path}: the file is missing") from error
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: {error.strerror if isinstance(error, OSError) else error}") from error
    version = raw.get("schema_version")
    if isinstance(version, bool) or version not in (1, SCHEMA_VERSION):
        raise RecordError(
            f"{path}: schema_version is {one_line(repr(version))}; this version of maa-bench reads 1, {SCHEMA_VERSION}"
        )
    if version == 1:
        data = json.dumps(migrated(raw, lambda: _metrics_beside(path))).encode()
    try:
        record = RunRecord.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise RecordError(f"{path}: {one_line(_first_error(error))}") from error
    for name in (EPISODES,) if version == 1 else (EPISODES, CANDIDATE_ROWS):
        if name not in record.files:
            raise RecordError(f"{path}: 'files' does not list {name}")
    return record


def _metrics_beside(record: Path) -> dict[str, Any]:
    episodes = record.parent / EPISODES
    return _metrics_of_file(record.parent, sha256_of(episodes) if episodes.is_file() else "")


@lru_cache(maxsize=1024)  # a page is made of many readings of the same folder, and intervals take a third of a second
def _metrics_of_file(folder: Path, sha256: str) -> dict[str, Any]:
    return metrics_of_episodes(load_episodes(folder)).model_dump(mode="json")


def _first_error(error: ValidationError) -> str:
    """The first error of a validation, in words."""
    first = error.errors()[0]
    *parents, last = first["loc"] or ("record",)
    where = ".".join(str(part) for part in first["loc"]) or "record"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}.{did_you_mean(str(last), known_keys(tuple(parents)))}{more}"
    if first["type"] == "missing":
        return f"key {where!r} is missing{more}"
    return f"{where}: {first['msg']}{more}"
