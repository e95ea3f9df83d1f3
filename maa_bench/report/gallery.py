"""Which figures a family of records has: that follows from the records, and where the data lacks there is none.

A protocol with axes has its curves. One without has performance profiles, cost against success, and memorisation where
distances to training checkpoints were measured: of a protocol with axes, these would tell of its base again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maa_bench.record import RunRecord
from maa_bench.report.drawing import file_bytes, style
from maa_bench.report.evidence import Evidence
from maa_bench.report.figures import cost_figure, curves_figure, memorisation_figure, profile_figure
from maa_bench.report.order import Entry
from maa_bench.report.tables import in_order, method_labels, place, seed_cost

FOLDER = "figures"
KINDS = {
    "curves": "Success along each axis; bands are 95 % intervals (with one training seed: about that fit)",
    "profiles": "Performance profiles: the share of runs (a training seed on a task) above each success; bands are "
    "pointwise 95 % intervals over the training seeds of each task (of a single one there are none)",
    "cost": "What it takes against what it brings",
    "memorisation": "Distance of each candidate to the nearest training checkpoint against its success",
}
"""What a figure shows, by the first part of its file name."""

THRESHOLDS = np.linspace(0, 1, 51)


def figures_of(entry: Entry, evidence: Evidence) -> dict[str, bytes]:
    """Files of an entry's figures by name, `<kind>-<slug>.png` and `.svg`."""
    files: dict[str, bytes] = {}
    base = entry.family.base
    with style():
        if entry.family.axes:
            lines = entry.family.axes[0].lines
            records = [next(r for r in line.records if r is not None) for line in lines]
            methods, controls = _apart(records, [line.method for line in lines])
            files |= file_bytes(curves_figure(entry.family.axes, methods, controls), f"curves-{entry.slug}")
        elif len(base) > 1:
            ordered = in_order(base)
            labels = method_labels(ordered)
            methods, controls = _apart(ordered, labels)
            profiles = {
                label: evidence.profile(record, THRESHOLDS) for label, record in zip(labels, ordered, strict=True)
            }
            figure = profile_figure(THRESHOLDS, profiles, methods, controls)
            files |= file_bytes(figure, f"profiles-{entry.slug}")
            points = {label: _cost(record) for label, record in zip(labels, ordered, strict=True)}
            files |= file_bytes(cost_figure(points, methods, controls), f"cost-{entry.slug}")
            found = {label: evidence.newness(record) for label, record in zip(labels, ordered, strict=True)}
            known = {label: measured for label, measured in found.items() if measured is not None}
            if known:
                files |= file_bytes(memorisation_figure(known), f"memorisation-{entry.slug}")
    return files


def _apart(records: Sequence[RunRecord], labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Labels of methods under test, and of controls and ceilings."""
    kinds = [place(record)[0] for record in records]
    both = list(zip(labels, kinds, strict=True))
    return [label for label, kind in both if kind == 0], [label for label, kind in both if kind]


def _cost(record: RunRecord) -> tuple[float, float]:
    cost = seed_cost(record)
    return cost.fit_s + cost.adapt_s, record.metrics.aggregate.mean.value
