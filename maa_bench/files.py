"""Writing files so that they are either whole or absent, and naming things by their content."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LEFTOVERS_AFTER = 24 * 3600.0
"""Age in seconds at which a temporary file is nobody's."""


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 (hex) of every file below a folder (none if it is not there), by relative path, sorted."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a temporary sibling, flushed to disk, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        _say_where(error, path)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write JSON (no NaN) whole or not at all, with a trailing newline."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


@contextmanager
def whole_folder(target: Path, replace: bool = True) -> Iterator[Path]:
    """Fill a temporary folder beside `target`; it takes `target`'s place only if nothing is raised.

    Args:
        target: the folder.
        replace: whether a folder that is there already, or that another process puts there meanwhile, gives way.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        yield temporary
        os.chmod(temporary, 0o777 & ~_umask())
        for path in [*temporary.rglob("*"), temporary]:
            _to_disk(path)
        while not _renamed(temporary, target):
            if not replace:
                shutil.rmtree(temporary, ignore_errors=True)
                break
            old = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old."))
            with suppress(FileNotFoundError):  # another process moves it away, too
                os.rename(target, old / "was")
            shutil.rmtree(old, ignore_errors=True)
        _to_disk(target.parent)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        _say_where(error, target)
        raise


def _to_disk(path: Path) -> None:
    """What is written shall outlive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path, *patterns: str) -> None:
    """Remove what killed processes left half-written; after a day, as others may be writing now, on other machines.

    Args:
        folder: where to look.
        patterns: of temporary files and folders, whose names begin with a dot.
    """
    before = time.time() - LEFTOVERS_AFTER
    for pattern in patterns:
        for path in folder.glob(pattern):
            with suppress(OSError):  # another process does the same
                if path.stat().st_mtime < before:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _renamed(temporary: Path, target: Path) -> bool:
    """Rename a folder; False if there is one of that name (with something in it)."""
    try:
        os.rename(temporary, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _say_where(error: BaseException, path: Path) -> None:
    """A full disk raises an error without a file name: give it the one that was to be written."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
