"""Candidate rows: what `candidates.parquet` says of each generated policy; the policies themselves are not committed.

The hash ties a result to the parameters that gave it; the distances say how new a policy is (`maa_bench.novelty`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from maa_bench.errors import RecordError
from maa_bench.table_columns import Column, arrow_schema, conform

if TYPE_CHECKING:
    import pyarrow as pa

    from maa_bench.record import RunRecord

DISTANCES = ("train_distance", "spread", "path_spread")

CANDIDATE_COLUMNS = (
    Column("task", "string", "Task name; one of the split's test tasks."),
    Column("train_seed", "int64", "Training seed of the fit that made the candidate."),
    Column("candidate", "int64", "Index of the candidate among those of this task and training seed."),
    Column(
        "sha256",
        "string",
        "SHA-256 (hex) of its flat parameters as little-endian float32; empty where the agent is no flat policy.",
        nullable=True,
    ),
    Column(
        "train_distance",
        "float64",
        "Euclidean distance of its parameters to the nearest training checkpoint's, divided by the length of that "
        "checkpoint's parameters: 0 is a copy. Empty where it was not measured.",
        nullable=True,
    ),
    Column(
        "spread",
        "float64",
        "Mean Euclidean distance of its parameters to those of the other candidates of its task and seed, divided by "
        "the mean length of all of theirs: 0 where all are alike. Empty where it was not measured, or for a lone "
        "candidate.",
        nullable=True,
    ),
    Column(
        "path_spread",
        "float64",
        "The same of behaviour: root mean square difference of the first 60 observations on the first test layout to "
        "those of the other candidates, mean over them, each dimension in units of its standard deviation over all of "
        "theirs. Empty where it was not measured.",
        nullable=True,
    ),
)
"""The columns of `candidates.parquet`, in order; one row a candidate that was evaluated, sorted by task (in the split's
order), training seed, candidate."""

Measures = Mapping[str, Mapping[str, npt.NDArray[np.float64]]]
"""Distances by "<train seed>/<task>", then by column name: (n_candidates,) float64 each, NaN where not measured."""


def candidate_table(
    record: RunRecord, candidates: Mapping[str, npt.NDArray[np.float32]], measures: Measures | None = None
) -> pa.Table:
    """The rows of a record.

    Args:
        record: whose.
        candidates: parameters by "<train seed>/<task>": (n, n_params) float32; missing where agents are not flat.
        measures: distances, where they were measured.
    """
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    for task in record.split.test:
        for seed in sorted(record.seeds.train):
            cell = f"{seed}/{task}"
            params, measured = candidates.get(cell), (measures or {}).get(cell, {})
            for i in range(record.candidates_evaluated):
                row: dict[str, Any] = {"task": task, "train_seed": seed, "candidate": i}
                row["sha256"] = None if params is None else sha256_of_params(params[i])
                for name in DISTANCES:
                    value = float(measured[name][i]) if name in measured else float("nan")
                    row[name] = None if np.isnan(value) else round(value, 6)
                rows.append(row)
    return pa.Table.from_pylist(rows, schema=arrow_schema(CANDIDATE_COLUMNS))


def sha256_of_params(params: npt.NDArray[np.float32]) -> str:
    """SHA-256 (hex) of one flat policy: (n_params,) float32."""
    return hashlib.sha256(np.ascontiguousarray(params, dtype="<f4").tobytes()).hexdigest()


def check_candidate_table(record: RunRecord, table: pa.Table) -> pa.Table:
    """The table with exactly its columns, if it has one row for every candidate of the record, in order.

    Raises:
        RecordError: it has others.
    """
    table = conform(table, CANDIDATE_COLUMNS, "candidates")
    count = len(record.split.test) * len(record.seeds.train) * record.candidates_evaluated
    if table.num_rows != count:
        raise RecordError(f"candidates: {table.num_rows} rows are not the {count} candidates of the record")
    wanted = [
        (task, seed, i)
        for task in record.split.test
        for seed in sorted(record.seeds.train)
        for i in range(record.candidates_evaluated)
    ]
    found = list(zip(*(table.column(name).to_pylist() for name in ("task", "train_seed", "candidate")), strict=True))
    if found != wanted:
        raise RecordError(f"candidates: {count} rows are not the {count} candidates of the record, in order")
    for text in table.column("sha256").to_pylist():
        if text is not None and not re.fullmatch(r"[0-9a-f]{64}", text):
            raise RecordError(f"candidates: sha256 {text!r} is none")
    for name in DISTANCES:
        values = table.column(name).drop_null().to_numpy()
        if not (np.isfinite(values) & (values >= 0)).all():
            raise RecordError(f"candidates: column {name!r} must be numbers of 0 or more")
    return table
