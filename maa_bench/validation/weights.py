"""Where a record's parameters can be got, and that they are the record's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from maa_bench.candidate_rows import sha256_of_params
from maa_bench.errors import RecordError, one_line
from maa_bench.files import sha256_of
from maa_bench.policy import Float32, PolicySpec
from maa_bench.record import RunRecord
from maa_bench.results import CANDIDATES, load_candidate_rows
from maa_bench.validation.contents import MAX_WEIGHTS

HUB_TIMEOUT = 30
"""Seconds that the Hub may take to say how large a file is."""


def hub_path(record: RunRecord) -> str:
    """The file of a record's parameters in the Hub dataset that the record names."""
    return f"{record.method.name}/{record.run_id}/{CANDIDATES}"


@contextmanager
def found_weights(folder: Path, record: RunRecord, given: Path | None, hub: bool) -> Iterator[Path | None]:
    """The file of the record's parameters, known by its hash to be that; None if there is none at hand.

    Args:
        folder: the record's; a file there comes first.
        record: the record.
        given: a file, or a folder that holds it as the record's own does, or as the Hub dataset would.
        hub: whether it may be downloaded from the Hub dataset that the record names, for as long as this is open.

    Raises:
        RecordError: it is another file than the record's, or the Hub does not give it.
    """
    stated = record.files.get(CANDIDATES)
    places = [folder / CANDIDATES]
    if given is not None:
        places = [given, given / CANDIDATES, given / hub_path(record), *places]
    for path in places:
        if path.is_file():
            _check(path, record)
            yield path
            return
    if stated is not None and given is not None:
        raise RecordError(f"{given}: holds no {CANDIDATES} of {record.method.name} {record.run_id}")
    if stated is None or record.weights is None or not hub:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="maa-bench-weights-") as temporary:
        path = _download(record, stated.bytes, Path(temporary))
        _check(path, record)
        yield path


def weights_problems(path: Path, folder: Path, record: RunRecord, spec: PolicySpec) -> Iterator[str]:
    """Where the parameters are not as many as the record says, or not those that `candidates.parquet` has hashes of."""
    table = load_candidate_rows(folder, record)
    hashes: dict[tuple[str, int], list[str | None]] = {}
    for row in [] if table is None else table.select(["task", "train_seed", "sha256"]).to_pylist():
        hashes.setdefault((row["task"], row["train_seed"]), []).append(row["sha256"])
    for task in record.split.test:
        for seed in record.seeds.train:
            try:
                params = read_params(path, record, spec, task, seed)
            except RecordError as error:
                yield str(error)
                return
            if table is None:
                continue
            for candidate, (stated, own) in enumerate(zip(hashes[task, seed], params, strict=True)):
                if stated != sha256_of_params(own):
                    yield (
                        f"task {task!r}, seed {seed}, candidate {candidate}: its parameters are not those that "
                        "candidates.parquet has the hash of"
                    )
                    return


def read_params(path: Path, record: RunRecord, spec: PolicySpec, task: str, seed: int) -> Float32:
    """The parameters of one task's candidates of one training seed: (n_candidates, n_params) float32.

    Raises:
        RecordError: the file cannot be read, or holds other arrays.
    """
    from safetensors import SafetensorError, safe_open

    key, shape = f"{seed}/{task}", [record.candidates_evaluated, spec.n_params]
    try:
        with safe_open(path, framework="np") as file:
            if key not in file.keys():  # noqa: SIM118 - no mapping
                raise RecordError(f"{CANDIDATES}: has no parameters of task {task!r}, seed {seed}")
            part = file.get_slice(key)
            if part.get_shape() != shape or part.get_dtype() != "F32":
                raise RecordError(f"{CANDIDATES}: {key!r} is {part.get_dtype()} {part.get_shape()}, not F32 {shape}")
            found: Float32 = np.asarray(part[:])
            return found
    except (SafetensorError, OSError, ValueError) as error:
        raise RecordError(f"{CANDIDATES}: cannot be read: {one_line(str(error))}") from None


def _check(path: Path, record: RunRecord) -> None:
    stated = record.files.get(CANDIDATES)
    if stated is None:
        raise RecordError(f"{path}: the record lists no {CANDIDATES}, so nothing says that these are its parameters")
    if path.stat().st_size != stated.bytes or sha256_of(path) != stated.sha256:
        raise RecordError(f"{path}: is another file than the record's {CANDIDATES}: its SHA-256 is not the stated one")


def _download(record: RunRecord, size: int, folder: Path) -> Path:
    """Fetch the parameters from the Hub, once it says that they are as large as the record does."""
    import huggingface_hub

    repo, _, revision = str(record.weights).partition("@")
    where = f"{hub_path(record)} of {record.weights} on the Hub"
    if size > MAX_WEIGHTS:
        raise RecordError(f"{where}: the record says {size:,} bytes, more than the {MAX_WEIGHTS:,} that are allowed")
    at: dict[str, Any] = {"repo_type": "dataset", "revision": revision or None}
    try:
        url = huggingface_hub.hf_hub_url(repo, hub_path(record), **at)
        there = huggingface_hub.get_hf_file_metadata(url, timeout=HUB_TIMEOUT).size
        if there != size:
            raise RecordError(f"{where}: has {there} bytes, the record says {size}")
        return Path(huggingface_hub.hf_hub_download(repo, hub_path(record), local_dir=folder, **at))
    except RecordError:
        raise
    except Exception as error:  # the library's many kinds
        first = next(iter(str(error).strip().splitlines()), "")
        raise RecordError(f"{where}: cannot be had ({type(error).__name__}: {one_line(first)})") from None
