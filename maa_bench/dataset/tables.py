"""Shards: Parquet files of checkpoints or transitions, written whole, with the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maa_bench.dataset.schema import arrow_schema, transitions_schema
from maa_bench.dataset.transitions import Transitions
from maa_bench.files import write_bytes
from maa_bench.policy import PolicySpec

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 100
"""Checkpoints that a reader must take at once: about 10 MB."""


def write_checkpoints(path: Path, rows: list[dict[str, Any]], spec: PolicySpec) -> None:
    """Write rows with the columns of `schema.COLUMNS`."""
    import pyarrow as pa

    schema = arrow_schema(spec)
    columns = [_column([row[field.name] for row in rows], field.type) for field in schema]
    _write(path, pa.table(columns, schema=schema), ROW_GROUP)


def write_transitions(path: Path, task: str, role: str, episodes: Transitions, spec: PolicySpec) -> None:
    """Write episodes with the columns of `schema.TRANSITIONS`."""
    import pyarrow as pa

    n = len(episodes)
    steps = np.concatenate([np.arange(stop - start) for start, stop in episodes.bounds()] or [np.zeros(0, np.int64)])
    values: Mapping[str, Any] = {
        "task": [task] * n,
        "role": [role] * n,
        "source": episodes.source.tolist(),
        "episode": episodes.episode,
        "step": steps,
        "layout": episodes.layout,
        "noise_std": episodes.noise_std,
        "observation": episodes.observations,
        "action": episodes.actions,
        "expert_action": episodes.labels,
        "reward": episodes.rewards,
        "next_observation": episodes.next_observations,
        "success": episodes.success,
    }
    schema = transitions_schema(spec)
    columns = [_column(values[field.name], field.type) for field in schema]
    _write(path, pa.table(columns, schema=schema), 10_000)


def transitions_of(table: pa.Table, spec: PolicySpec) -> Transitions:
    """The episodes of a transitions shard."""
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    return Transitions(
        observations=vectors(columns["observation"], (spec.obs_dim,)),
        actions=vectors(columns["action"], (spec.action_dim,)),
        labels=vectors(columns["expert_action"], (spec.action_dim,)),
        rewards=columns["reward"].to_numpy(zero_copy_only=False),
        next_observations=vectors(columns["next_observation"], (spec.obs_dim,)),
        success=columns["success"].to_numpy(zero_copy_only=False),
        episode=columns["episode"].to_numpy(zero_copy_only=False),
        layout=columns["layout"].to_numpy(zero_copy_only=False),
        noise_std=columns["noise_std"].to_numpy(zero_copy_only=False),
        source=np.array(columns["source"].to_pylist(), object),
    )


def vectors(column: Any, shape: tuple[int, ...]) -> Any:
    """A column of fixed-size lists as one array (n, *shape) float32."""
    combined = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    flat = combined.flatten().to_numpy(zero_copy_only=False)
    return np.array(flat, np.float32).reshape(len(column), *shape)


def _column(values: Any, kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        flat = np.asarray(values, np.float32).ravel()
        return pa.FixedSizeListArray.from_arrays(pa.array(flat), kind.list_size)
    return pa.array(values, kind)


def _write(path: Path, table: pa.Table, row_group: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    floats = [f"{f.name}.list.element" for f in table.schema if pa.types.is_fixed_size_list(f.type)]
    others = [f.name for f in table.schema if not pa.types.is_fixed_size_list(f.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        row_group_size=row_group,
        use_dictionary=others,
        # Floats compress better with their bytes sorted by significance: a tenth smaller here.
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        write_page_index=False,
    )
    write_bytes(path, sink.getvalue().to_pybytes())


def concatenated(tables: Iterable[pa.Table]) -> pa.Table:
    """Tables one after the other, in one piece."""
    import pyarrow as pa

    return pa.concat_tables(tables).combine_chunks()
