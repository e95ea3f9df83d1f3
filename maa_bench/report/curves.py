"""Which records belong on one curve: the conditions of one protocol, joined along its axes.

A named protocol has a base condition and axes off it, each of which changes one setting; every condition is a record
of its own. Here they are put together again, from what the records say and nothing else. Pure, and of no drawing:
tables, figures and the site all read the same curves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from maa_bench.errors import RecordError
from maa_bench.record import ProtocolInfo, RunRecord
from maa_bench.report.tables import group_key, place, standing

BASE = "base"
"""The condition that every axis shares."""

Value = float | int | str


@dataclass(frozen=True)
class Line:
    """One method along one axis.

    Attributes:
        method: its name.
        records: (n_values,) its record at each of the axis' values; None where it was not run.
    """

    method: str
    records: tuple[RunRecord | None, ...]


@dataclass(frozen=True)
class Axis:
    """One setting that varies while all others stay.

    Attributes:
        setting: field of `ProtocolInfo`, e.g. `shots`.
        values: numbers ascending; of words, the base's first. The base's value is among them where it was run.
        base: the base's value; None where no record is of the base.
        lines: one a method, in the order of the tables.
    """

    setting: str
    values: tuple[Value, ...]
    base: Value | None
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Family:
    """All conditions of one protocol on one suite, split and dataset.

    Attributes:
        name: of the protocol; None if it has no name, and then it has no axes.
        base: the base's records, which compare with each other; () where only other conditions were run.
        axes: in the order of the settings in a record.
        points: the records of the other conditions, those too that no curve shows because another stands there.
    """

    name: str | None
    base: tuple[RunRecord, ...]
    axes: tuple[Axis, ...]
    points: tuple[RunRecord, ...] = ()

    @property
    def first(self) -> RunRecord:
        """Any record, to tell suite, split and dataset from."""
        return self.base[0] if self.base else next(r for r in self.axes[0].lines[0].records if r is not None)

    @property
    def conditions(self) -> list[tuple[RunRecord, ...]]:
        """The records of each condition, the base's first; those of one condition compare."""
        found: dict[str, dict[str, RunRecord]] = {}
        on_axes = (r for axis in self.axes for line in axis.lines for r in line.records if r is not None)
        for record in (*self.base, *on_axes, *self.points):
            found.setdefault(group_key(record), {})[f"{record.method.name}/{record.run_id}"] = record
        return [tuple(records.values()) for records in found.values()]


def families(records: Iterable[RunRecord]) -> list[Family]:
    """Every record in the family that it belongs to, in an order that the records alone decide.

    A point belongs to a base if nothing but its own setting tells them apart: records that share a name and differ in
    anything else are not joined. Where a method has several records of one condition, the one with the most training
    seeds is on the curve (of equals, the last by `run_id`).

    Raises:
        RecordError: a condition that names no setting.
    """
    bases: dict[str, list[RunRecord]] = {}
    points: dict[str, list[RunRecord]] = {}
    for record in records:
        setting = setting_of(record)
        (bases if setting is None else points).setdefault(_key(record, setting), []).append(record)
    made, joined = [], set()
    for _, base in sorted(bases.items()):
        own = {}
        if base[0].protocol.name is not None:
            keys = {setting: _key(base[0], setting) for setting in ProtocolInfo.model_fields}
            own = {setting: points[key] for setting, key in keys.items() if key in points}
            joined |= {keys[setting] for setting in own}
        axes = tuple(_axis(setting, base, group) for setting, group in own.items())
        others = (record for group in own.values() for record in group)
        made.append(
            Family(base[0].protocol.name, tuple(sorted(base, key=place)), axes, tuple(sorted(others, key=place)))
        )
    for key, group in sorted(points.items()):
        if key not in joined:
            axis = _axis(str(setting_of(group[0])), (), group)
            made.append(Family(group[0].protocol.name, (), (axis,), tuple(sorted(group, key=place))))
    return made


def setting_of(record: RunRecord) -> str | None:
    """The setting that the record's condition varies; None of a base, or of a protocol without a name.

    Raises:
        RecordError: the condition names no setting.
    """
    condition = record.protocol.condition
    if record.protocol.name is None or condition in ("", BASE):
        return None
    setting, equals, _ = condition.partition("=")
    if not equals or setting not in ProtocolInfo.model_fields or setting in ("name", "condition"):
        raise RecordError(
            f"record {record.run_id!r} of {record.method.name!r}: protocol.condition {condition!r} is neither "
            f"'{BASE}' nor '<setting>=<value>'"
        )
    return setting


def value_of(record: RunRecord, setting: str) -> Value:
    """A setting of the record's protocol."""
    value: Value = getattr(record.protocol, setting)
    return value


def _key(record: RunRecord, setting: str | None) -> str:
    """Equal for two records exactly if they differ in one setting of the protocol at most; None: in none."""
    group: dict[str, Any] = json.loads(group_key(record))
    for name in ("condition", setting):
        group["protocol"].pop(name, None)
    return json.dumps([setting or "", group])


def _axis(setting: str, base: Sequence[RunRecord], points: Sequence[RunRecord]) -> Axis:
    at_base = value_of(base[0], setting) if base else None
    values = sorted(
        {value_of(record, setting) for record in (*base, *points)},
        key=lambda v: (v != at_base, v, 0.0) if isinstance(v, str) else (False, "", v),
    )
    by_place: dict[tuple[str, Value], RunRecord] = {}
    for record in sorted((*base, *points), key=standing):
        by_place[record.method.name, value_of(record, setting)] = record
    lines = [
        Line(name, tuple(by_place.get((name, value)) for value in values))
        for name in sorted({record.method.name for record in (*base, *points)})
    ]

    def order(line: Line) -> tuple[Any, ...]:
        here = line.records[values.index(at_base)] if at_base is not None else None
        return place(here or next(record for record in line.records if record is not None))

    return Axis(setting, tuple(values), at_base, tuple(sorted(lines, key=order)))
