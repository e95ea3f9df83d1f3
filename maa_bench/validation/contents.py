"""What lies in a record's folder, by names, kinds and sizes: looked at before any file is opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from maa_bench.results import CANDIDATE_ROWS, CANDIDATES, EPISODES, RECORD

COMMITTED = (RECORD, EPISODES, CANDIDATE_ROWS)
"""The files of a record that are committed."""
MAX_COMMITTED = 5_000_000
"""Bytes that they may have together."""
DEPTH = 3
"""How far below a path records are looked for: results/<method>/<run_id>."""
MAX_WEIGHTS = 8_000_000_000
"""Bytes of `candidates.safetensors`, which is not committed."""


def record_folders(paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """The record folders that some paths stand for, and what lies there beside them.

    Args:
        paths: each a record's folder, or a folder of results, at any height.

    Returns:
        Folders, sorted, each once; and a line for each file, link or empty folder that belongs to no record.
    """
    folders: set[Path] = set()
    strays: list[str] = []
    for path in paths:
        if path.is_symlink():
            strays.append(f"{path}: is a link; records are files and folders of their own")
        elif _is_record(path):
            folders.add(path)
        else:
            _descend(path, folders, strays, DEPTH)
    return sorted(folders), strays


def folder_problems(folder: Path) -> Iterator[str]:
    """What is wrong with a record folder's entries."""
    total = 0
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            yield f"{entry.name!r} is a link; a record's files are its own"
        elif not stat.S_ISREG(found.st_mode):
            yield f"{entry.name!r} is no file; a record's folder holds files only"
        elif entry.name == CANDIDATES:
            if found.st_size > MAX_WEIGHTS:
                yield f"{CANDIDATES} has {found.st_size:,} bytes, more than the {MAX_WEIGHTS:,} that are allowed"
        elif entry.name not in COMMITTED:
            yield f"{entry.name!r} is no file of a record, which are {', '.join(COMMITTED)}"
        else:
            total += found.st_size
    if total > MAX_COMMITTED:
        yield f"its files have {total:,} bytes together, more than the {MAX_COMMITTED:,} that are allowed"


def _is_record(folder: Path) -> bool:
    return os.path.lexists(folder / RECORD)


def _descend(folder: Path, folders: set[Path], strays: list[str], depth: int) -> None:
    entries = sorted(os.scandir(folder), key=lambda e: e.name)
    if not entries:
        strays.append(f"{folder}: holds no record")
    for entry in entries:
        path = Path(entry.path)
        if entry.is_symlink() or not entry.is_dir(follow_symlinks=False):
            strays.append(f"{path}: belongs to no record")
        elif _is_record(path):
            folders.add(path)
        elif depth == 1:
            strays.append(f"{path}: belongs to no record, which are <method>/<run_id>/")
        else:
            _descend(path, folders, strays, depth - 1)
