"""Checking the rows of one shard, batch by batch: each against the manifest, against itself, and its hash."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maa_bench.dataset.collect import kind_of
from maa_bench.dataset.experts import EXPERT
from maa_bench.dataset.manifest import shard_problem
from maa_bench.dataset.schema import VECTORS, arrow_schema, row_hash, transitions_schema
from maa_bench.dataset.store import Entry
from maa_bench.dataset.tables import ROW_GROUP, vectors
from maa_bench.errors import one_line
from maa_bench.execution import Report
from maa_bench.suite import Suite, load_suite

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 10
"""Problems that are told; the others are counted."""
TRANSITIONS_BATCH = 10_000


@dataclass
class Problems:
    """What was found wrong, each in one line: the first ones told, all counted."""

    told: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, problem: str) -> None:
        """One more."""
        if self.count < SHOWN:
            self.told.append(problem)
        self.count += 1

    def extend(self, other: Problems) -> None:
        """Those of another shard."""
        self.told = (self.told + other.told)[:SHOWN]
        self.count += other.count


@dataclass(frozen=True)
class ShardJob:
    """Check one shard from end to end; returns its `Problems`.

    Attributes:
        suite: name or path of the suite.
        folder: the dataset's.
        shard: path in it.
        entry: what the manifest says of it.
        identity: the manifest's.
    """

    suite: str
    folder: Path
    shard: str
    entry: Entry
    identity: dict[str, Any]

    def __call__(self, report: Report) -> Problems:
        import pyarrow as pa
        import pyarrow.parquet as pq

        problems, path = Problems(), self.folder / self.shard
        damage = shard_problem(path, self.entry)
        if damage is not None:
            problems.add(f"{self.shard}: {damage}")
            return problems
        suite = load_suite(self.suite)
        checkpoints = self.entry["table"] == "checkpoints"
        try:
            with pq.ParquetFile(path, memory_map=True) as file:
                wanted = arrow_schema(suite.policy) if checkpoints else transitions_schema(suite.policy)
                problem = _schema_problem(file.schema_arrow, wanted)
                if problem is not None:
                    problems.add(f"{self.shard}: {problem}")
                    return problems
                rows = _Checkpoints(self, suite) if checkpoints else _Transitions(self, suite, self._sources())
                for batch in file.iter_batches(batch_size=ROW_GROUP if checkpoints else TRANSITIONS_BATCH):
                    for problem in rows.check(batch):
                        problems.add(f"{self.shard}, {problem}")
                for problem in rows.totals():
                    problems.add(f"{self.shard}: {problem}")
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            problems.add(f"{self.shard}: no Parquet file that can be read ({one_line(str(error))})")
        return problems

    def _sources(self) -> set[str] | None:
        """What may have acted in a transitions shard; None if the run's checkpoints cannot be read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self.entry["run"].startswith(f"{EXPERT}-"):
            return {EXPERT}
        try:
            acted = self.folder / "checkpoints" / self.entry["task"] / f"{self.entry['run']}.parquet"
            return set(pq.read_table(acted, columns=["row_id"])["row_id"].to_pylist())
        except (pa.ArrowException, OSError, KeyError):
            return None  # that shard's own check says why


def _schema_problem(found: pa.Schema, wanted: pa.Schema) -> str | None:
    """The first column that is not as `schema` has it."""
    if found.names != wanted.names:
        differing = sorted(set(found.names) ^ set(wanted.names)) or ["their order"]
        return f"other columns than the schema's: {one_line(', '.join(differing))}"
    for name in wanted.names:
        if found.field(name).type != wanted.field(name).type:
            return f"column {name!r} holds {found.field(name).type}, the suite's schema says {wanted.field(name).type}"
    return None


def _without_nulls(batch: pa.RecordBatch) -> str | None:
    import pyarrow as pa

    for name in batch.schema.names:
        column = batch.column(name)
        nested = pa.types.is_nested(column.type)
        if column.null_count or (nested and column.flatten().null_count):
            return f"column {name!r} holds nulls"
    return None


class _Checkpoints:
    """The rows of a run."""

    def __init__(self, job: ShardJob, suite: Suite) -> None:
        self._entry, self._horizon = job.entry, suite.horizon
        self._n_layouts = len(suite.layouts(job.entry["task"], "train"))
        identity = job.identity
        versions = {**identity["versions"], "maa-bench": identity["software"]["maa-bench"]}
        self._fixed = {
            "suite": identity["suite"],
            "spec_id": identity["spec_id"],
            "producer": identity["producer"][0],
            "versions": versions,
            **{name: job.entry[name] for name in ("task", "role", "run")},
        }
        self._steps: set[int] = set()
        self._counts: Counter[str] = Counter()

    def check(self, batch: pa.RecordBatch) -> Iterator[str]:
        """The first problem of every row that has one."""
        nulls = _without_nulls(batch)
        if nulls is not None:
            yield nulls
            return
        arrays = {name: vectors(batch.column(name), (batch.schema.field(name).type.list_size,)) for name in VECTORS}
        others = batch.select([name for name in batch.schema.names if name not in VECTORS]).to_pylist()
        for i, row in enumerate(others):
            row |= {name: array[i] for name, array in arrays.items()}
            problem = self._problem(row)
            if problem is not None:
                yield f"row {one_line(row['row_id'])}: {problem}"
            self._counts["rows"] += 1
            self._counts[kind_of(row["success"])] += 1

    def _problem(self, row: dict[str, Any]) -> str | None:
        return self._belongs(row) or self._numbers(row) or self._measured(row) or self._hashed(row)

    def _belongs(self, row: dict[str, Any]) -> str | None:
        """To this dataset, run and place."""
        for name, wanted in self._fixed.items():
            found = _parsed(row[name]) if name == "versions" else row[name]
            if found != wanted:
                return f"{name} is {one_line(repr(found))}, the dataset's {wanted!r}"
        if row["row_id"] != f"{row['task']}/{row['run']}/{row['step']}":
            return f"its name is not task/run/step, {row['task']}/{row['run']}/{row['step']}"
        if row["step"] in self._steps:
            return "it is there twice"
        self._steps.add(row["step"])
        return None

    def _numbers(self, row: dict[str, Any]) -> str | None:
        for name in VECTORS:
            if not np.isfinite(row[name]).all():
                return f"{name} hold NaN or infinity"
        if np.abs(row["actions"]).max() > 1.0:
            return "actions beyond [-1, 1]"
        return None

    def _measured(self, row: dict[str, Any]) -> str | None:
        """What was measured agrees with itself."""
        firsts, layouts = row["first_success_steps"], row["layouts"]
        if not len(firsts) == len(layouts) == row["episodes"] or not firsts:
            return f"{row['episodes']} episodes, {len(layouts)} layouts, {len(firsts)} first-success steps"
        if not all(0 <= layout < self._n_layouts for layout in layouts):
            return f"layouts {layouts}, but the task has {self._n_layouts} train layouts"
        if not all(first == -1 or 1 <= first <= self._horizon for first in firsts):
            return f"first-success steps {firsts} are no steps of an episode of {self._horizon}"
        success = np.float32(np.mean([first > 0 for first in firsts]))
        if np.float32(row["success"]) != success:
            return f"success {row['success']:g}, but its first-success steps {firsts} say {success:g}"
        shown = next((layout for layout, first in zip(layouts, firsts, strict=True) if first > 0), -1)
        if row["behavior_layout"] != shown:
            return f"behaviour of layout {row['behavior_layout']}, but the first success is on {shown} (-1: none)"
        if np.any(row["observations"]) != (shown >= 0):
            return "no behaviour, though it succeeds" if shown >= 0 else "behaviour, though it never succeeds"
        return None

    def _hashed(self, row: dict[str, Any]) -> str | None:
        return None if row_hash(row) == row["row_hash"] else "altered: row_hash is not the hash of its columns"

    def totals(self) -> Iterator[str]:
        """What all rows together say, against the manifest."""
        for name in ("rows", "verified", "partial", "failing"):
            if self._counts[name] != self._entry[name]:
                yield f"{self._counts[name]} {name}, the manifest says {self._entry[name]}"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class _Transitions:
    """The steps of a run's, or of the experts', episodes."""

    def __init__(self, job: ShardJob, suite: Suite, sources: set[str] | None) -> None:
        self._entry, self._sources, self._spec = job.entry, sources, suite.policy
        self._n_layouts = len(suite.layouts(job.entry["task"], "train"))
        self._rows = 0
        self._last: dict[str, Any] | None = None

    def check(self, batch: pa.RecordBatch) -> Iterator[str]:
        """The first row of each kind of problem."""
        first, self._rows = self._rows, self._rows + len(batch)
        nulls = _without_nulls(batch)
        if nulls is not None:
            yield nulls
            return
        spec = self._spec
        sizes = dict.fromkeys(("observation", "next_observation"), spec.obs_dim)
        sizes |= dict.fromkeys(("action", "expert_action"), spec.action_dim)
        columns = {name: vectors(batch.column(name), (size,)) for name, size in sizes.items()}
        for name in ("task", "role", "source"):
            columns[name] = np.array(batch.column(name).to_pylist(), object)
        for name in ("episode", "step", "layout", "noise_std", "reward"):
            columns[name] = batch.column(name).to_numpy(zero_copy_only=False)
        for what, bad in self._bad(columns).items():
            rows = np.flatnonzero(bad)
            if len(rows):
                more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
                yield f"row {first + rows[0]}{more}: {what}"
        self._last = {name: column[-1] for name, column in columns.items()}

    def _bad(self, columns: dict[str, Any]) -> dict[str, Any]:
        """A mask of bad rows for each kind of problem."""
        last = self._last or {**{name: column[0] for name, column in columns.items()}, "episode": -1}
        before = {name: np.concatenate([[last[name]], column[:-1]]) for name, column in columns.items()}
        new = columns["episode"] == before["episode"] + 1
        same = columns["episode"] == before["episode"]
        finite = [columns[name] for name in ("observation", "action", "expert_action", "next_observation")]
        finite += [columns[name][:, None] for name in ("reward", "noise_std")]
        actions = np.concatenate([columns["action"], columns["expert_action"]], axis=1)
        layouts = columns["layout"]
        constant = np.ones(len(new), bool)
        for name in ("layout", "noise_std", "source"):
            constant &= columns[name] == before[name]
        return {
            "NaN or infinity": ~np.isfinite(np.concatenate(finite, axis=1)).all(axis=1),
            "another task than its shard's": columns["task"] != self._entry["task"],
            "another role than its shard's": columns["role"] != self._entry["role"],
            "its source is no checkpoint of the run": self._unknown(columns["source"]),
            "actions beyond [-1, 1]": (np.abs(actions) > 1.0).any(axis=1),
            f"layout that is none of {self._n_layouts} train layouts": (layouts < 0) | (layouts >= self._n_layouts),
            "episodes are not numbered on": ~(new | same),
            "steps are not numbered on": columns["step"] != np.where(same, before["step"] + 1, 0),
            "layout, noise or source changes within an episode": same & ~constant,
            "the state is not the one after the step before": same
            & (columns["observation"] != before["next_observation"]).any(axis=1),
        }

    def _unknown(self, sources: Any) -> Any:
        known = self._sources
        return np.array([known is not None and source not in known for source in sources], bool)

    def totals(self) -> Iterator[str]:
        """The number of rows, against the manifest."""
        if self._rows != self._entry["rows"]:
            yield f"{self._rows} rows, the manifest says {self._entry['rows']}"
