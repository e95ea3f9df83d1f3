"""Curves: conditions of one protocol joined along its axes, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from record_samples import sample

from maa_bench.errors import RecordError
from maa_bench.record import RunRecord, Seeds
from maa_bench.record_metrics import MetricValue
from maa_bench.report.curve_tables import BASE_NOTE, GAP_NOTE, ONE_SEED_NOTE, curve_table
from maa_bench.report.curves import Axis, families
from maa_bench.report.tables import LEGACY_NOTE, NOTHING, ONE_POLICY_NOTE, ORACLE_NOTE


def condition(label: str, method: str = "make_an_agent", name: str | None = "few-shot-v1", **changes: Any) -> RunRecord:
    """A record of one condition: the setting and value that its label names, all else as the base's."""
    setting, equals, value = label.partition("=")
    if equals:
        changes[f"protocol__{setting}"] = value if setting == "prompt_source" else float(value)
    if setting in ("shots", "prompt_steps"):
        changes[f"protocol__{setting}"] = int(value)
    return sample(
        method,
        **{"run_id": f"run-{label.replace('=', '-')}", "protocol__name": name, "protocol__condition": label} | changes,
    )[0]


def only(axes: tuple[Axis, ...], setting: str) -> Axis:
    (axis,) = (a for a in axes if a.setting == setting)
    return axis


def test_the_base_is_a_point_of_every_axis_and_values_are_in_order() -> None:
    labels = ("shots=10", "prompt_noise=0.2", "base", "shots=1", "prompt_noise=0.1", "prompt_source=partial")
    records = [condition(label, method) for label in labels for method in ("random_seen", "make_an_agent")]
    (family,) = families(records)
    assert family.name == "few-shot-v1"
    assert [r.protocol.condition for r in family.base] == ["base", "base"]
    assert [axis.setting for axis in family.axes] == ["shots", "prompt_source", "prompt_noise"]
    shots = only(family.axes, "shots")
    assert (shots.values, shots.base) == ((1, 4, 10), 4)
    assert only(family.axes, "prompt_noise").values == (0.0, 0.1, 0.2)
    assert only(family.axes, "prompt_source").values == ("expert", "partial"), "the base's word is first"
    for axis in family.axes:
        assert [line.method for line in axis.lines] == ["make_an_agent", "random_seen"]
        for line in axis.lines:
            assert [r and getattr(r.protocol, axis.setting) for r in line.records] == list(axis.values)
            assert {r.method.name for r in line.records if r} == {line.method}
    assert len(family.conditions) == len(labels)
    assert [r.protocol.condition for r in family.conditions[0]] == ["base", "base"]
    assert families(records[::-1]) == [family], "whatever order the records come in"


def test_a_value_that_was_not_run_is_a_gap() -> None:
    (family,) = families([condition("base"), condition("base", "expert"), condition("shots=1", "expert")])
    lines = {line.method: line.records for line in family.axes[0].lines}
    assert [r is None for r in lines["make_an_agent"]] == [True, False]
    assert [r is None for r in lines["expert"]] == [False, False]


def test_the_table_of_an_axis() -> None:
    one = {"method__deterministic_candidates": True}
    records = [condition(label, name) for name in ("make_an_agent", "random_seen") for label in ("base", "shots=1")]
    (family,) = families([*records, condition("base", "expert", **one)])
    table = curve_table(family.axes[0])
    assert table.title == "mean by shots (prompts of each test task): toy-v1, split unseen, mean of tasks"
    assert table.header == ("method", "1", "4 *")
    by_method: dict[str, dict[int, MetricValue]] = {record.method.name: {} for record in records}
    for record in records:
        by_method[record.method.name][record.protocol.shots] = record.metrics.aggregate.mean
    assert {row[0]: row[1:] for row in table.rows[:2]} == {
        name: (found[1], found[4]) for name, found in by_method.items()
    }
    assert table.rows[2][:2] == ("expert", NOTHING)
    assert table.notes == (BASE_NOTE, GAP_NOTE)
    for metric, mark, note in (("legacy_top5", "†", LEGACY_NOTE), ("oracle_best", "‡", ORACLE_NOTE)):
        table = curve_table(family.axes[0], metric)
        assert mark in table.title
        assert note in table.notes
        assert table.rows[2] == ("expert", NOTHING, NOTHING)
        assert ONE_POLICY_NOTE in table.notes
    seed = Seeds(train=(3,), base=0)
    (family,) = families([condition(label, seeds=seed) for label in ("base", "shots=1")])
    assert ONE_SEED_NOTE in curve_table(family.axes[0]).notes


@pytest.mark.parametrize(
    "change",
    [
        {"name": "few-shot-v2"},
        {"suite__layouts_sha256": "b" * 64},
        {"suite__name": "toy-v2"},
        {"split__name": "seen"},
        {"dataset__id": "another"},
        {"protocol__candidates": 50},
        {"protocol__mass": 1.5},
    ],
)
def test_points_that_differ_in_anything_else_are_joined_to_no_base(change: dict[str, Any]) -> None:
    base, point, odd = condition("base"), condition("shots=1"), condition("shots=10", **change)
    joined, alone = sorted(families([base, point, odd]), key=lambda family: not family.base)
    assert joined.axes[0].values == (1, 4)
    assert (alone.base, alone.axes[0].base, alone.axes[0].values) == ((), None, (10,))
    assert alone.first == odd


def test_two_bases_of_one_name_have_families_of_their_own() -> None:
    small, large = (
        [condition(label, protocol__candidates=count) for label in ("base", "shots=1")] for count in (4, 16)
    )
    made = families([*small, *large])
    assert sorted(family.first.protocol.candidates for family in made) == [4, 16]
    for family in made:
        ((line,),) = (axis.lines for axis in family.axes)
        assert len({r.protocol.candidates for r in line.records if r}) == 1


def test_protocols_without_a_name_have_no_axes() -> None:
    made = families([condition("", name=None), condition("", name=None, protocol__shots=9)])
    assert [(family.name, family.axes, len(family.base)) for family in made] == [(None, (), 1)] * 2


def test_of_two_records_in_one_place_the_one_of_more_seeds_is_on_the_curve() -> None:
    few = condition("base", run_id="run-z", seeds=Seeds(train=(0,), base=0))
    (family,) = families([condition("base"), few, condition("shots=1")])
    assert [r.run_id for r in family.axes[0].lines[0].records if r] == ["run-shots-1", "run-base"]
    assert len(family.base) == 2, "the table has both"


def test_a_record_that_is_not_on_the_curve_is_still_among_the_conditions() -> None:
    """Tables of all numbers are made from the conditions: none of two records of one point may vanish."""
    few = condition("shots=1", run_id="run-few", seeds=Seeds(train=(0,), base=0))
    for records in ([condition("base"), condition("shots=1"), few], [condition("shots=1"), few]):
        (family,) = families(records)
        (line,) = family.axes[0].lines
        assert "run-few" not in [r.run_id for r in line.records if r], "the curve has the one of more seeds"
        assert sorted(r.run_id for c in family.conditions for r in c) == sorted(r.run_id for r in records)


@pytest.mark.parametrize("label", ["shots", "shoots=1", "=1", "name=x", "nonsense"])
def test_a_condition_that_names_no_setting_is_an_error(label: str) -> None:
    record = condition("base", protocol__condition=label)
    with pytest.raises(RecordError, match=r"run-base.*neither 'base' nor"):
        families([record])
