"""Episode rows: one rollout a row, what the columns mean, and the checks before a metric is made of them.

The table travels as a `pyarrow.Table` with the columns of `EPISODE_SCHEMA`; `outcomes_of_episodes` turns it
into the arrays that `maa_bench.stats` takes. pyarrow is imported when a table is really touched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maa_bench.errors import RecordError, did_you_mean
from maa_bench.stats import TaskOutcomes
from maa_bench.table_columns import Column, arrow_schema
from maa_bench.table_columns import conform as conform_columns

if TYPE_CHECKING:
    import pyarrow as pa

    EPISODE_SCHEMA: pa.Schema

Int = npt.NDArray[np.int64]

LAYOUT_SETS = ("select", "test")
_SPARSEST = 1000
"""Cells of a task's grid for each row that there is; a grid that lacks more is refused without being made."""
_MANY = 10_000_000
"""Cells of a grid that is made although rows are missing, only to name one of them."""


EPISODE_COLUMNS = (
    Column("method", "string", "Method name, as in the record."),
    Column("suite", "string", "Suite name, as in the record."),
    Column("split", "string", "Split name, as in the record."),
    Column("task", "string", "Task name; one of the split's test tasks."),
    Column("train_seed", "int64", "Training seed of the fit that made the candidate."),
    Column("candidate", "int64", "Index of the candidate among those of this task and training seed."),
    Column("layout_set", "string", "`select` (candidates are ranked on it) or `test` (metrics are made of it)."),
    Column("layout", "int64", "Index of the layout within its set."),
    Column("success", "bool", "Whether the success rule was met at some step."),
    Column(
        "first_success_step",
        "int64",
        "Number of steps taken up to and including the first success, from 1; -1 without success.",
    ),
)
"""The columns of `episodes.parquet`, in order. `EPISODE_SCHEMA` is the same as a pyarrow schema."""


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Make `EPISODE_SCHEMA` on first use: importing this module does not import pyarrow."""
        if name != "EPISODE_SCHEMA":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        schema = arrow_schema(EPISODE_COLUMNS)
        globals()[name] = schema
        return schema


class FailedEpisode(NamedTuple):
    """An episode that broke off, or was never begun because its agent could not be made; it counts as unsuccessful."""

    candidate: int
    layout_set: str
    layout: int
    reason: str


@dataclass(frozen=True)
class EpisodeGrid:
    """What an episode table holds once it is known to be whole.

    Attributes:
        method: method name, suite: suite name, split: split name; the same in all rows. seeds: training
        seeds, ascending; the same for every task. tasks: outcomes of each task, in the order of first
        appearance; arrays ordered by seed, candidate, layout. first: first-success steps on the test layouts of
        each task, -1 for none.
    """

    method: str
    suite: str
    split: str
    seeds: tuple[int, ...]
    tasks: dict[str, TaskOutcomes]
    first: dict[str, Int]


def conform(table: pa.Table) -> pa.Table:
    """The table with exactly the columns and types of `EPISODE_SCHEMA` and no pandas metadata.

    Raises:
        RecordError: missing or unknown columns, types that do not convert without loss, or empty cells.
    """
    return conform_columns(table, EPISODE_COLUMNS, "episodes")


def sorted_episodes(table: pa.Table, tasks: tuple[str, ...]) -> pa.Table:
    """Rows in the one order that files have: task as in `tasks`, train_seed, candidate, layout_set, layout.

    Raises:
        RecordError: as `conform`, or a task that is not in `tasks`.
    """
    table = conform(table)
    codes, names = _codes(table, "task")
    foreign = [name for name in names if name not in tasks]
    if foreign:
        raise RecordError(
            f"episodes: task {foreign[0]!r} is no test task of the split.{did_you_mean(foreign[0], tasks)}"
        )
    rank = np.array([tasks.index(name) for name in names], dtype=np.int64)[codes]
    layout_set = _codes(table, "layout_set")
    set_rank = np.array([LAYOUT_SETS.index(_layout_set(name)) for name in layout_set[1]], dtype=np.int64)
    keys = (
        _ints(table, "layout"),
        set_rank[layout_set[0]],
        _ints(table, "candidate"),
        _ints(table, "train_seed"),
        rank,
    )
    return table.take(np.lexsort(keys)).combine_chunks()


def outcomes_of_episodes(table: pa.Table) -> EpisodeGrid:
    """Check that the table is whole and turn it into arrays.

    Every task must hold every combination of its training seeds, candidates and layouts exactly once, in the
    test set and, where there are several candidates, in the select set; all tasks have the same training
    seeds.

    Raises:
        RecordError: what is missing, doubled or contradictory, and where.
    """
    table = conform(table)
    if not table.num_rows:
        raise RecordError("episodes: the table has no rows")
    single = {name: _single(table, name) for name in ("method", "suite", "split")}
    first_success = _ints(table, "first_success_step")
    _check_steps(table.column("success").to_numpy().astype(np.bool_), first_success)
    codes, names = _codes(table, "task")
    set_codes, set_names = _codes(table, "layout_set")
    in_set = {_layout_set(name): set_codes == i for i, name in enumerate(set_names)}
    keys = {name: _ints(table, name) for name in ("train_seed", "candidate", "layout")}
    none = np.zeros(table.num_rows, dtype=np.bool_)
    tasks: dict[str, TaskOutcomes] = {}
    first: dict[str, Int] = {}
    seeds: dict[str, tuple[int, ...]] = {}
    for code, task in enumerate(names):
        parts = {}
        for layout_set in LAYOUT_SETS:
            rows = np.flatnonzero((codes == code) & in_set.get(layout_set, none))
            if len(rows):
                parts[layout_set] = _grid(task, layout_set, {k: v[rows] for k, v in keys.items()}, first_success[rows])
        if "test" not in parts:
            raise RecordError(f"episodes: task {task!r} has no rows of layout_set 'test'")
        test, select = parts["test"], parts.get("select")
        if select is None and len(test.candidates) > 1:
            raise RecordError(
                f"episodes: task {task!r} has {len(test.candidates)} candidates but no rows of layout_set "
                "'select', which best_selected and top5_selected choose on"
            )
        if select is not None and (select.seeds, select.candidates) != (test.seeds, test.candidates):
            raise RecordError(
                f"episodes: task {task!r} has other training seeds or candidates in 'select' than in 'test'"
            )
        tasks[task] = TaskOutcomes(test.first > 0, None if select is None else select.first > 0)
        seeds[task], first[task] = test.seeds, test.first
    some = names[0]
    for task in names:
        if seeds[task] != seeds[some]:
            raise RecordError(
                f"episodes: task {task!r} has training seeds {list(seeds[task])}, but {some!r} has {list(seeds[some])}"
            )
    return EpisodeGrid(**single, seeds=seeds[some], tasks=tasks, first=first)


class _Part(NamedTuple):
    seeds: tuple[int, ...]
    candidates: tuple[int, ...]
    first: Int  # (n_seeds, n_candidates, n_layouts) first-success steps


def _grid(task: str, layout_set: str, keys: dict[str, Int], first: Int) -> _Part:
    """Order the rows of one task and layout set by seed, candidate, layout and shape them."""
    columns = [keys["train_seed"], keys["candidate"], keys["layout"]]
    levels, positions = zip(*(np.unique(c, return_inverse=True) for c in columns), strict=True)
    shape = tuple(len(level) for level in levels)
    cells = math.prod(shape)
    most = min(_SPARSEST * len(first), max(len(first), _MANY))
    if cells > most:  # not to be made, and no use in naming what is missing
        what = "training seeds, {} candidates and {} layouts".format(*shape[1:])
        raise RecordError(
            f"episodes: task {task!r} has {len(first)} {layout_set} rows for {shape[0]} {what}, which would be {cells}"
        )
    flat = np.ravel_multi_index(positions, shape)
    times = np.bincount(flat, minlength=int(np.prod(shape)))
    if not (times == 1).all():
        twice = times > 1
        cell = np.unravel_index(int(np.flatnonzero(twice if twice.any() else times == 0)[0]), shape)
        seed, candidate, layout = (int(level[i]) for level, i in zip(levels, cell, strict=True))
        where = f"training seed {seed}, candidate {candidate}, {layout_set} layout {layout}"
        if twice.any():
            raise RecordError(f"episodes: task {task!r} has {times.max()} rows for {where}")
        raise RecordError(
            f"episodes: task {task!r} has no row for {where} ({(times == 0).sum()} of {times.size} rows are missing)"
        )
    ordered = np.empty(shape, dtype=np.int64)
    ordered.reshape(-1)[flat] = first
    return _Part(tuple(levels[0].tolist()), tuple(levels[1].tolist()), ordered)


def _check_steps(success: npt.NDArray[np.bool_], first: Int) -> None:
    wrong = np.flatnonzero(np.where(success, first < 1, first != -1))
    if len(wrong):
        row = int(wrong[0])
        raise RecordError(
            f"episodes: row {row} has success={bool(success[row])} but first_success_step={int(first[row])}"
        )


def _single(table: pa.Table, column: str) -> str:
    values = _codes(table, column)[1]
    if len(values) > 1:
        raise RecordError(f"episodes: column {column!r} must hold one name, not {', '.join(sorted(values))}")
    return values[0]


def _layout_set(name: str) -> str:
    if name not in LAYOUT_SETS:
        raise RecordError(f"episodes: layout_set {name!r} must be one of {', '.join(LAYOUT_SETS)}")
    return name


def _codes(table: pa.Table, column: str) -> tuple[Int, list[str]]:
    """Each row's index into the column's distinct values, which come in the order of first appearance."""
    encoded = table.column(column).combine_chunks().dictionary_encode()
    if not table.num_rows:
        return np.zeros(0, dtype=np.int64), []
    return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()


def _ints(table: pa.Table, column: str) -> Int:
    return np.asarray(table.column(column).to_numpy(), dtype=np.int64)
