"""Files in the place of released `.pt` files that are cut, altered, something else, or that would run code."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_samples import SMALL, refusal, saved, small_tensors

from maa_bench.dataset.official import RawFile, read_any
from maa_bench.dataset.official_processed import read_weights
from maa_bench.errors import DataError


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = saved(tmp_path, small_tensors()).read_bytes()
    path = tmp_path / "cut.pt"
    for length in [1, 3, 4, 30, *range(100, len(whole), 997), len(whole) - 1]:
        path.write_bytes(whole[:length])
        line = refusal(path)
        assert ("truncated" in line) == (length >= 4), line
    path.write_bytes(b"")
    assert "is empty" in refusal(path)


@pytest.mark.parametrize("key", ["param", "traj", "task"])
def test_one_altered_bit_is_noticed(tmp_path: Path, key: str) -> None:
    tensors = small_tensors()
    path = saved(tmp_path, tensors)
    data = bytearray(path.read_bytes())
    data[data.index(tensors[key].numpy().tobytes()) + 3] ^= 1
    path.write_bytes(data)
    assert not torch.equal(torch.load(path, weights_only=True)[key], tensors[key]), "torch itself does not notice"
    assert re.search(r"altered, the checksum of 'door-open/data/\d'", refusal(path))


def test_other_files_are_no_data_files(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refusal(path)
    path.write_text("Entry not found")
    assert "is no archive as torch.save has written" in refusal(path)
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    assert "a zip archive, but none of tensors" in refusal(tmp_path / "a.npz")
    with zipfile.ZipFile(saved(tmp_path, small_tensors()), "a") as archive:
        archive.writestr("door-open/constants.pkl", b"")  # what tells TorchScript's programs from tensors
    assert "a zip archive, but none of tensors" in refusal(tmp_path / "door-open.pt")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("door-open/data.pkl", b"\x80\x02no pickle")
        archive.writestr("door-open/version", b"3")
    assert "is refused" in refusal(path)
    assert "is no file: name the .pt file" in refusal(tmp_path)
    assert "no file at" in refusal(tmp_path / "nothing.pt")


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path, {"param": torch.zeros(10**6)})
    path = tmp_path / "packed.pt"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry))
    assert "holds more than its own size" in refusal(path)


# --- files that would run code


class Attack:
    """Unpickled without care, it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.marker,)


def as_zip(path: Path, attack: Attack) -> None:
    torch.save({**small_tensors(), "param": attack}, path)


def as_legacy(path: Path, attack: Attack) -> None:
    torch.save({**small_tensors(), "param": attack}, path, _use_new_zipfile_serialization=False)


def as_pickle(path: Path, attack: Attack) -> None:
    path.write_bytes(pickle.dumps({"param": attack}, protocol=2))


def as_tar(path: Path, attack: Attack) -> None:
    data = pickle.dumps(attack, protocol=2)
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("write", [as_zip, as_legacy, as_pickle, as_tar])
@pytest.mark.parametrize("read", [lambda path: read_any(path, SMALL), read_weights], ids=["data", "weights"])
def test_a_malicious_file_runs_nothing(
    tmp_path: Path, write: Callable[[Path, Attack], None], read: Callable[[Path], Any]
) -> None:
    path, marker = tmp_path / "door-open.pt", tmp_path / "executed"
    write(path, Attack(marker))
    line = refusal(path, read)
    if write is as_zip:
        assert "(posix.mkdir), and nothing of it was run" in line or "(nt.mkdir)" in line
    assert [file.name for file in tmp_path.iterdir()] == ["door-open.pt"]

    with contextlib.suppress(Exception):
        torch.load(path, weights_only=False)
    assert marker.is_dir(), "the attack is a real one"


def test_old_formats_are_refused_even_when_harmless(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save(small_tensors(), path, _use_new_zipfile_serialization=False)
    assert "since torch 1.6" in refusal(path)


def test_a_torch_that_cannot_read_safely_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, small_tensors())
    monkeypatch.setattr(torch, "__version__", "2.9.1+cu128")
    with pytest.raises(DataError, match=r"needs torch 2\.10 or newer, here is 2\.9\.1"):
        read_any(path, SMALL)
    monkeypatch.setattr(torch, "__version__", "2.10.0+cpu")
    assert isinstance(read_any(path, SMALL), RawFile)
