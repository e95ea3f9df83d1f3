"""The doctor: each check finds what it looks for, stands alone, and says how to mend it."""

from __future__ import annotations

import json
import os
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from maa_bench import doctor, gl
from maa_bench.cli import main
from maa_bench.doctor import FAILED, OK, WARNING, Check
from maa_bench.suite import list_suites


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The GL backends that work here, instead of trying them."""
    backends: set[str] = set()
    monkeypatch.setattr(gl, "works", lambda backend: backend in backends)
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    return backends


def found(tmp_path: Path, suites: list[str]) -> dict[str, Check]:
    return {check.name: check for check in doctor.checks(suites, tmp_path / "cache", tmp_path / "results")}


def test_a_healthy_machine(works: set[str], tmp_path: Path) -> None:
    works |= {"egl", "osmesa"}
    checks = found(tmp_path, ["toy-v1"])
    assert {name for name, check in checks.items() if check.status == FAILED} == set()
    assert "numpy" in checks["packages"].detail
    assert checks["suite toy-v1"].detail.startswith("goal-000: reset and one step")
    assert (checks["off-screen GL"].status, checks["off-screen GL"].detail) == (OK, "egl, found by itself")
    assert list(tmp_path.iterdir()) == [], "looking makes no folders"


@pytest.mark.parametrize(
    ("working", "chosen", "status", "parts"),
    [
        ({"egl"}, "egl", OK, ()),
        ({"osmesa"}, "", OK, ()),
        ({"osmesa"}, "egl", WARNING, ("MUJOCO_GL=osmesa",)),
        (set(), "", WARNING, ("libegl1", "libosmesa6")),
    ],
)
def test_gl(
    works: set[str], monkeypatch: pytest.MonkeyPatch, working: set[str], chosen: str, status: str, parts: tuple[str]
) -> None:
    works |= working
    monkeypatch.setenv("MUJOCO_GL", chosen)
    check = doctor._gl()
    assert check.status == status
    for part in parts:
        assert part in check.fix


def test_a_broken_suite_hides_nothing(works: set[str], tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text("name = 1")
    checks = found(tmp_path, [str(tmp_path / "odd.toml"), "toy-v1"])
    assert checks[f"suite {tmp_path / 'odd.toml'}"].status == FAILED
    assert checks["suite toy-v1"].status == OK
    assert checks["cache"].status == OK


def test_a_folder_of_its_name_is_no_installed_simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "toy-v1" in doctor._suites()
    monkeypatch.setattr(doctor, "optional_simulators", lambda: ("toy",))  # no installed package has this name
    (tmp_path / "toy").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert find_spec("toy") is not None
    assert doctor._suites() == [name for name in list_suites() if name != "toy-v1"]


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy>=1.26", "numpy<1", "no-such-package==3", "also-missing; extra == 'docs'"]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    check = doctor._packages()
    assert check.status == FAILED
    assert "no-such-package is missing" in check.detail
    assert "also-missing" not in check.detail
    assert check.fix == "pip install 'numpy<1' 'no-such-package==3'"


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for check in (doctor._cache(tmp_path / "file" / "x"), doctor._results(tmp_path / "file" / "x")):
        assert check.status == FAILED
        assert "-dir" in check.fix
    (tmp_path / "cache").mkdir()
    assert "writable, 0.0 MB" in doctor._cache(tmp_path / "cache").detail
    (tmp_path / "cache" / "format.json").write_text('{"format": 999}')
    (cache,) = (c for c in doctor.checks([], tmp_path / "cache", tmp_path) if c.name == "cache")
    assert cache.status == FAILED
    assert "another version" in cache.detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert doctor._results(tmp_path).status == FAILED


def test_the_verb(works: set[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folders = ["--cache-dir", str(tmp_path / "c"), "--results-dir", str(tmp_path / "r")]
    assert main(["doctor", "--suite", "toy-v1", *folders, "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)
    assert [row["name"] for row in rows][:3] == ["python", "packages", "cpu"]
    assert set(rows[0]) == {"name", "status", "detail", "fix"}
    assert main(["doctor", "--suite", "toy-v2", *folders]) == 1
    out = capfd.readouterr().out
    assert "FAILED   suite toy-v2: unknown suite 'toy-v2'. Did you mean 'toy-v1'?" in out
    assert "fix: " in out
