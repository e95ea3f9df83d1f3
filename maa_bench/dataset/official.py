"""The released file formats of Make-An-Agent: one `.pt` file a task, rows of policies and of what they did.

Source: github cheryyunl/Make-An-Agent (commit 1a111f7) and its data on Hugging Face. A file is a dict of three
tensors, `param`, `traj` and `task`, with one row a checkpoint. A *raw* file holds flat policies and behaviour vectors,
a *processed* one what the released networks make of them (`official_processed`). Neither holds a task label, a
success, a seed or a step: the task is the file's name, and a success has to be measured again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench.dataset.torch_files import floats, load_tensors, save_tensors
from maa_bench.errors import DataError, did_you_mean, one_line
from maa_bench.policy import Float32, PolicySpec
from maa_bench.prompts import OUTCOME, SEGMENT, STRIDE, Behaviors
from maa_bench.suite import Suite

KEYS = ("param", "traj", "task")
TOKENS = 2
"""Latent tokens of a policy, one a layer group."""
LATENT_WIDTH = 1024
"""Features of a released token. The released loader takes latents as rows of 2 * 1024 numbers, too."""


@dataclass(frozen=True)
class RawFile:
    """A raw file: n policies, each with one behaviour.

    Attributes:
        params: (n, n_params) float32, flat in the order of `PolicySpec`.
        traj: (n, 20 * (obs_dim + 3 * action_dim)) float64, as `Behaviors.trajectory_vectors`; 1,020 for Meta-World.
        task: (n, 3 * obs_dim) float64, as `Behaviors.outcome_vectors`; 117 for Meta-World.
    """

    params: Float32
    traj: npt.NDArray[np.float64]
    task: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ProcessedFile:
    """A processed file: what the released networks make of a raw one. It holds no behaviour that could be shown.

    Attributes:
        latents: (n, 2, latent_dim) float32, the autoencoder's tokens; latent_dim is 1,024 in the release.
        traj: (n, embed_dim) float32, the embedded trajectories; 128 in the release.
        task: (n, embed_dim) float32, the embedded outcomes.
    """

    latents: Float32
    traj: Float32
    task: Float32


def read_raw(path: Path, spec: PolicySpec) -> RawFile:
    """Read a raw file of policies that follow `spec`; no code of the file is run.

    Raises:
        DataError: as `load_tensors`; wrong keys, shapes or row lengths; no rows; NaN or infinity.
    """
    return _raw(path, _tensors(path), spec)


def read_processed(path: Path) -> ProcessedFile:
    """Read a processed file; latents may also be rows of 2 * latent_dim numbers. No code of the file is run.

    Raises:
        DataError: as `read_raw`.
    """
    return _processed(path, _tensors(path))


def read_any(path: Path, spec: PolicySpec) -> RawFile | ProcessedFile:
    """Read a file of either format: latents are (n, 2, latent_dim) or rows of 2,048 numbers, anything else is raw.

    Raises:
        DataError: as `read_raw`.
    """
    tensors = _tensors(path)
    shape = floats(path, "param", tensors["param"], np.float32).shape
    flat_latents = len(shape) == 2 and shape[1] == TOKENS * LATENT_WIDTH != spec.n_params
    return _processed(path, tensors) if len(shape) == 3 or flat_latents else _raw(path, tensors, spec)


def write_raw(path: Path, params: Float32, behaviors: Behaviors) -> None:
    """Write a raw file with the release's keys and dtypes, whole or not at all; the same input gives the same bytes.

    Args:
        path: the file; the released scripts know the task by its name, e.g. `door-open.pt`.
        params: (n, n_params) float32.
        behaviors: n behaviours, one a policy.

    Raises:
        DataError: another number of behaviours than of policies; no rows; NaN or infinity.
    """
    if not len(behaviors):
        raise DataError(f"{path}: no rows to write")
    traj, task = (
        vectors.astype(np.float64) for vectors in (behaviors.trajectory_vectors(), behaviors.outcome_vectors())
    )
    _write(path, {"param": params.astype(np.float32), "traj": traj, "task": task})


def write_processed(path: Path, file: ProcessedFile) -> None:
    """Write a processed file with the release's keys and dtypes, as `write_raw` does.

    Raises:
        DataError: as `write_raw`.
    """
    _write(path, {"param": file.latents, "traj": file.traj, "task": file.task})


def task_of_file(path: Path, suite: Suite) -> str:
    """The task that a file's name tells: `door-open.pt`, also `door-open-v3.pt` or `door_open.pt`, is `door-open`.

    Raises:
        DataError: the name is none of the suite's tasks; the line gives the nearest ones.
    """
    stem = path.stem.lower().replace("_", "-")
    for name in (path.stem, stem, re.sub(r"-v\d+$", "", stem)):
        if name in suite.tasks:
            return name
    raise DataError(
        f"{path}: {path.stem!r} is no task of suite {suite.name}: say which it is with --task."
        f"{did_you_mean(stem, suite.tasks)}"
    )


def _write(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    _check_rows(path, arrays)
    save_tensors(path, arrays)


def _tensors(path: Path) -> dict[Any, Any]:
    """The three entries of a file, and no others."""
    content = load_tensors(path)
    missing = [key for key in KEYS if key not in content]
    unknown = [one_line(repr(key)) for key in content if key not in KEYS]
    if missing or unknown:
        problem = f"lacks {', '.join(missing)}" if missing else f"has unknown keys: {one_line(', '.join(unknown))}"
        raise DataError(f"{path} {problem}; a released data file has the keys param, traj and task, and no others")
    return content


def _raw(path: Path, tensors: Mapping[Any, Any], spec: PolicySpec) -> RawFile:
    lengths = {
        "param": spec.n_params,
        "traj": SEGMENT // STRIDE * (spec.obs_dim + STRIDE * spec.action_dim),
        "task": OUTCOME * spec.obs_dim,
    }
    dtypes = {"param": np.float32, "traj": np.float64, "task": np.float64}
    arrays = {key: _rows(path, key, tensors[key], dtypes[key]) for key in KEYS}
    for key, length in lengths.items():
        if arrays[key].shape[1] != length:
            raise DataError(
                f"{path}: {key!r} has rows of {arrays[key].shape[1]} numbers, but {spec.id} needs {length}: "
                "is it data of another suite?"
            )
    _check_rows(path, arrays)
    return RawFile(arrays["param"], arrays["traj"], arrays["task"])


def _processed(path: Path, tensors: Mapping[Any, Any]) -> ProcessedFile:
    latents = floats(path, "param", tensors["param"], np.float32)
    if latents.ndim == 2 and latents.shape[1] % TOKENS == 0:
        latents = latents.reshape(len(latents), TOKENS, latents.shape[1] // TOKENS)
    if latents.ndim != 3 or latents.shape[1] != TOKENS:
        raise DataError(
            f"{path}: 'param' has shape {latents.shape}; latents of a processed file have (n, {TOKENS}, width)"
        )
    arrays = {"param": latents, **{key: _rows(path, key, tensors[key], np.float32) for key in ("traj", "task")}}
    if arrays["traj"].shape[1] != arrays["task"].shape[1]:
        raise DataError(
            f"{path}: 'traj' has rows of {arrays['traj'].shape[1]} numbers and 'task' of {arrays['task'].shape[1]}; "
            "the embeddings of a processed file are equally long"
        )
    _check_rows(path, arrays)
    return ProcessedFile(latents, arrays["traj"], arrays["task"])


def _rows(path: Path, key: str, tensor: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    array = floats(path, key, tensor, dtype)
    if array.ndim != 2:
        raise DataError(f"{path}: {key!r} has shape {array.shape}; rows of numbers, (n, length), are needed")
    return array


def _check_rows(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    counts = {key: len(array) for key, array in arrays.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{key} {count}" for key, count in counts.items())
        raise DataError(f"{path}: the numbers of rows differ ({said}); each policy needs one of each")
    if not counts["param"]:
        raise DataError(f"{path}: no rows")
    for key, array in arrays.items():
        bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        if len(bad):
            raise DataError(
                f"{path}: row {bad[0]} of {key!r} (the first is 0) holds NaN or infinity; "
                f"{len(bad)} of {len(array)} rows do: leave them out"
            )
