"""The layout of `leaderboard.json`, which is also the data of the page.

One entry a group (records that compare: same suite and layouts, split, dataset and protocol), in it a row a record; and
the axes along which the conditions of a named protocol are joined.
"""

from __future__ import annotations

from typing import Any, TypedDict

Number = list[float]
"""A value with its 95 % interval, [value, low, high]; without one, [value]."""


class MetricAbout(TypedDict):
    """A metric: its name, definition, and whether it is a `result`, an upper `bound` or `legacy`."""

    name: str
    definition: str
    kind: str


class DistanceAbout(TypedDict):
    """A distance: its name and definition."""

    name: str
    definition: str


class FileLink(TypedDict):
    """A file of a record. `href` is relative to the page; null of a file that is not committed."""

    name: str
    bytes: int
    sha256: str
    href: str | None


class Row(TypedDict):
    """One record.

    Attributes:
        id: `<method>/<run_id>`, which is also its folder below `results/`.
        label: the method's name, with the run's where the method stands in the group more than once.
        kind: one of `KINDS`.
        metrics: of the aggregate, by metric; null where there is nothing to select from.
        tasks: by metric, the numbers of the group's test tasks in their order; null as above, and of `iqm`, which is of
            all tasks together.
        lift: null where there is none, as in a group without `random_seen` or `expert`.
        steps_to_success: environment steps; null where nothing succeeded.
        distances: by name, see `report.diversity`: means over candidates, training seeds and tasks; null where none
            was measured.
        cost: `parameters` (numbers), `fit_s`, `adapt_s` (seconds), `test_env_steps` (of one training seed, the mean of
            all), `peak_mb` (10^6 bytes); null where unknown.
        about: (name, text) pairs on the run: seeds, software, hardware, failures.
    """

    id: str
    method: str
    run_id: str
    label: str
    kind: str
    card: dict[str, Any]
    metrics: dict[str, Number | None]
    tasks: dict[str, list[Number] | None]
    lift: Number | None
    steps_to_success: Number | None
    distances: dict[str, float | None]
    cost: dict[str, float | None]
    about: list[tuple[str, str]]
    files: list[FileLink]


class Group(TypedDict):
    """Records that compare. `suite` to `condition` are labels to choose by; together they name one group only."""

    id: str
    suite: str
    layouts_sha256: str
    split: str
    dataset: str
    protocol: str
    condition: str
    family: int
    about: list[tuple[str, str]]
    settings: dict[str, Any]
    tasks: list[str]
    rows: list[Row]


class Line(TypedDict):
    """A method along an axis: at each value the `id` of its row, null where it was not run."""

    method: str
    rows: list[str | None]


class AxisData(TypedDict):
    """One setting that varies while the others stay at the base's. `values` are numbers, or words."""

    setting: str
    label: str
    base: float | int | str | None
    values: list[float | int | str]
    lines: list[Line]


class Board(TypedDict):
    """Everything. The first group is the headline; `families` are the axes, by `Group.family`."""

    format: int
    metrics: list[MetricAbout]
    lift: str
    steps_to_success: str
    distances: list[DistanceAbout]
    references: list[str]
    families: list[list[AxisData]]
    groups: list[Group]
