"""Files as an enemy would write them: seeded mutations of a sound record, suite or table."""

from __future__ import annotations

import io
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maa_bench.errors import MaaBenchError
from maa_bench.files import sha256_of

SECONDS = 10.0
"""That one file may take: none comes near."""
MB = 400
"""By which the process may grow."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 7, 10**18, 2**63, 10**30, -(10**30), 1e308, -0.0, 0.5, float("nan")),
    *(float("inf"), "", " ", "x", "x" * 5_000, "x" * 300_000, "../x", "/etc/passwd", "..", ".", "a\0b", "a/b", "a\\b"),
    *("CON", "nul\n", "a\u202eb", "m\u0430ke_an_agent", "\ud800", "<script>alert(1)</script>", r"\input{/etc/passwd}"),
    *([], {}, [[]], [1, 2], ["x"], {"x": 1}, [[[[[[[[1]]]]]]]], {"value": 0.5, "ci": [0.1, 0.9]}),
)
TOKENS = (
    *(b"NaN", b"Infinity", b"1e999", b"-1e999", b"9" * 5_000, b"0x10", b"[" * 50_000, b'{"a":' * 50_000, b"\xff\xfe"),
    *(b"\0", b'"', b"}", b"]", b",", b'"run_id": "../../x",', b'"\\ud800"', b"1" + b"0" * 400, b"null", b"true"),
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested objects and lists."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*at, key))


def mutated(value: Any, rng: np.random.Generator, values: tuple[Any, ...] = VALUES) -> Any:
    """A deep copy in which one to three things are replaced, removed, renamed, doubled or swapped."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.integers(1, 4)):
        *parents, last = pick(rng, [path for path in paths(value) if path])
        holder = value
        for key in parents:
            holder = holder[key]
        action = rng.integers(6)
        if action == 0:
            del holder[last]
        elif action == 1 and isinstance(holder, dict):
            holder[str(pick(rng, [v for v in values if isinstance(v, str)]))] = holder.pop(last)
        elif action == 2 and isinstance(holder, list):
            holder.extend([holder[last]] * int(rng.integers(1, 50)))
        elif action == 3:
            other: Any = value
            for key in pick(rng, list(paths(value))):
                other = other[key]
            holder[last] = json.loads(json.dumps(other))
        else:
            holder[last] = pick(rng, list(values))
        if not value:
            break
    return value


def mangled(data: bytes, rng: np.random.Generator, tokens: tuple[bytes, ...] = TOKENS) -> bytes:
    """Bytes that were flipped, cut, doubled, or have something in them that does not belong there."""
    action, at = rng.integers(5), int(rng.integers(len(data)))
    if action == 0:
        changed = bytearray(data)
        for _ in range(rng.integers(1, 9)):
            changed[rng.integers(len(data))] = rng.integers(256)
        return bytes(changed)
    if action == 1:
        return data[:at]
    if action == 2:
        end = int(rng.integers(at, len(data) + 1))
        return data[:end] + data[at:end] + data[end:]
    if action == 3:
        end = min(len(data), at + int(rng.integers(1, 40)))
        return data[:at] + data[end:]
    return data[:at] + pick(rng, list(tokens)) + data[at:]


def mutated_table(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    """A table with another type, name, order, value or number of rows somewhere."""
    which = int(rng.integers(table.num_columns))
    name, n = table.column_names[which], table.num_rows
    action = rng.integers(7)
    if action == 0:
        return table.drop_columns([name])
    if action == 1:
        return table.rename_columns([f"{c}{'x' * int(rng.integers(3))}" for c in table.column_names])
    if action == 2:
        return table.take(rng.integers(n, size=int(rng.integers(3 * n))))
    if action == 3:
        return table.append_column(pick(rng, ["extra", name, "../x"]), pa.array(np.arange(n)))
    if action == 4:
        values = table.column(name).to_pylist()
        for _ in range(rng.integers(1, 4)):
            values[rng.integers(n)] = pick(rng, [None, *(v for v in values)])
        return table.set_column(which, name, pa.array(values))
    hostile = {
        "ints": pa.array(rng.integers(-(2**62), 2**62, size=n)),
        "few ints": pa.array(rng.integers(-3, 9, size=n)),
        "floats": pa.array(pick(rng, [[float("nan")], [float("inf")], [0.5], [-1.0], [1e300]]) * n),
        "texts": pa.array([pick(rng, ["", "x" * 2_000, "../x", "a\0b", "test", "select"])] * n),
        "bytes": pa.array([b"\xff\xfe"] * n),
        "lists": pa.array([[1, 2]] * n),
        "structs": pa.array([{"a": 1}] * n),
        "nulls": pa.nulls(n),
        "times": pa.array(np.arange(n), pa.timestamp("us")),
        "halves": pa.array(np.ones(n, np.float16)),
        "decimals": pa.array([0] * n, pa.decimal128(38, 2)),
        "large texts": pa.array(["x"] * n, pa.large_string()),
    }
    return table.set_column(which, name, hostile[pick(rng, sorted(hostile))])


def parquet(table: pa.Table, **options: Any) -> bytes:
    """A table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def put(folder: Path, name: str, data: bytes) -> None:
    """Write a file of a record, and its true size and hash into the record."""
    (folder / name).write_bytes(data)
    raw = json.loads((folder / "record.json").read_text())
    raw["files"][name] |= {"bytes": len(data), "sha256": sha256_of(folder / name)}
    (folder / "record.json").write_text(json.dumps(raw))


def pick(rng: np.random.Generator, choices: list[Any]) -> Any:
    """One of them."""
    return choices[int(rng.integers(len(choices)))]


@contextmanager
def frugal() -> Iterator[None]:
    """The process does not grow much while this is open."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1024 if sys.platform == "linux" else 1)
    assert grown < MB * 1e6, f"grew by {grown / 1e6:.0f} MB"


def refused_cleanly(what: str, read: Callable[[], object]) -> bool:
    """Whether reading was refused; if so, with an error of ours, in one short line. Nothing else may happen."""
    started, line = time.process_time(), None
    try:
        read()
    except MaaBenchError as error:
        line = str(error)
    except BaseException as error:  # a bug that the next line makes plain
        pytest.fail(f"{what}: {type(error).__name__}: {str(error)[:300]}")
    assert line is None or ("\n" not in line and len(line) < 2_000), f"{what}: {line}"[:5_000]
    assert time.process_time() - started < SECONDS, f"{what}: took {time.process_time() - started:.0f} s"
    return line is not None
