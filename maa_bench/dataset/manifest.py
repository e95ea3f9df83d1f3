"""Checking what a manifest says: a dataset may come from anybody, and its manifest names files to read and copy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from maa_bench.dataset.collect import KINDS
from maa_bench.dataset.schema import FORMAT, ROLES
from maa_bench.dataset.store import MANIFEST, CheckpointDataset, suite_of
from maa_bench.errors import DataError, one_line
from maa_bench.files import digest, sha256_of
from maa_bench.suite import list_suites, load_suite

TABLES = ("checkpoints", "transitions")
"""Folders of a dataset that hold shards, and nothing else."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""A name that is safe as a part of a path."""


def open_dataset(folder: Path, suite: str) -> CheckpointDataset:
    """A stranger's dataset, once its manifest is known to be sound; its shards are not looked at.

    Args:
        folder: the dataset's.
        suite: name or TOML file of its suite; asked only for one that does not come with the package.

    Raises:
        DataError: no dataset, a damaged manifest, another format or suite.
    """
    data = CheckpointDataset(folder, load_suite(suite_of(folder, suite)))
    for problem in manifest_problems(data):
        raise DataError(f"{folder / MANIFEST}: {problem}; build or pull the dataset again")
    return data


def check_suite_and_format(manifest: Any, where: str, suite: str) -> None:
    """Before anything else is read of a dataset that comes from elsewhere.

    Args:
        manifest: as it was parsed.
        where: the dataset comes from, for errors.
        suite: what the user named.

    Raises:
        DataError: it is no manifest, of another format, or of a suite that is not known here.
    """
    try:
        found, name = manifest["identity"]["format"], str(manifest["identity"]["suite"])
    except (KeyError, TypeError):
        raise DataError(f"{where} holds no dataset of maa-bench: its {MANIFEST} lacks format and suite") from None
    if found != FORMAT:
        raise DataError(
            f"{where} has format {one_line(repr(found))}, this maa-bench reads {FORMAT}: use the maa-bench that made "
            "it, or build it again"
        )
    own_file = suite not in list_suites()
    if name not in list_suites() and not own_file:
        raise DataError(
            f"{where} is of suite {one_line(name)!r}, which does not come with maa-bench: name its TOML file (--suite)"
        )


def manifest_problems(data: CheckpointDataset) -> Iterator[str]:
    """What is wrong with a manifest in itself, or with the suite that it names: one line each."""
    identity, suite = data.identity, data.suite
    if identity.get("format") != FORMAT:
        yield f"format {identity.get('format')!r}, but this maa-bench reads {FORMAT}"
        return
    expected = f"{suite.name}-{digest(identity)[:10]}"
    if data.id != expected:
        yield f"the id {one_line(repr(data.id))} is not that of the identity, {expected}"
    if identity.get("versions") != dict(suite.versions):
        yield f"versions {identity.get('versions')}, but {suite.name} was frozen with {dict(suite.versions)}"
    if not isinstance(identity.get("software"), Mapping) or "maa-bench" not in identity["software"]:
        yield "the identity does not say by which maa-bench it was made"
    roles: dict[tuple[str, str], str] = {}
    for shard, entry in data.shards.items():
        problem = _entry_problem(shard, entry, suite.tasks)
        if problem is None:
            role = roles.setdefault((entry["task"], entry["run"]), entry["role"])
            if role != entry["role"]:
                problem = f"its run has role {entry['role']!r} here and {role!r} elsewhere"
        if problem is not None:
            yield f"shard {one_line(repr(shard))}: {problem}"
    if not any(shard.startswith("checkpoints/") for shard in data.shards):
        yield "no checkpoints"


def _entry_problem(shard: str, entry: Any, tasks: Mapping[str, Any]) -> str | None:
    """Why an entry cannot be believed. A path that is not the one of its table, task and run may lead anywhere."""
    texts, counts = ["table", "task", "role", "run", "sha256"], ["rows", "bytes"]
    if entry.get("table") == "checkpoints":
        counts += KINDS
    for kind, keys in ((str, texts), (int, counts)):
        for key in keys:
            if type(entry.get(key)) is not kind:
                return f"{key} is {one_line(repr(entry.get(key)))}"
    table, task, run = entry["table"], entry["task"], entry["run"]
    if task not in tasks:
        return f"the suite has no task {one_line(repr(task))}"
    if entry["role"] not in ROLES:
        return f"unknown role {one_line(repr(entry['role']))}"
    if table not in TABLES or not _NAME.fullmatch(run) or shard != f"{table}/{task}/{run}.parquet":
        return f"it is not the path of {one_line(table)}, task {task}, run {one_line(run)}"
    return None


def unlisted_files(data: CheckpointDataset) -> list[str]:
    """Files among a dataset's shards that its manifest does not name, sorted; hidden ones, half-written, aside."""
    paths = [path for table in TABLES for path in (data.folder / table).rglob("[!.]*") if not path.is_dir()]
    return sorted({path.relative_to(data.folder).as_posix() for path in paths} - set(data.shards))


def shard_problem(path: Path, entry: Mapping[str, Any]) -> str | None:
    """Why the bytes of a shard are not those of the manifest: missing, truncated, altered; None if they are."""
    try:
        size = path.stat().st_size
        if size != entry["bytes"]:
            return f"it has {size:,} bytes, the manifest says {entry['bytes']:,}: truncated or altered"
        if sha256_of(path) != entry["sha256"]:
            return "altered: its SHA-256 is not the manifest's"
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return None
