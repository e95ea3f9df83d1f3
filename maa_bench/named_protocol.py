"""Protocols by name: `protocols/<name>.toml`, each a base and the axes along which one setting leaves it.

A released protocol is never edited; a change makes a `-v2` beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from maa_bench.errors import ProtocolError, did_you_mean, one_line
from maa_bench.protocol import LABELS, Protocol, flag
from maa_bench.untrusted import read_limited, toml_table

MAX_TOML = 100_000
"""Bytes of a protocol's file."""
MAX_LINE = 1500
"""Characters of what is wrong with it; it may list all settings."""

BASE = "base"
"""The condition that belongs to every axis."""
QUICK = "quick-v1"
"""The protocol of a run that names none and changes nothing."""

OWN_TO_A_RUN = ("scale", "device")
"""Settings that a named protocol leaves to the run: they are of methods and machines."""

SETTINGS: dict[str, type] = {
    f.name: type(f.default) for f in fields(Protocol) if f.name not in (*LABELS, *OWN_TO_A_RUN)
}
"""What a named protocol settles, and its type."""

_TOP = ("name", "description", "seeds", "headline", "base", "axes")
_AXIS = ("setting", "values", "unit")


@dataclass(frozen=True)
class Axis:
    """One setting and the values that it takes, all others being the base's.

    Attributes:
        setting: a field of `Protocol`.
        values: at least two, in the order of tables; the base's value is one of them.
        unit: of the values, in words.
    """

    setting: str
    values: tuple[Any, ...]
    unit: str


@dataclass(frozen=True)
class NamedProtocol:
    """A protocol with a name: what its records share, and in what they differ.

    Attributes:
        name: e.g. `noisy-v1`.
        description: one sentence.
        seeds: training seeds that a whole run has.
        headline: the metric to read first, one of `metrics.METRICS`.
        base: the condition that all axes leave.
        axes: may be none.
    """

    name: str
    description: str
    seeds: int
    headline: str
    base: Protocol
    axes: tuple[Axis, ...] = ()

    def conditions(self, only: Iterable[str] | None = None, **own: Any) -> list[Protocol]:
        """The base, then each axis' other values in order, one point at a time; each labelled with its condition.

        Args:
            only: axes that are wanted, `base` for none; default: all.
            own: scale and device.

        Raises:
            ProtocolError: an axis that the protocol does not have.
        """
        wanted = {axis.setting for axis in self.axes} if only is None else set(only) - {BASE}
        for name in sorted(wanted):
            if all(name != axis.setting for axis in self.axes):
                known = [BASE, *(axis.setting for axis in self.axes)]
                raise ProtocolError(f"--conditions: protocol {self.name} has no {name!r}.{did_you_mean(name, known)}")
        base = replace(self.base, **own)
        points = [
            replace(base, **{axis.setting: value}, condition=condition_of(axis.setting, value))
            for axis in self.axes
            if axis.setting in wanted
            for value in axis.values
            if value != getattr(base, axis.setting)
        ]
        return [base, *points]

    def refuse_changes(self, given: Mapping[str, Any]) -> None:
        """Refuse flags that would make another protocol of it.

        Args:
            given: settings that a run was asked for beside the protocol.

        Raises:
            ProtocolError: one of them is not what every condition has.
        """
        for setting, value in given.items():
            if any(getattr(condition, setting) != value for condition in self.conditions()):
                raise ProtocolError(
                    f"{flag(setting)} {value} beside --protocol {self.name}, which settles it: leave one of them out, "
                    "or write a protocol of your own (docs/protocols.md says how)"
                )


def condition_of(setting: str, value: Any) -> str:
    """A condition's label: `shots=5`, `prompt_noise=0.1`, `prompt_source=expert`."""
    return f"{setting}={_text(value)}"


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def list_protocols() -> list[str]:
    """Names of the protocols that come with the package."""
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml"))


def load_protocol(name_or_path: str) -> NamedProtocol:
    """Read a protocol that comes with the package, by name, or anybody's, by the path of its TOML file.

    Raises:
        ProtocolError: no such protocol, an unknown or missing key, a wrong type, a number out of its range.
    """
    path, own = Path(name_or_path), name_or_path.endswith(".toml")
    if not own:
        if name_or_path not in list_protocols():
            raise ProtocolError(f"unknown protocol {name_or_path!r}.{did_you_mean(name_or_path, list_protocols())}")
        path = _folder() / f"{name_or_path}.toml"
    try:
        data = toml_table(read_limited(path, MAX_TOML))
    except OSError as error:
        raise ProtocolError(one_line(f"cannot read protocol file {path}: {error.strerror}")) from None
    except ValueError as error:
        raise ProtocolError(f"{path} is not valid TOML: {one_line(str(error))}") from None
    try:
        protocol = _parse(data, path)
    except ProtocolError as error:
        raise ProtocolError(one_line(str(error), MAX_LINE)) from None
    if own and protocol.name in list_protocols() and protocol != load_protocol(protocol.name):
        raise ProtocolError(f"{path}: {protocol.name!r} is a protocol of the package, with other values: name it anew")
    return protocol


def labelled(protocol: Protocol) -> Protocol:
    """The same, called `quick-v1` if it has no name and its numbers are that one's."""
    if protocol.name is None and not set(protocol.changed) - set(OWN_TO_A_RUN):
        return replace(protocol, name=QUICK, condition=BASE)
    return protocol


def _folder() -> Path:
    return Path(str(resources.files("maa_bench"))) / "protocols"


def _parse(data: dict[str, Any], path: Path) -> NamedProtocol:
    from maa_bench.metrics import METRICS

    _known(data, _TOP, "", path)
    name = _get(data, "name", str, "", path)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ProtocolError(f"{path}: name {name!r} must be letters, digits, '.', '_' or '-' (at most 64)")
    seeds = _get(data, "seeds", int, "", path)
    if seeds < 1:
        raise ProtocolError(f"{path}: 'seeds' must be at least 1, not {seeds}")
    headline = _get(data | {"headline": data.get("headline", "mean")}, "headline", str, "", path)
    if headline not in METRICS:
        raise ProtocolError(f"{path}: 'headline' knows no {headline!r}.{did_you_mean(headline, METRICS)}")
    settings = _get(data, "base", dict, "", path)
    _known(settings, SETTINGS, "base.", path)
    values = {key: _get(settings, key, SETTINGS[key], "base.", path) for key in settings}
    try:
        base = Protocol(**values, name=name, condition=BASE)
        tables = _get(data | {"axes": data.get("axes", [])}, "axes", list, "", path)
        axes = tuple(_axis(table, f"axes[{i}].", base, path) for i, table in enumerate(tables))
    except ProtocolError as error:
        where = "" if str(error).startswith(f"{path}: ") else f"{path}: "
        raise ProtocolError(f"{where}{error}") from None
    if len({axis.setting for axis in axes}) < len(axes):
        raise ProtocolError(f"{path}: 'axes' has a setting twice")
    return NamedProtocol(name, _get(data, "description", str, "", path), seeds, headline, base, axes)


def _axis(table: Any, where: str, base: Protocol, path: Path) -> Axis:
    if not isinstance(table, dict):
        raise ProtocolError(f"{path}: {where[:-1]!r} must be a table")
    _known(table, _AXIS, where, path)
    setting = _get(table, "setting", str, where, path)
    if setting not in SETTINGS:
        raise ProtocolError(f"{path}: '{where}setting' knows no {setting!r}.{did_you_mean(setting, SETTINGS)}")
    given = _get(table, "values", list, where, path)
    values = [_typed(value, SETTINGS[setting], f"{where}values", path) for value in given]
    if len(set(values)) < max(2, len(values)):
        raise ProtocolError(f"{path}: '{where}values' must be two values or more, none of them twice")
    if getattr(base, setting) not in values:
        raise ProtocolError(f"{path}: '{where}values' must hold the base's value, {getattr(base, setting)!r}")
    for value in values:
        replace(base, **{setting: value})  # checks it
    return Axis(setting, tuple(values), _get(table, "unit", str, where, path))


def _known(data: dict[str, Any], keys: Iterable[str], where: str, path: Path) -> None:
    for key in data:
        if key not in keys:
            raise ProtocolError(f"{path}: unknown key {where + key!r}.{did_you_mean(key, keys)}")


def _get(data: dict[str, Any], key: str, kind: type, where: str, path: Path) -> Any:
    if key not in data:
        raise ProtocolError(f"{path}: missing key {where + key!r}")
    return _typed(data[key], kind, where + key, path)


def _typed(value: Any, kind: type, where: str, path: Path) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ProtocolError(f"{path}: {where!r} must be a {kind.__name__}, not {type(value).__name__}")
    return value
