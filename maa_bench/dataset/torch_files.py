"""Torch's own files from strangers: read as tensors or not at all, and written with the same bytes every time.

`torch.load(weights_only=True)` runs no code of the file, provided that torch is new enough. What it does not see to
is done here: it checks no checksums, follows a tensor that claims more numbers than the file holds, still reads the
two formats from before torch 1.6, and its advice on a refused file is to load it unsafely.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from maa_bench.errors import DataError, one_line
from maa_bench.files import write_bytes

SAFE_TORCH = "2.10"
"""Before it, a crafted file could run code in spite of `weights_only=True` (CVE-2025-32434, CVE-2026-24747)."""

LFS_POINTER = b"version https://git-lfs"
AGAIN = "fetch or export it again"


def load_tensors(path: Path) -> dict[Any, Any]:
    """The dict in a file of `torch.save`, on the CPU; no code of the file is run.

    Its values are whatever `weights_only=True` lets through, mostly tensors: `floats` checks one and unpacks it.

    Raises:
        DataError: no file; empty, truncated, altered or packed; no zip archive of `torch.save` (the formats from before
            torch 1.6 are refused); something else than tensors in it; no dict; or a torch too old to read it safely.
    """
    if not path.exists():
        raise DataError(f"no file at {path}")
    if not path.is_file():
        raise DataError(f"{path} is no file: name the .pt file itself")
    try:
        with path.open("rb") as file:
            _check_archive(path, file)
            file.seek(0)
            content = _unpickle(path, file)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, not a dict of tensors")
    return content


def _check_archive(path: Path, file: BinaryIO) -> None:
    """An archive as torch writes it: whole, unpacked, with every checksum right, and no TorchScript program."""
    head = file.read(len(LFS_POINTER))
    size = file.seek(0, io.SEEK_END)
    if not size:
        raise DataError(f"{path} is empty: {AGAIN}")
    if head == LFS_POINTER:
        raise DataError(f"{path} is only a Git LFS pointer to the file: run `git lfs pull` beside it")
    if not head.startswith(b"PK\x03\x04"):
        raise DataError(
            f"{path} is no archive as torch.save has written since torch 1.6; older and other formats are not read"
        )
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            names = {entry.filename.partition("/")[2] for entry in entries}
            packed = sum(entry.file_size for entry in entries) > size
            altered = None if packed else archive.testzip()
    except OSError:
        raise
    except Exception:  # zipfile raises a dozen kinds for bytes that make no sense
        raise DataError(f"{path} is truncated or altered, its archive cannot be opened: {AGAIN}") from None
    if packed:
        raise DataError(f"{path} holds more than its own size; torch.save packs nothing, so it did not write this file")
    if altered is not None:
        raise DataError(f"{path} is altered, the checksum of {one_line(altered)!r} in it differs: {AGAIN}")
    if "data.pkl" not in names or "constants.pkl" in names:
        raise DataError(f"{path} is a zip archive, but none of tensors that torch.save wrote")


def _unpickle(path: Path, file: BinaryIO) -> Any:
    import torch
    from packaging.version import Version

    if Version(torch.__version__) < Version(SAFE_TORCH):
        raise DataError(
            f"reading {path} safely needs torch {SAFE_TORCH} or newer, here is {torch.__version__}: "
            f"pip install 'torch>={SAFE_TORCH}'"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch to its own developers, on tensors that `floats` refuses
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # bytes of a stranger make torch raise nearly anything
        # Torch's text is not passed on: it explains how to load the file unsafely.
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({one_line(refused[1])})" if refused else ""
        raise DataError(
            f"{path} is refused: it holds something else than tensors{what}, and nothing of it was run; "
            "save a plain dict of tensors"
        ) from None


def floats(path: Path, name: Any, value: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A tensor of floating-point numbers, any precision, as a C-ordered array of `dtype`; both names are for errors.

    Raises:
        DataError: no tensor; integers or the like; not stored number by number (sparse, quantised, without data); more
            numbers than stored ones (a tensor that repeats them may claim terabytes).
    """
    import torch

    what = f"{path}: {one_line(repr(name))}"
    if not isinstance(value, torch.Tensor):
        raise DataError(f"{what} is a {type(value).__name__}, not a tensor")
    if not value.is_floating_point():
        raise DataError(f"{what} holds {value.dtype} numbers, not floating-point ones")
    if value.layout is not torch.strided or value.is_nested or value.device.type != "cpu":
        raise DataError(f"{what} is not stored as plain rows of numbers: save it as a dense tensor")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise DataError(f"{what} claims more numbers than the file holds: save its clone()")
    # Through float64, as numpy knows no bfloat16.
    wide = value if value.dtype in (torch.float32, torch.float64) else value.double()
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 is infinity, which the callers refuse
        return np.ascontiguousarray(wide.numpy(force=True), dtype)


def save_tensors(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a dict of tensors whole or not at all; the same arrays and version of torch give the same bytes.

    The archive inside is always called `archive`; `torch.save` to a path would call it by the file's name.
    """
    import torch

    buffer = io.BytesIO()
    torch.save({name: torch.tensor(np.ascontiguousarray(array)) for name, array in arrays.items()}, buffer)
    write_bytes(path, buffer.getvalue())
