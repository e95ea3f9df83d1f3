"""Reading one table of a suite's TOML file: every key must be known, present and of the right type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maa_bench.errors import SuiteError, did_you_mean

MAX_NUMBER = 1_000_000
"""Of steps, layouts, inputs, outputs."""


class TomlTable:
    """One table being read.

    Args:
        data: what stands there.
        where: dotted name of the table; empty for the file itself.
        path: the file, for errors.
        keys: all that are known.

    Raises:
        SuiteError: no table, or an unknown key; the line gives the nearest right ones.
    """

    def __init__(self, data: Any, where: str, path: Path, keys: tuple[str, ...]) -> None:
        if not isinstance(data, dict):
            raise SuiteError(f"{path}: {where or 'the file'} must be a table")
        self._data, self._where, self._path = data, where, path
        for key in data:
            if key not in keys:
                raise SuiteError(f"{path}: unknown key {self._full(key)!r}.{did_you_mean(key, keys)}")

    def _full(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key

    def get(self, key: str, kind: type, default: Any = None) -> Any:
        """The value of a key; the default, if there is one, where it is missing.

        Raises:
            SuiteError: it is missing, or of another type.
        """
        value = self._data.get(key, default)
        if value is None:
            raise SuiteError(f"{self._path}: missing key {self._full(key)!r}")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise SuiteError(f"{self._path}: {self._full(key)!r} must be a {kind.__name__}, not {type(value).__name__}")
        return value

    def positive(self, key: str) -> int:
        """A whole number from 1 to `MAX_NUMBER`.

        Raises:
            SuiteError: it is none.
        """
        value: int = self.get(key, int)
        if not 1 <= value <= MAX_NUMBER:
            what = "at least 1" if value < 1 else f"at most {MAX_NUMBER}"
            raise SuiteError(f"{self._path}: {self._full(key)!r} must be {what}, not {value}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of strings, each once.

        Raises:
            SuiteError: it is none.
        """
        values = self.get(key, list)
        if not all(isinstance(v, str) for v in values):
            raise SuiteError(f"{self._path}: {self._full(key)!r} must be a list of strings")
        if len(set(values)) != len(values):
            raise SuiteError(f"{self._path}: {self._full(key)!r} names something twice")
        return tuple(values)
