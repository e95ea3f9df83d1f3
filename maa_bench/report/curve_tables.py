"""One axis of a protocol as a table: a row a method, a column a value."""

from __future__ import annotations

from maa_bench.record import AGGREGATE
from maa_bench.report.curves import Axis, Value
from maa_bench.report.tables import (
    MARKED,
    NOTHING,
    ONE_POLICY_NOTE,
    SELECTING,
    Cell,
    Table,
    metric_notes,
    shown,
)

SETTINGS = {
    "shots": "prompts of each test task",
    "prompt_source": "whose trajectories the prompts are",
    "prompt_noise": "noise on prompts, in standard deviations of each dimension",
    "dropped_steps": "share of the prompts' steps that are dropped",
    "prompt_steps": "steps of a prompt that are shown",
    "action_noise": "noise on actions while prompts were collected, in action units",
    "test_layouts": "layouts that are tested on",
    "mass": "bodies' masses, up to this factor",
    "friction": "contact friction, up to this factor",
    "damping": "joint damping, up to this factor",
    "gain": "actuator gain, up to this factor",
    "candidates": "candidates of each task and training seed",
    "episodes": "test layouts of each task",
    "select_episodes": "select layouts of each task",
}
"""What a setting is, with its unit; of others, the name has to do."""

BASE_NOTE = "*: the protocol's base, which is a point of every axis"
ONE_SEED_NOTE = "one training seed: the intervals are about that fit, and another may lie outside them"
GAP_NOTE = f"{NOTHING}: not run"


def curve_table(axis: Axis, metric: str = "mean") -> Table:
    """The aggregate of one metric along an axis, with intervals.

    Args:
        axis: one that `curves.families` gives. metric: a name in `METRICS`.
    """
    rows: list[tuple[Cell, ...]] = [
        (line.method, *(NOTHING if record is None else shown(record, metric, AGGREGATE) for record in line.records))
        for line in axis.lines
    ]
    every = [record for line in axis.lines for record in line.records]
    known = [record for record in every if record is not None]
    notes = [BASE_NOTE] if axis.base is not None else []
    if len(known) < len(every):
        notes.append(GAP_NOTE)
    if all(len(record.seeds.train) == 1 for record in known):
        notes.append(ONE_SEED_NOTE)
    one_policy = metric in SELECTING and any(record.method.deterministic_candidates for record in known)
    notes += [*metric_notes(metric), *([ONE_POLICY_NOTE] if one_policy else [])]
    header = (f"{value_text(value)}{' *' if value == axis.base else ''}" for value in axis.values)
    about = f" ({SETTINGS[axis.setting]})" if axis.setting in SETTINGS else ""
    where = f"{known[0].suite.name}, split {known[0].split.name}, mean of tasks"
    title = f"{MARKED.get(metric, metric)} by {axis.setting}{about}: {where}"
    return Table(title, ("method", *header), tuple(rows), tuple(notes))


def value_text(value: Value) -> str:
    """`16`, `0.05`, `expert`."""
    return value if isinstance(value, str) else f"{value:g}"
