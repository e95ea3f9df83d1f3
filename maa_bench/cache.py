"""The cache folder: finished work under content addresses, written whole, checked when read.

<cache>/format.json       which layout of the folder this is
<cache>/datasets/<id>/    checkpoint datasets
<cache>/fits/<key>/       what methods saved after `fit`
<cache>/prompts/<key>/    prompts that were collected with noise
<cache>/cells/<key>/      episodes of one method, training seed and task
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench import __version__
from maa_bench.candidate_rows import DISTANCES
from maa_bench.episodes import FailedEpisode
from maa_bench.errors import CacheError, DataError, did_you_mean
from maa_bench.files import hashes, remove_leftovers, sha256_of, whole_folder, write_json
from maa_bench.policy import Float32

FORMAT = 1

LEFTOVERS = (
    "datasets/.*",
    "datasets/*/.*",
    "datasets/*/*/*/.*",
    "datasets/*/build/*/*/.*",
    "fits/.*",
    "prompts/.*",
    "cells/.*",
)
"""Where killed processes may have left temporary files."""


def default_cache_dir() -> Path:
    """The platform's cache folder for maa-bench."""
    from platformdirs import user_cache_path

    return user_cache_path("maa-bench")


def dataset_folder(name: str, cache_dir: Path) -> Path:
    """The folder of a dataset that is named by its path, or by its id in a cache.

    Raises:
        DataError: there is none.
    """
    for folder in (Path(name), cache_dir / "datasets" / name):
        if (folder / "manifest.json").is_file():
            return folder
    if Path(name).is_dir():
        raise DataError(f"{name} holds no dataset: it has no manifest.json")
    there = sorted(path.parent.name for path in cache_dir.glob("datasets/*/manifest.json"))
    raise DataError(
        f"no dataset {name!r}: neither a dataset's folder nor one in {cache_dir}.{did_you_mean(name, there)}"
    )


@dataclass(frozen=True)
class FitCost:
    """What a fit took.

    Attributes:
        seconds: wall clock.
        peak_mb: peak memory of the process meanwhile, in MB (10^6 bytes).
        n_parameters: how many numbers the method has learned, if it says.
    """

    seconds: float
    peak_mb: float = 0.0
    n_parameters: int | None = None


@dataclass(frozen=True)
class CellResult:
    """One method's episodes on one task for one training seed.

    Attributes:
        first_success: (n_candidates, n_select + n_test) int64, select layouts first; -1 where none succeeded.
        params: (n_candidates, n_params) float32 of flat policies, else None.
        failures: episodes that broke off, in order.
        seconds: of `generate` and `evaluate`.
        steps: environment steps taken.
        peak_mb: peak memory of the largest process that worked on the cell, in MB (10^6 bytes).
        environment: the machine and software that computed it (`maa_bench.record.Environment` as JSON).
        test_steps: environment steps that the method took while it generated; None in results of older versions.
        measures: (n_candidates,) float64 distances by name, see `maa_bench.candidate_rows`; empty where there are none.
    """

    first_success: npt.NDArray[np.int64]
    params: Float32 | None
    failures: tuple[FailedEpisode, ...]
    seconds: dict[str, float]
    steps: int
    peak_mb: float
    environment: dict[str, Any]
    test_steps: int | None = None
    measures: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class CellFailure:
    """Why a cell has no result: one line that names the method, the step and what happened."""

    reason: str


class Cache:
    """Opens a cache folder, making it if needed.

    Raises:
        CacheError: it was written by another version, or cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        stamp = folder / "format.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not stamp.exists():
                write_json(stamp, {"format": FORMAT, "maa_bench": __version__})
            found = json.loads(stamp.read_text(encoding="utf-8"))
        except OSError as error:
            raise CacheError(f"cannot use the cache folder {folder}: {error.strerror}; choose --cache-dir") from None
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            version = found.get("maa_bench", "?") if isinstance(found, dict) else "?"
            raise CacheError(
                f"cache {folder} was written by another version (maa-bench {version}); "
                f"this is {__version__} with format {FORMAT}: delete the folder or choose another with --cache-dir"
            )
        remove_leftovers(folder, *LEFTOVERS)

    def dataset_folder(self, dataset_id: str) -> Path:
        """Where a dataset belongs, whether it is there or not."""
        return self.folder / "datasets" / dataset_id

    def fit_folder(self, key: str) -> Path:
        """Where a fit belongs, whether it is there or not."""
        return self.folder / "fits" / key

    def prompts_folder(self, key: str) -> Path:
        """Where prompts that were collected with noise belong, whether they are there or not."""
        return self.folder / "prompts" / key

    def fit_cost(self, key: str) -> FitCost | None:
        """What the fit of that key took, or None if there is none."""
        path = self.fit_folder(key) / "meta.json"
        meta = self._read_meta(path)
        if meta is None:
            return None
        try:
            n_parameters = meta.get("n_parameters")
            return FitCost(
                seconds=float(meta["seconds"]),
                peak_mb=float(meta.get("peak_mb", 0.0)),
                n_parameters=None if n_parameters is None else int(n_parameters),
            )
        except (KeyError, TypeError, ValueError):
            raise _damaged(path) from None

    def check_fit(self, key: str) -> Path:
        """The folder that a method saved into.

        Raises:
            CacheError: a file of it is missing or altered.
        """
        folder = self.fit_folder(key)
        meta = self._read_meta(folder / "meta.json") or {}
        if hashes(folder / "state") != meta.get("files"):
            raise CacheError(f"{folder} is truncated or altered: delete it and run the same command again")
        return folder / "state"

    def _cell_folder(self, key: str) -> Path:
        return self.folder / "cells" / key

    def has_cell(self, key: str) -> bool:
        """Whether a cell is finished, with a result or as a failure."""
        return (self._cell_folder(key) / "meta.json").exists()

    def load_cell(self, key: str, with_params: bool = True) -> CellResult | CellFailure:
        """Read a finished cell, its policies too unless nobody needs them in memory; they are checked in any case.

        Raises:
            CacheError: a file of it is truncated or altered.
        """
        folder = self._cell_folder(key)
        meta = self._read_meta(folder / "meta.json")
        if meta is None:
            raise CacheError(f"cache has no cell {folder}")
        if isinstance(meta.get("failed"), str):
            return CellFailure(meta["failed"])
        arrays = {}
        files = meta.get("files")
        if not isinstance(files, dict):
            raise _damaged(folder / "meta.json")
        for name, sha in files.items():
            path = folder / name
            try:
                good = sha256_of(path) == sha
            except OSError:
                good = False
            if not good:
                raise CacheError(f"{path} is truncated or altered: delete {folder} and run the same command again")
            if with_params or name != "params.npy":
                arrays[name] = np.load(path, allow_pickle=False)
        try:
            failures = tuple(FailedEpisode(*failure) for failure in meta["failures"])
            own = [meta[key] for key in ("seconds", "steps", "peak_mb", "environment")]
            own.append(meta.get("test_steps"))
            measured = {name: arrays[f"{name}.npy"] for name in DISTANCES if f"{name}.npy" in arrays}
            own.append(measured)
            return CellResult(arrays["first_success.npy"], arrays.get("params.npy"), failures, *own)
        except (KeyError, TypeError):
            raise _damaged(folder / "meta.json") from None

    def _has_result(self, key: str) -> bool:
        """Whether a whole result is there, and not a failure or half a folder."""
        try:
            return isinstance(self.load_cell(key, with_params=False), CellResult)
        except CacheError:
            return False

    def save_failure(self, key: str, failure: CellFailure) -> None:
        """Write that a cell failed. A result that is there stays."""
        with whole_folder(self._cell_folder(key), replace=not self._has_result(key)) as folder:
            write_json(folder / "meta.json", {"failed": failure.reason})

    def save_cell(self, key: str, cell: CellResult, replace: bool = True) -> None:
        """Write a cell, whole or not at all.

        Args:
            key: its address.
            cell: its result.
            replace: whether a result that is there already gives way; a failure always does.
        """
        arrays: dict[str, npt.NDArray[Any]] = {"first_success.npy": cell.first_success}
        if cell.params is not None:
            arrays["params.npy"] = cell.params
        arrays |= {f"{name}.npy": values for name, values in cell.measures.items()}
        with whole_folder(self._cell_folder(key), replace or not self._has_result(key)) as folder:
            for name, array in arrays.items():
                np.save(folder / name, array)
            files = {name: sha256_of(folder / name) for name in arrays}
            meta = {"files": files, "seconds": cell.seconds, "steps": cell.steps, "peak_mb": cell.peak_mb}
            meta |= {"environment": cell.environment, "failures": cell.failures, "test_steps": cell.test_steps}
            write_json(folder / "meta.json", meta)

    def _read_meta(self, path: Path) -> dict[str, Any] | None:
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise _damaged(path) from None
        if not isinstance(meta, dict):
            raise _damaged(path)
        return meta


def _damaged(path: Path) -> CacheError:
    return CacheError(f"{path} is damaged: delete {path.parent} and run the same command again")
