"""Looking into shards: a few columns, some row groups, without hashing gigabytes first (`CheckpointDataset.table`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from maa_bench.dataset.store import MANIFEST, CheckpointDataset
from maa_bench.errors import DataError, one_line

if TYPE_CHECKING:
    import pyarrow as pa


def n_groups(data: CheckpointDataset, shard: str) -> int:
    """How many row groups a shard has; see `look`."""
    with _opened(data, shard) as file:
        return int(file.num_row_groups)


def look(data: CheckpointDataset, shard: str, columns: Sequence[str], groups: Sequence[int] | None = None) -> pa.Table:
    """Some columns of a shard, of all its rows or of some row groups.

    Only the shard's size and number of rows are compared with the manifest, and only what is asked for is read.

    Raises:
        DataError: the shard is missing, truncated or cannot be read.
    """
    with _opened(data, shard) as file:
        wanted = list(columns)
        return file.read(wanted) if groups is None else file.read_row_groups(list(groups), wanted)


@contextmanager
def _opened(data: CheckpointDataset, shard: str) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, entry = data.folder / shard, data.shards[shard]
    advice = f"delete {path} and run `maa-bench data build` (or pull) again"
    try:
        if path.stat().st_size != entry["bytes"]:
            raise DataError(f"{path} is truncated or altered (its size differs from {MANIFEST}): {advice}")
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows != entry["rows"]:
                raise DataError(f"{path} has other rows than {MANIFEST} says: {advice}")
            yield file
    except OSError as error:
        raise DataError(f"cannot read {path}: {one_line(error.strerror or str(error))}; {advice}") from None
    except pa.ArrowException as error:
        raise DataError(f"{path} is damaged ({one_line(str(error))}): {advice}") from None
