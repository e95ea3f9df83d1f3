"""What the leaderboard's page shows, as plain data: `leaderboard.json`, and the same inside `site/index.html`.

Its layout is in `maa_bench.report.board_types`. Pure; the same records give the same data.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from maa_bench.metrics import METRICS
from maa_bench.record import AGGREGATE, RunRecord
from maa_bench.record_metrics import MetricSet
from maa_bench.report.board_types import AxisData, Board, FileLink, Group, Number, Row
from maa_bench.report.curve_tables import SETTINGS
from maa_bench.report.curves import Axis
from maa_bench.report.diversity import DISTANCES
from maa_bench.report.order import entries
from maa_bench.report.tables import (
    IQM,
    IQM_DEFINITION,
    LIFT_DEFINITION,
    SELECTING,
    Cell,
    Extra,
    Extras,
    Measured,
    group_key,
    in_order,
    key_of,
    method_labels,
    place,
    protocol_text,
    seed_cost,
    shown,
    steps_cell,
)
from maa_bench.report.wording import dataset_text, suite_text, tasks_text
from maa_bench.results import CANDIDATES, RECORD

FORMAT = 1
"""Version of the layout of this data."""

RESULTS = "../../results"
"""Where the records lie, seen from `leaderboard/site/`. Links assume the repository's own layout, whatever folders a
page was made from and into, so that the same results give the same bytes everywhere."""

REFERENCES = ("random_seen", "expert")
"""Controls that are marked beside every value: the floor and the ceiling of `lift`."""

KINDS = ("method", "control", "ceiling")
"""What a row is. A filter of the page hides methods only."""

DEFINITIONS = {"mean": METRICS["mean"], IQM: IQM_DEFINITION, **METRICS}
"""What the page can be sorted and filtered by, in its order."""


def board_data(records: Iterable[RunRecord], extras: Extras | None = None) -> Board:
    """All records as the page shows them, in the leaderboard's order.

    Args:
        records: at least one, in any order.
        extras: a record that is not here has no interquartile mean and no lift.

    Raises:
        RecordError: a condition that names no setting (`curves.families`).
    """
    by_key: dict[str, list[RunRecord]] = {}
    for record in sorted(records, key=key_of):
        by_key.setdefault(group_key(record), []).append(record)
    made = entries([record for group in by_key.values() for record in group])
    family_of: dict[str, int] = {}
    for i, entry in enumerate(made):
        for condition in entry.family.conditions:
            family_of.setdefault(group_key(condition[0]), i)
    groups = [_group(in_order(by_key[key]), i, key, extras or {}) for key, i in family_of.items()]
    for same in _alike(groups):
        for group in same:
            group["protocol"] += f" #{group['id']}"
    return {
        "format": FORMAT,
        "metrics": [{"name": name, "definition": text, "kind": _kind(name)} for name, text in DEFINITIONS.items()],
        "lift": LIFT_DEFINITION,
        "steps_to_success": str(MetricSet.model_fields["steps_to_success"].description),
        "distances": [{"name": name, "definition": text} for name, text in DISTANCES.items()],
        "references": list(REFERENCES),
        "families": [[_axis(axis) for axis in entry.family.axes] for entry in made],
        "groups": groups,
    }


def board_json(board: Board) -> str:
    """As JSON, a group's head and each of its rows on a line of their own, so that a diff shows which row changed."""

    def compact(value: Any) -> str:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))

    head = {key: value for key, value in board.items() if key != "groups"}
    lines = []
    for group in board["groups"]:
        about = {key: value for key, value in group.items() if key != "rows"}
        rows = ",\n".join(compact(row) for row in group["rows"])
        lines.append(f'{compact(about)[:-1]},"rows":[\n{rows}\n]}}')
    return f'{compact(head)[:-1]},"groups":[\n' + ",\n".join(lines) + "\n]}\n"


def _group(records: Sequence[RunRecord], family: int, key: str, extras: Extras) -> Group:
    """One group, its records `in_order`."""
    first = records[0]
    protocol, dataset, suite = first.protocol, first.dataset, first.suite
    about = [
        ("suite", suite_text(suite)),
        ("trained on", tasks_text(first.split.train)),
        ("tested on", tasks_text(first.split.test)),
        ("dataset", dataset_text(dataset)),
        ("protocol", ", ".join(filter(None, (protocol.name or "without a name", protocol.condition)))),
        *((name, str(value)) for name, value in protocol.settings().items()),
    ]
    return {
        "id": hashlib.sha256(key.encode()).hexdigest()[:10],
        "suite": suite.name,
        "layouts_sha256": suite.layouts_sha256,
        "split": first.split.name,
        "dataset": dataset.id,
        "protocol": protocol.name or protocol_text(first),
        "condition": protocol.condition,
        "family": family,
        "about": about,
        "settings": protocol.settings(),
        "tasks": list(first.split.test),
        "rows": [
            _row(record, label, extras.get(key_of(record)))
            for record, label in zip(records, method_labels(records), strict=True)
        ],
    }


def _row(record: RunRecord, label: str, extra: Extra | None) -> Row:
    method, cost = record.method, seed_cost(record)
    return {
        "id": key_of(record),
        "method": method.name,
        "run_id": record.run_id,
        "label": label,
        "kind": KINDS[place(record)[0]],
        "card": method.model_dump(mode="json", exclude={"name"}),
        "metrics": {name: _metric(record, name, extra) for name in DEFINITIONS},
        "tasks": {name: _by_task(record, name) for name in DEFINITIONS},
        "lift": _number(extra.lift if extra else None),
        "steps_to_success": _number(steps_cell(record.metrics.aggregate)),
        "distances": _distances(extra),
        "cost": {
            "parameters": record.cost.parameters,
            "fit_s": round(cost.fit_s, 3),
            "adapt_s": round(cost.adapt_s, 3),
            "test_env_steps": cost.test_env_steps,
            "peak_mb": round(record.cost.peak_mb, 1),
        },
        "about": _about_run(record),
        "files": _files(record),
    }


def _about_run(record: RunRecord) -> list[tuple[str, str]]:
    environment, seeds = record.environment, record.seeds
    git = environment.git
    broken = f"{sum(f.episodes for f in record.failures)} episodes of {len(record.failures)} candidates"
    return [
        ("run", record.run_id),
        ("recorded by", f"maa-bench {record.created_with}"),
        ("method from", record.method.source),
        ("training seeds", f"{', '.join(map(str, seeds.train))} (base {seeds.base})"),
        ("candidates", f"{record.candidates_evaluated} a task and training seed"),
        ("broken off", broken if record.failures else "nothing"),
        ("evaluated in", f"{record.cost.seconds.evaluate:.0f} s, {record.cost.environment_steps} environment steps"),
        ("software", ", ".join([f"python {environment.python}", *_versions(environment.packages)])),
        ("hardware", f"{environment.cpu}, {environment.cores} cores, GPU: {environment.gpu or 'none'}"),
        ("platform", f"{environment.platform}, {environment.threads} thread(s) a process"),
        ("commit", "not from a checkout" if git is None else git.commit + (" (changed since)" if git.dirty else "")),
        ("weights", record.weights or "not shared"),
    ]


def _versions(packages: Mapping[str, str]) -> list[str]:
    return [f"{name} {version}" for name, version in sorted(packages.items())]


def _files(record: RunRecord) -> list[FileLink]:
    """The record's files with links; the record itself first, which has no hash of its own."""
    found: list[FileLink] = [{"name": RECORD, "bytes": 0, "sha256": "", "href": _href(record, RECORD)}]
    for name, info in sorted(record.files.items()):
        href = None if name == CANDIDATES else _href(record, name)
        found.append({"name": name, "bytes": info.bytes, "sha256": info.sha256, "href": href})
    return found


def _href(record: RunRecord, name: str) -> str | None:
    """A relative link, made of plain names only; null where one is not plain."""
    parts = (record.method.name, record.run_id, name)
    if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", part) for part in parts):
        return None
    return "/".join((RESULTS, *parts))


def _number(cell: Cell | None) -> Number | None:
    """Six decimals, as in a record: fewer than the last bits in which two machines' sums differ."""
    if isinstance(cell, float):
        return [round(cell, 6)]
    return [round(x, 6) for x in (cell.value, *cell.ci)] if isinstance(cell, Measured) else None


def _metric(record: RunRecord, name: str, extra: Extra | None) -> Number | None:
    if name == IQM:
        return None if extra is None else _number(extra.iqm)
    cell = shown(record, name, AGGREGATE)
    return None if isinstance(cell, str) else [cell.value, *cell.ci]


def _distances(extra: Extra | None) -> dict[str, float | None]:
    found = {} if extra is None else extra.distances.get(AGGREGATE, {})
    return {name: round(found[name], 6) if name in found else None for name in DISTANCES}


def _by_task(record: RunRecord, name: str) -> list[Number] | None:
    if name == IQM or (record.method.deterministic_candidates and name in SELECTING):
        return None
    cells = (record.metrics.tasks[task][name] for task in record.split.test)
    return [[cell.value, *cell.ci] for cell in cells]


def _kind(metric: str) -> str:
    return "legacy" if metric.startswith("legacy") else "bound" if metric.startswith("oracle") else "result"


def _axis(axis: Axis) -> AxisData:
    return {
        "setting": axis.setting,
        "label": SETTINGS.get(axis.setting, axis.setting),
        "base": axis.base,
        "values": list(axis.values),
        "lines": [
            {"method": line.method, "rows": [None if r is None else key_of(r) for r in line.records]}
            for line in axis.lines
        ],
    }


def _alike(groups: Sequence[Group]) -> list[list[Group]]:
    """Groups that their labels do not tell apart: of other layouts, or other settings under one name."""

    def labels(group: Group) -> tuple[str, ...]:
        return group["suite"], group["split"], group["dataset"], group["protocol"], group["condition"]

    times = Counter(map(labels, groups))
    return [[group for group in groups if labels(group) == name] for name, count in times.items() if count > 1]
