"""What a Parquet file would take to read, told from its page headers before anything is decompressed.

A few kilobytes may stand for gigabytes: the footer says how many rows and bytes there are, but whoever wrote the file
wrote the footer, too. A reader allocates what the header of each page asks for and lets the page's data fill no more
than that, so the sum over the pages bounds what decompression can give. One encoding expands what was decompressed once
more (each value begins as the one before), and is refused; so do dictionaries, which is why text columns must be read
as such (`read_dictionary`). Page headers are Thrift structs in the compact protocol
(https://github.com/apache/parquet-format, `PageHeader`); they are stepped through here, as pyarrow does not show them.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.parquet as pq

MAX_ROW_GROUPS = 100
MAX_PAGES = 10_000
_MAX_DEPTH = 16
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)
_UNCOMPRESSED, _COMPRESSED = 2, 3  # fields of PageHeader: sizes in bytes
_ENCODINGS = ((5, 2), (8, 4))  # fields of its data page headers of version 1 and 2, and of the encoding in these
_DELTA_BYTE_ARRAY = 7

Struct = dict[int, "int | Struct"]


def check_cost(data: bytes, max_rows: int, max_columns: int, max_bytes: int) -> None:
    """Refuse a Parquet file that has more rows, columns or decompressed bytes than that.

    Args:
        data: the file.
        max_rows, max_columns: by its footer, which a reader goes by.
        max_bytes: of all pages, decompressed, by their headers.

    Raises:
        ValueError: it has more, or it is no Parquet; one line.
    """
    import pyarrow.parquet as pq

    try:
        metadata = pq.ParquetFile(BytesIO(data)).metadata
    except Exception as error:  # a stranger's bytes, and a library with errors of many kinds
        raise ValueError(f"cannot be read as Parquet: {_first_line(error)}") from None
    if not 0 <= metadata.num_rows <= max_rows:
        raise ValueError(f"{metadata.num_rows:,} rows, but at most {max_rows:,} are allowed")
    if metadata.num_columns > max_columns:
        raise ValueError(f"{metadata.num_columns} columns, but at most {max_columns} are allowed")
    if metadata.num_row_groups > MAX_ROW_GROUPS:
        raise ValueError(f"{metadata.num_row_groups:,} row groups, but at most {MAX_ROW_GROUPS} are allowed")
    total = 0
    pages = (page for start, end in _chunks(metadata, len(data)) for page in _page_sizes(data, start, end))
    for count, size in enumerate(pages, start=1):
        total += size
        if total > max_bytes:
            raise ValueError(f"its pages decompress to more than {max_bytes:,} bytes")
        if count > MAX_PAGES:
            raise ValueError(f"more than {MAX_PAGES:,} pages")


def _chunks(metadata: pq.FileMetaData, size: int) -> list[tuple[int, int]]:
    """(start, end) in the file of every column chunk."""
    found = []
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for column in range(metadata.num_columns):
            chunk = row_group.column(column)
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                start = min(start, chunk.dictionary_page_offset)
            end = start + chunk.total_compressed_size
            if not 0 <= start <= end <= size or chunk.file_path:
                raise ValueError("cannot be read as Parquet: a column chunk lies outside the file")
            found.append((start, end))
    return found


def _page_sizes(data: bytes, start: int, end: int) -> Iterator[int]:
    """Bytes that each page of one column chunk decompresses to, by its header."""
    at = start
    while at < end:
        reader = _Compact(data, at, end)
        header = reader.struct()
        uncompressed, compressed = header.get(_UNCOMPRESSED), header.get(_COMPRESSED)
        if not isinstance(uncompressed, int) or not isinstance(compressed, int) or min(uncompressed, compressed) < 0:
            raise ValueError("cannot be read as Parquet: a page header without sizes")
        for part, field in _ENCODINGS:
            page = header.get(part)
            if isinstance(page, dict) and page.get(field) == _DELTA_BYTE_ARRAY:
                raise ValueError("its pages are encoded as DELTA_BYTE_ARRAY, which may hide any size: write it plainly")
        yield uncompressed
        at = reader.at + compressed


class _Compact:
    """Steps through one struct in Thrift's compact protocol."""

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data, self.at, self._end = data, at, end

    def struct(self, depth: int = 0) -> Struct:
        """The struct's integers and structs by field number; whatever else it holds is stepped over."""
        if depth > _MAX_DEPTH:
            raise ValueError("cannot be read as Parquet: a page header nests too deeply")
        found: Struct = {}
        field = 0
        while True:
            head = self._byte()
            kind, step = head & 0x0F, head >> 4
            if kind == _STOP:
                return found
            field = field + step if step else self._zigzag()
            if kind in (_I16, _I32, _I64):
                found[field] = self._zigzag()
            elif kind == _STRUCT:
                found[field] = self.struct(depth + 1)
            elif kind not in (_TRUE, _FALSE):  # whose value is the kind itself
                self._skip(kind, depth)

    def _byte(self) -> int:
        if self.at >= self._end:
            raise ValueError("cannot be read as Parquet: a page header is cut off")
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("cannot be read as Parquet: an endless number in a page header")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, kind: int, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise ValueError("cannot be read as Parquet: a page header nests too deeply")
        if kind == _STRUCT:
            self.struct(depth + 1)
        elif kind in (_TRUE, _FALSE, _BYTE):
            self._byte()
        elif kind in (_I16, _I32, _I64):
            self._varint()
        elif kind == _DOUBLE:
            self.at += 8
        elif kind == _BINARY:
            length = self._varint()
            self.at += length
        elif kind in (_LIST, _SET):
            head = self._byte()
            size = head >> 4 if head >> 4 != 15 else self._varint()
            for _ in range(size):  # each takes a byte at least, so a false size soon ends at the chunk's end
                self._skip(head & 0x0F, depth + 1)
        else:  # a map, or no kind at all: page headers hold neither
            raise ValueError("cannot be read as Parquet: a page header holds what none has")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
