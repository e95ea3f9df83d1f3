"""Compiled code is kept, and never that of older sources."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from maa_bench import compiled

PACKAGE = Path(compiled.__file__).parent


def test_every_file_that_compiles_counts() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(
            r"^@njit|numba\.njit|import numba|numba\.extending import.*intrinsic", path.read_text(), re.MULTILINE
        )
    }
    assert found <= set(compiled.SOURCES)
    assert {"forward.py", "simulators/metaworld/kernel.py"} <= found


def test_a_changed_source_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "package"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(compiled, "__file__", str(copy / "compiled.py"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    folders = [compiled.cache_folder.__wrapped__()]
    for name in compiled.SOURCES:
        with (copy / name).open("a") as file:
            file.write("\n# changed\n")
        folders.append(compiled.cache_folder.__wrapped__())
    assert len(set(folders)) == len(compiled.SOURCES) + 1
    assert all(Path(folder).parent == tmp_path / "kept" for folder in folders)


def test_what_is_compiled_goes_there_and_numbas_setting_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    before = numba.config.CACHE_DIR

    @compiled.njit
    def double(x: int) -> int:
        return 2 * x

    assert double(4) == 8
    assert before == numba.config.CACHE_DIR
    assert list(Path(compiled.cache_folder()).rglob("*double*.nbc"))


def test_nothing_is_kept_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert compiled.cache_folder.__wrapped__() is None
    monkeypatch.setattr(compiled, "cache_folder", lambda: None)

    @compiled.njit
    def triple(x: int) -> int:
        return 3 * x

    assert triple(4) == 12
    assert not list(Path(__file__).parent.rglob("*triple*.nbc"))
