"""A suite's frozen layouts: the archive beside its TOML file, read with care and checked whole."""

from __future__ import annotations

import hashlib
import io
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maa_bench.errors import SuiteError, one_line
from maa_bench.untrusted import read_limited

MAX_LAYOUTS = 100_000_000
"""Bytes of the archive, also when decompressed."""
BROKEN_ARCHIVE = (zipfile.BadZipFile, zlib.error, KeyError, SyntaxError, tokenize.TokenError)
"""What reading a damaged .npz raises beside what one expects."""

Layouts = dict[str, npt.NDArray[np.float64]]
"""By "<task>/<layout set>": (n_layouts, layout_dim) float64, read-only."""


def read_layouts(suite: str, path: Path, sha256: str, tasks: Iterable[str], counts: Mapping[str, int]) -> Layouts:
    """All layouts of a suite.

    Args:
        suite: its name, for errors.
        path: the archive (.npz).
        sha256: that it was frozen with.
        tasks: their names.
        counts: layouts a task, by layout set.

    Raises:
        SuiteError: the file is missing, altered or damaged, lacks layouts, has one twice, or one that is no state.
    """
    try:
        raw = read_limited(path, MAX_LAYOUTS)
    except ValueError as error:
        raise SuiteError(f"cannot read layouts of suite {suite}: {path}: {error}") from None
    except OSError as error:
        raise SuiteError(f"cannot read layouts of suite {suite}: {path}: {error.strerror}") from None
    found = hashlib.sha256(raw).hexdigest()
    if found != sha256:
        raise SuiteError(
            f"{path} has SHA-256 {found[:12]}..., but suite {suite} was frozen with "
            f"{sha256[:12]}...: restore the file or name a new suite version"
        )
    try:
        return _parse(raw, path, tuple(tasks), tuple(counts.items()))
    except (OSError, ValueError, EOFError, MemoryError, NotImplementedError, RuntimeError, *BROKEN_ARCHIVE) as error:
        raise SuiteError(f"{path} cannot be read: {type(error).__name__}: {one_line(str(error))}") from None


@lru_cache(maxsize=4)  # every job loads its suite; an altered file is another `raw`
def _parse(raw: bytes, path: Path, tasks: tuple[str, ...], counts: tuple[tuple[str, int], ...]) -> Layouts:
    layouts: Layouts = {}
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        raise SuiteError(f"{path} is no .npz archive")
    with zipfile.ZipFile(io.BytesIO(raw)) as entries:  # what is in them is read as far as they say
        if sum(entry.file_size for entry in entries.infolist()) > MAX_LAYOUTS:
            raise SuiteError(f"{path} decompresses to more than {MAX_LAYOUTS:,} bytes")
    with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
        for task in tasks:
            for layout_set, count in counts:
                key = f"{task}/{layout_set}"
                if key not in archive:
                    raise SuiteError(f"{path} lacks the layouts {key!r}")
                values = archive[key]
                if values.dtype != np.float64 or values.ndim != 2 or len(values) != count:
                    raise SuiteError(f"{path}: {key!r} is {values.dtype} {values.shape}, not float64 ({count}, n)")
                if not np.isfinite(values).all():
                    raise SuiteError(f"{path}: {key!r} holds numbers that are not finite")
                values.setflags(write=False)
                layouts[key] = values
            own = [layouts[f"{task}/{layout_set}"] for layout_set, _ in counts]
            if len({values.shape[1] for values in own}) > 1:
                widths = ", ".join(str(values.shape[1]) for values in own)
                raise SuiteError(f"{path}: layouts of {task!r} have {widths} numbers; those of one task are alike")
            rows = np.concatenate(own)
            if len(np.unique(rows, axis=0)) != len(rows):
                raise SuiteError(f"{path}: layouts of {task!r} occur twice; the three sets must be disjoint")
    return layouts
