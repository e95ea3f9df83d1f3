"""Frozen dataclasses of settings: changed by name, from a suite's TOML or the command line, and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from maa_bench.errors import MaaBenchError, did_you_mean

NO_NUMBER: Mapping[str, Any] = {"decides": False}
"""`field(metadata=NO_NUMBER)`: a setting on which no number depends."""
MAY_BE_0: Mapping[str, Any] = {"may_be_0": True}
"""`field(metadata=MAY_BE_0)`: a number that may be 0."""
ADDED: Mapping[str, Any] = {"added": True}
"""A setting that came after datasets had been made: at its default it is no part of their identity."""


def identity_of(settings: Any) -> dict[str, Any]:
    """The settings that may change the numbers that come out, by name."""
    return {
        f.name: getattr(settings, f.name)
        for f in fields(settings)
        if f.metadata.get("decides", True) and not (f.metadata.get("added") and getattr(settings, f.name) == f.default)
    }


def changed(config: Any, changes: Mapping[str, Any], where: str, error: type[MaaBenchError]) -> Any:
    """A frozen dataclass of settings with some of them changed.

    Args:
        config: numbers, flags, strings, tuples of numbers; nested dataclasses are left alone.
        changes: new values by name; lists for tuples.
        where: how a message names the settings: the begin of a quotation that the key ends.
        error: what is raised for an unknown name or a value that cannot be.
    """
    known = {f.name: f for f in fields(config) if not is_dataclass(getattr(config, f.name))}
    values = {}
    for key, value in changes.items():
        if key not in known:
            raise error(f"{where}.{key}' is not a setting.{did_you_mean(key, known)}")
        default = getattr(config, key)
        wanted = _wanted(value, default, bool(known[key].metadata.get("may_be_0")))
        if wanted is not None:
            raise error(f"{where}.{key}' must be {wanted}, not {value!r}")
        values[key] = tuple(value) if isinstance(default, tuple) else value
    return replace(config, **values)


def _wanted(value: Any, default: Any, may_be_0: bool) -> str | None:
    """What a value of this kind must be; None if it is."""
    if isinstance(default, bool):
        good, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, str):
        good, wanted = isinstance(value, str), "a text"
    elif isinstance(default, tuple):
        whole = all(type(v) is int for v in default)
        good = isinstance(value, list) and bool(value) and all(_is_number(v, whole) and v >= 0 for v in value)
        wanted = "a list of whole numbers" if whole else "a list of numbers of at least 0"
    elif isinstance(default, float):
        good = _is_number(value, False) and (value > 0 or (may_be_0 and value == 0))
        wanted = "a number of at least 0" if may_be_0 else "a number above 0"
    else:
        least = 0 if may_be_0 else 1
        good, wanted = _is_number(value, True) and value >= least, f"a whole number of at least {least}"
    return None if good else wanted


def _is_number(value: Any, whole: bool) -> bool:
    return type(value) is int or (not whole and type(value) is float and math.isfinite(value))
