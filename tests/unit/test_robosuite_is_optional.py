"""Without the extra, everything but the suite works, and who names the suite is told what to install."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from maa_bench import doctor
from maa_bench.cli import main
from maa_bench.errors import SuiteError
from maa_bench.simulators import served_dynamics, simulator_of
from maa_bench.simulators.dynamics import SETTINGS
from maa_bench.software import software
from maa_bench.suite import list_suites, load_suite

ROOT = Path(__file__).parents[2]


@pytest.fixture
def without_robosuite(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra had not been installed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "robosuite"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("maa_bench.simulators.robosuite")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "robosuite", None)

    def installed(packages: Iterable[str]) -> dict[str, str]:
        return {name: version for name, version in software(packages).items() if name != "robosuite"}

    for place in ("maa_bench.software.software", "maa_bench.simulators.software"):
        monkeypatch.setattr(place, installed)


@pytest.mark.usefixtures("without_robosuite")
def test_the_suite_names_the_extra() -> None:
    with pytest.raises(SuiteError, match=r"robosuite-v1 needs the package 'robosuite': pip install 'maa-bench\[robosu"):
        simulator_of(load_suite("robosuite-v1"))


@pytest.mark.usefixtures("without_robosuite")
@pytest.mark.parametrize(
    "verb",
    [
        ["run", "--suite", "robosuite-v1", "--method", "expert", "--tasks", "lift-sawyer"],
        ["data", "build", "--suite", "robosuite-v1", "--tasks", "lift-panda"],
        ["transfer", "--suite", "robosuite-v1"],
    ],
    ids=lambda verb: verb[0],
)
def test_the_extra_is_missed_before_any_work(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--cache-dir", str(tmp_path / "cache")]
    if verb[0] == "run":
        folders += ["--results-dir", str(tmp_path / "results")]
    assert main([*verb, *folders]) == 2
    assert capsys.readouterr().err == (
        "error: suite robosuite-v1 needs the package 'robosuite': pip install 'maa-bench[robosuite]'\n"
    )
    assert not any((tmp_path / "cache").glob("datasets/*")), "no folder of a dataset that nobody can go on with"


def test_a_missing_system_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory", name="cv2")

    suite = load_suite("robosuite-v1")
    monkeypatch.setattr("maa_bench.simulators.software", lambda packages: dict(suite.versions))  # all are installed
    monkeypatch.setattr("importlib.import_module", load)
    with pytest.raises(SuiteError, match=r"libGL\.so\.1: cannot open .*: apt-get install libgl1"):
        simulator_of(suite)


@pytest.mark.usefixtures("without_robosuite")
@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["list", "tasks", "--suite", "robosuite-v1", "--split", "unseen"], "door-sawyer"),
        (
            ["run", "--suite", "robosuite-v1", "--method", "random_seen", "--dry-run", "--cache-dir", "cache"],
            "door-sawyer",
        ),
        (["validate", str(next(ROOT.glob("results/expert/robosuite-v1-unseen-*"))), "--sample", "0"], "holds"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_needs_no_simulator_works(
    command: list[str], shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "robosuite-v1" in list_suites()
    monkeypatch.chdir(tmp_path)
    assert main(command) == 0
    assert shown in capsys.readouterr().out


@pytest.mark.usefixtures("without_robosuite")
def test_the_doctor_tries_the_suites_that_are_installed() -> None:
    assert doctor._suites() == [name for name in list_suites() if name != "robosuite-v1"]


@pytest.mark.usefixtures("without_robosuite")
def test_the_doctor_says_once_that_it_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_gl", lambda: doctor.Check("off-screen GL", doctor.OK, "not tried"))
    found = list(doctor.checks(["robosuite-v1"], tmp_path, tmp_path))
    (failed,) = [check for check in found if check.status == doctor.FAILED]
    assert failed.name == "suite robosuite-v1"
    assert "pip install 'maa-bench[robosuite]'" in failed.detail


def test_the_doctor_tries_it_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maa_bench.software.software", lambda packages: dict.fromkeys(packages, "1"))
    assert doctor._suites() == list_suites()


def test_a_protocol_with_other_dynamics_needs_no_simulator() -> None:
    assert served_dynamics(load_suite("robosuite-v1")) == SETTINGS


def test_the_extra_asks_for_a_pyarrow_that_works_with_its_numpy() -> None:
    """robosuite's mink wants numpy 1; pip would join pyarrow 26 to it, whose import then fails."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [Requirement(text) for text in table["project"]["optional-dependencies"]["robosuite"]]
    (pyarrow,) = (requirement for requirement in asked if requirement.name == "pyarrow")
    assert "25.0.1" in pyarrow.specifier
    assert "26.0.0" not in pyarrow.specifier
