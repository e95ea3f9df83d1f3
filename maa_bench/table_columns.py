"""Parquet tables beside a record: their columns as data, and bringing a table to exactly these columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from maa_bench.errors import RecordError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa


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
