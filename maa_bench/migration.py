"""Records of older schema versions, brought to this one.

What an older record said stays as it was; what it could not say is made of its episodes, or null. Its intervals are
made again, too: version 1 took the bootstrap's percentiles, which are too narrow where few training seeds differ much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def migrated(raw: dict[str, Any], metrics: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A record of schema version 1 as one of version 2.

    Version 2 added the metrics `oracle_best`, `legacy_best` and `steps_to_success`, the conditions of protocols, the
    card's `pretrained_on`, `weights` and the file `candidates.parquet`; all but the metrics have a default that means
    what version 1 did.

    Args:
        raw: the parsed JSON, which need not be valid.
        metrics: makes all metrics of the record's episodes, as they stand under the key `metrics`.
    """
    new = {**raw, "schema_version": 2}
    old = raw.get("metrics")
    if not isinstance(old, dict) or not isinstance(old.get("tasks"), dict):
        return new  # the schema says what is wrong
    made = metrics()
    tasks = {task: _completed(values, made["tasks"].get(task, {})) for task, values in old["tasks"].items()}
    return {**new, "metrics": {**old, "tasks": tasks, "aggregate": _completed(old.get("aggregate"), made["aggregate"])}}


def _completed(old: Any, made: dict[str, Any]) -> Any:
    """The old metrics with today's intervals, and those that they lack."""
    if not isinstance(old, dict):
        return old

    def told(metric: str, value: Any) -> Any:
        again = made.get(metric)
        return {**value, "ci": again["ci"]} if isinstance(value, dict) and "ci" in value and again else value

    return {**made, **{metric: told(metric, value) for metric, value in old.items()}}
