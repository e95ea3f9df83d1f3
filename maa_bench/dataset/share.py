"""Sharing datasets through folders: only what the manifest names is copied, checked on the way, and whole or not."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maa_bench.cache import Cache
from maa_bench.dataset.jobs import BUILD
from maa_bench.dataset.manifest import TABLES, check_suite_and_format, open_dataset, shard_problem
from maa_bench.dataset.store import CARD, MANIFEST, CheckpointDataset
from maa_bench.errors import DataError, one_line
from maa_bench.files import whole_folder
from maa_bench.progress import Progress

HUB = "hf://datasets/"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CHUNK = 1 << 20


def hub_id(place: str) -> str | None:
    """The Hub id that a user's words name, or None if they name a folder.

    `hf://datasets/user/name` is always on the Hub. What begins with `/`, `.` or `~`, or is there, is a folder.
    Else `user/name` is on the Hub.

    Raises:
        DataError: they could be neither.
    """
    if place.startswith(HUB):
        name = place.removeprefix(HUB)
        if _HUB_ID.fullmatch(name):
            return name
    elif place.startswith(("/", ".", "~")) or Path(place).exists():
        return None
    elif _HUB_ID.fullmatch(place):
        return place
    raise DataError(f"{place!r} is neither a folder that is there (a new one: ./{place}) nor a Hub id, user/name")


def push_to_folder(data: CheckpointDataset, target: Path, overwrite: bool, progress: Progress) -> None:
    """Copy a dataset into a folder: its shards, manifest and card, whole or not at all.

    Args:
        data: the dataset.
        target: a folder that is new, empty, or holds this very dataset.
        overwrite: another dataset may be there, too. Anything else is never replaced.
        progress: shows the copying.

    Raises:
        DataError: the target is in use, too little disk, or a shard is damaged.
    """
    _check_target(data, target, overwrite)
    require_room(target, _size(data), f"dataset {data.id}")
    with whole_folder(target) as temporary:
        _copy(data, temporary, progress)


def pull_from_folder(source: Path, cache: Cache, suite: str, progress: Progress) -> tuple[CheckpointDataset, bool]:
    """Copy a dataset into the cache, whole or not at all.

    Args:
        source: the dataset's folder.
        cache: where it goes.
        suite: of the dataset, asked only if it does not come with the package.
        progress: shows the copying.

    Returns:
        The dataset in the cache, and whether it was there already.

    Raises:
        DataError: no dataset, damaged, of another format or an unknown suite; little disk.
    """
    data = read_foreign(source, str(source), suite)
    target = cache.dataset_folder(data.address)
    there = is_there(data, target)
    if not there:
        require_room(target, _size(data), f"dataset {data.id}")
        with whole_folder(target) as temporary:
            _copy(data, temporary, progress)
    return CheckpointDataset(target, data.suite), there


def read_foreign(folder: Path, where: str, suite: str) -> CheckpointDataset:
    """A dataset from elsewhere, of which only the manifest need be in `folder`.

    Raises:
        DataError: as `pull_from_folder`, of the manifest alone.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{where} holds no dataset of maa-bench: it has no {MANIFEST}") from None
    except OSError as error:
        raise DataError(f"cannot read {where}: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{MANIFEST} of {where} is damaged ({one_line(str(error))}): push it again") from None
    check_suite_and_format(manifest, where, suite)
    return open_dataset(folder, suite)


def is_there(data: CheckpointDataset, target: Path) -> bool:
    """Whether the very dataset lies whole at its place in the cache already."""
    if _manifest_at(target) is None:
        return False
    return all(shard_problem(target / shard, entry) is None for shard, entry in data.shards.items())


def check_shards(data: CheckpointDataset, folder: Path, where: str) -> None:
    """Every shard has the manifest's bytes.

    Raises:
        DataError: one has not.
    """
    for shard, entry in data.shards.items():
        problem = shard_problem(folder / shard, entry)
        if problem is not None:
            raise DataError(f"{where}: {shard} is damaged ({problem}); nothing was kept of it: build or push it again")


def require_room(target: Path, needed: int, what: str) -> None:
    """Before any work.

    Raises:
        DataError: the disk of `target` has not `needed` bytes free.
    """
    existing = next(path for path in [target, *target.absolute().parents] if path.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DataError(
            f"{what} needs {needed / 1e9:.2f} GB in {existing}, where {free / 1e9:.2f} GB are free: make room, or "
            "choose another place"
        )


def _check_target(data: CheckpointDataset, target: Path, overwrite: bool) -> None:
    if target.resolve().is_relative_to(data.folder.resolve()):
        raise DataError(f"{target} is the dataset's own folder or inside it: choose another one")
    if not target.exists():
        return
    if not target.is_dir():
        raise DataError(f"{target} is a file: choose a folder")
    others = {path.name for path in target.iterdir()}
    if not others:
        return
    found = _manifest_at(target)
    strange = others - {CARD, MANIFEST, BUILD, *TABLES}
    if found is None or strange:
        raise DataError(
            f"{target} holds other files ({one_line(min(strange or others))}), which are never replaced: choose a new "
            "or empty folder"
        )
    if found.get("id") != data.id and not overwrite:
        raise DataError(
            f"{target} holds another dataset, {one_line(str(found.get('id')))}: --overwrite replaces it with {data.id}"
        )


def _manifest_at(folder: Path) -> Mapping[str, Any] | None:
    """The manifest of a dataset that is in the way; None if there is none that could be one."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "identity" in found else None


def _size(data: CheckpointDataset) -> int:
    return sum(int(entry["bytes"]) for entry in data.shards.values())


def _copy(data: CheckpointDataset, target: Path, progress: Progress) -> None:
    with progress.stage("copy", len(data.shards), "shards") as stage:
        for shard, entry in data.shards.items():
            _copy_shard(data.folder / shard, target / shard, entry["sha256"])
            stage.advance()
    for name in (CARD, MANIFEST):
        if (data.folder / name).is_file():
            shutil.copyfile(data.folder / name, target / name)


def _copy_shard(source: Path, target: Path, sha256: str) -> None:
    total = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_file():
        raise DataError(f"{source} is missing: nothing was copied; build or pull the dataset again")
    with source.open("rb") as read, target.open("xb") as write:
        while chunk := read.read(_CHUNK):
            total.update(chunk)
            write.write(chunk)
    if total.hexdigest() != sha256:
        raise DataError(
            f"{source} is truncated or altered (SHA-256 differs from the manifest): nothing was copied; build or pull "
            "the dataset again"
        )
