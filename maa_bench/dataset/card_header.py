"""The YAML header of a dataset's card: what the Hugging Face Hub and `datasets.load_dataset` read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from math import prod
from typing import Any

from maa_bench.dataset.schema import COLUMNS, ROLES, TRANSITIONS, shapes
from maa_bench.dataset.store import CheckpointDataset, Entry
from maa_bench.errors import DataError
from maa_bench.policy import PolicySpec

TRANSITIONS_CONFIG = "transitions"
"""The config of all tasks' transitions; with `-<task>`, of one task's."""

FOREIGN = ("official",)
"""Producers whose policies are other people's."""
TAGS = ("maa-bench", "policy-generation", "policy-parameters", "imitation-learning")


def configs(data: CheckpointDataset) -> dict[str, dict[str, dict[str, Entry]]]:
    """Shards by config and split: a config a task, one of all transitions, and one a task of these.

    A split is a role, so that who loads `train` never gets what the protocol keeps for prompts: the checkpoints of
    other runs, and everything of the tasks that no split trains on.

    Raises:
        DataError: two configs would share a name.
    """
    found = {task: _by_role(data.entries("checkpoints", task)) for task in data.tasks}
    transitions = {TRANSITIONS_CONFIG: _by_role(data.entries("transitions"))}
    transitions |= {f"{TRANSITIONS_CONFIG}-{task}": _by_role(data.entries("transitions", task)) for task in data.tasks}
    if both := found.keys() & transitions.keys():
        raise DataError(f"dataset {data.id}: a task may not be called {min(both)!r}, which is a config of the card")
    return {name: splits for name, splits in {**found, **transitions}.items() if splits}


def _by_role(entries: dict[str, Entry]) -> dict[str, dict[str, Entry]]:
    """In the order of `ROLES`; roles without a row are left out, as `datasets` opens no empty split."""
    by_role = {role: {shard: e for shard, e in entries.items() if e["role"] == role} for role in ROLES}
    return {role: shards for role, shards in by_role.items() if rows(shards.values())}


def header(data: CheckpointDataset) -> str:
    """The YAML, without the lines around it."""
    from huggingface_hub import DatasetCardData

    by_config = configs(data)
    tags = [*TAGS, data.suite.simulator, data.suite.name]
    card = DatasetCardData(
        pretty_name=f"maa-bench policy checkpoints: {data.id}",
        license="other" if data.producer in FOREIGN else "cc-by-4.0",
        annotations_creators="machine-generated",
        source_datasets=["extended" if data.producer in FOREIGN else "original"],
        task_categories=["robotics", "reinforcement-learning"],
        size_categories=[size_category(rows(data.shards.values()))],
        tags=list(dict.fromkeys(tags)),
        configs=[{"config_name": name, "data_files": _data_files(splits)} for name, splits in by_config.items()],
        # `load_dataset` compares these with what it finds: a shard that is missing does not go unseen.
        dataset_info=[{"config_name": name, **_sizes(splits, data.suite.policy)} for name, splits in by_config.items()],
    )
    return str(card.to_yaml())


def _data_files(splits: Mapping[str, Mapping[str, Entry]]) -> list[dict[str, Any]]:
    return [{"split": role, "path": _paths(role, shards)} for role, shards in splits.items()]


def _sizes(splits: Mapping[str, Mapping[str, Entry]], spec: PolicySpec) -> dict[str, Any]:
    sizes = []
    for role, shards in splits.items():
        in_memory = sum(int(entry["rows"]) * _row_bytes(entry["table"], spec) for entry in shards.values())
        sizes.append({"name": role, "num_bytes": in_memory, "num_examples": rows(shards.values())})
    on_disk = sum(int(entry["bytes"]) for shards in splits.values() for entry in shards.values())
    return {
        "splits": sizes,
        "download_size": on_disk,
        "dataset_size": sum(split["num_bytes"] for split in sizes),
    }


def _row_bytes(table: str, spec: PolicySpec) -> int:
    """Bytes of a row's vectors in memory: all but a hundredth of a checkpoint."""
    columns = COLUMNS if table == "checkpoints" else TRANSITIONS
    return 4 * sum(prod(shape) for name, shape in shapes(spec).items() if name in columns)


def _paths(role: str, shards: Mapping[str, Entry]) -> list[str]:
    """Patterns of a split's shards; runs are named by their role, experts stand for themselves.

    Shards without a row, which `datasets` cannot read, are left out.
    """
    by_pattern: dict[str, list[str]] = {}
    for shard in shards:
        folder, _, file = shard.rpartition("/")
        pattern = f"{folder}/{role}-*.parquet" if file.startswith(f"{role}-") else shard
        by_pattern.setdefault(pattern, []).append(shard)
    paths = []
    for pattern, own in by_pattern.items():
        filled = [shard for shard in own if shards[shard]["rows"]]
        paths += [pattern] if filled == own else filled
    return paths


def rows(entries: Iterable[Entry]) -> int:
    """Rows of shards."""
    return sum(int(entry["rows"]) for entry in entries)


def size_category(n: int) -> str:
    """The Hub's word for so many rows."""
    names = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    if n < 1000:
        return "n<1K"
    for power, (low, high) in enumerate(pairwise(names), start=4):
        if n < 10**power:
            return f"{low}<n<{high}"
    return "n>1T"
