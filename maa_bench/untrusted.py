"""Reading files that strangers wrote: regular files up to a size, JSON and TOML that are what they seem.

Nothing here trusts a file to be small, to be a file at all, to nest a sane number of times, or to say a thing once.
Whatever is wrong becomes a `ValueError` of one line without the path, which the caller adds with an error of its own.
"""

from __future__ import annotations

import json
import math
import os
import stat
import tomllib
from pathlib import Path
from typing import Any, NoReturn

MAX_DIGITS = 40
"""Of an integer in JSON. Python refuses those beyond some thousands only, with a message about an interpreter flag."""


def read_limited(path: Path, limit: int) -> bytes:
    """The bytes of a regular file that has at most `limit` of them; never reads more, and never waits for a pipe.

    Raises:
        ValueError: no regular file, or a larger one.
        OSError: it cannot be opened or read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError:  # a NUL in the name
        raise FileNotFoundError(2, "no such file", str(path)) from None
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a regular file")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"larger than {limit:,} bytes")
    return data


def json_object(data: bytes) -> dict[str, Any]:
    """A JSON object: UTF-8, every key once in its object, every number finite, not nested beyond reason.

    Raises:
        ValueError: it is none; the line says why.
    """
    try:
        found = json.loads(
            _text(data), parse_constant=_no_number, parse_float=_finite, parse_int=_integer, object_pairs_hook=_once
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"truncated or no JSON: {error}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError(f"a JSON object is wanted, not a {type(found).__name__}")
    return found


def toml_table(data: bytes) -> dict[str, Any]:
    """A TOML document: UTF-8, every number finite, not nested beyond reason.

    Raises:
        ValueError: it is none; the line says why.
    """
    try:
        # TOML ends lines as Windows does, too; `Path.read_text` would have translated them.
        return tomllib.loads(_text(data).replace("\r\n", "\n"), parse_float=_finite)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key[:80]!r} stands twice in one object")
        found[key] = value
    return found


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not allowed; every number must be finite")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _no_number(text if len(text) < MAX_DIGITS else f"{text[:MAX_DIGITS]}...")
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"integer {text[:12]}... has {len(text)} digits")
    return int(text)
