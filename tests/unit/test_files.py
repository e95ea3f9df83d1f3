"""Files and folders are whole or absent."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from maa_bench import files
from maa_bench.files import digest, sha256_of, whole_folder, write_bytes, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_written_with_its_parents_and_nothing_beside_it(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b.bin", b"content")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"content"
    assert names(tmp_path / "a") == ["b.bin"]
    assert sha256_of(tmp_path / "a" / "b.bin").startswith("ed7002b439e9ac84")


def test_a_file_gets_the_permissions_of_the_umask_not_those_of_a_temporary_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "file", b"")
        with whole_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    monkeypatch.setattr(files.os, failing, full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"new")
    assert names(tmp_path) == ["file"]
    assert path.read_bytes() == b"old"


def test_ctrl_c_in_a_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "file", b"new")
    assert names(tmp_path) == []


def test_json_with_nan_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_inside_a_whole_folder_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), whole_folder(tmp_path / "cell") as folder:  # noqa: PT012
        (folder / "half").write_text("written")
        raise error
    assert names(tmp_path) == []


def test_an_exception_inside_a_whole_folder_leaves_the_old_one(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "cell") as folder:
        (folder / "old").write_text("old")
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "cell") as folder:  # noqa: PT012
        (folder / "new").write_text("new")
        raise RuntimeError
    assert names(tmp_path) == ["cell"]
    assert names(tmp_path / "cell") == ["old"]


def test_a_whole_folder_replaces_the_one_that_is_there(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with whole_folder(tmp_path / "cell") as folder:
            (folder / name).write_text(name)
    assert names(tmp_path) == ["cell"]
    assert names(tmp_path / "cell") == ["new"]


def test_nothing_is_seen_of_a_whole_folder_before_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "cell"
    with whole_folder(target) as folder:
        (folder / "half").write_text("written")
        assert not target.exists()
        assert folder.name.startswith(".")
    assert names(target) == ["half"]


def test_a_whole_folder_that_cannot_take_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "cell").write_text("a file where the folder belongs")
    with pytest.raises(OSError, match="cell"), whole_folder(tmp_path / "cell"):
        pass
    assert names(tmp_path) == ["cell"]


def test_a_digest_depends_on_values_and_not_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest([1, 2]) != digest([2, 1])
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("inf"))
