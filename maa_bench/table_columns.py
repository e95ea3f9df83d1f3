"""Parquet tables beside a record: their columns as data, and bringing a table to exactly these columns."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from maa_bench.errors import RecordError, did_you_mean, one_line
from maa_bench.parquet_guard import check_cost
from maa_bench.untrusted import read_limited

if TYPE_CHECKING:
    import pyarrow as pa

MAX_FILE = 200_000_000
MAX_ROWS = 5_000_000
MAX_DECOMPRESSED = 500_000_000
"""Bytes of a table's file, its rows, and its bytes before compression: many times what the largest campaigns make."""
MAX_TEXT = 128
"""Characters of a text in a cell."""


class Column(NamedTuple):
    """One column of a table; `type` is pyarrow's name of the type."""

    name: str
    type: str
    description: str
    nullable: bool = False


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The columns as a pyarrow schema."""
    import pyarrow as pa

    types = {"string": pa.string(), "int64": pa.int64(), "bool": pa.bool_(), "float64": pa.float64()}
    return pa.schema([pa.field(c.name, types[c.type], nullable=c.nullable) for c in columns])


def conform(table: pa.Table, columns: Sequence[Column], what: str) -> pa.Table:
    """The table with exactly these columns and types and no pandas metadata.

    Args:
        table: any table.
        columns: the columns that it shall have.
        what: its name in error lines.

    Raises:
        RecordError: missing or unknown columns, types that do not convert without loss, or empty cells.
    """
    import pyarrow as pa

    schema = arrow_schema(columns)
    for name in table.column_names:
        if name not in schema.names:
            raise RecordError(f"{what}: unknown column {name!r}.{did_you_mean(name, schema.names)}")
    if len(set(table.column_names)) != len(table.column_names):
        raise RecordError(f"{what}: a column stands there twice")
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise RecordError(f"{what}: no column {', '.join(missing)}")
    table = table.select(schema.names)
    for column in columns:
        if table.column(column.name).null_count and not column.nullable:
            raise RecordError(f"{what}: column {column.name!r} has empty cells")
    try:
        return table.cast(schema).replace_schema_metadata(None).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise RecordError(f"{what}: column types do not fit: {error}") from error


def read_table(path: Path, columns: Sequence[Column], what: str) -> pa.Table:
    """The table of a Parquet file that a stranger may have written, with exactly these columns and types.

    Args:
        path: the file.
        columns, what: as in `conform`.

    Raises:
        RecordError: no Parquet, another table, or one that is too large to be sane.
    """
    import pyarrow.parquet as pq

    texts = [column.name for column in columns if column.type == "string"]
    try:
        data = read_limited(path, MAX_FILE)
        check_cost(data, MAX_ROWS, len(columns) + 1, MAX_DECOMPRESSED)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: {error.strerror if isinstance(error, OSError) else error}") from error
    try:
        # Dictionaries stay what they are: written out, one long text in each of many rows would fill the memory.
        table = pq.ParquetFile(BytesIO(data), read_dictionary=texts).read(use_threads=False)
        table.validate(full=True)
        longest = max((len(str(text)) for name in texts for text in _distinct(table, name)), default=0)
    except Exception as error:  # a library with errors of many kinds, on a stranger's bytes
        raise RecordError(f"{path}: cannot be read as Parquet: {one_line(str(error))}") from error
    if longest > MAX_TEXT:
        raise RecordError(f"{path}: {what}: a text of {longest:,} characters, but at most {MAX_TEXT} are allowed")
    try:
        return conform(table, columns, what)
    except RecordError as error:
        raise RecordError(f"{path}: {one_line(str(error))}") from error


def _distinct(table: pa.Table, name: str) -> list[object]:
    """The different texts of a column, if it is one of texts."""
    import pyarrow as pa

    if name not in table.column_names or not pa.types.is_dictionary(table.column(name).type):
        return []
    return [text for chunk in table.column(name).chunks for text in chunk.dictionary.to_pylist()]
