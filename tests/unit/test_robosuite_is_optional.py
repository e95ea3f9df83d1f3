"""Without the extra, everything but the suite works, and who names the suite is told what to install."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec

import pytest

from maa_bench import doctor
from maa_bench.cli import main
from maa_bench.errors import SuiteError
from maa_bench.simulators import served_dynamics, simulator_of
from maa_bench.simulators.dynamics import SETTINGS
from maa_bench.suite import list_suites, load_suite


@pytest.fixture
def without_robosuite(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra had not been installed."""
    for name in [name for name in sys.modules if name.split(".")[0] == "robosuite"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("maa_bench.simulators.robosuite")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "robosuite", None)

    def found(name: str) -> ModuleSpec | None:
        return None if name == "robosuite" else ModuleSpec(name, None)

    monkeypatch.setattr(doctor, "find_spec", found)


@pytest.mark.usefixtures("without_robosuite")
def test_the_suite_names_the_extra() -> None:
    with pytest.raises(SuiteError, match=r"robosuite-v1 needs the package 'robosuite': pip install 'maa-bench\[robosu"):
        simulator_of(load_suite("robosuite-v1"))


def test_a_missing_system_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory", name="cv2")

    suite = load_suite("robosuite-v1")
    monkeypatch.setattr("importlib.import_module", load)
    with pytest.raises(SuiteError, match=r"libGL\.so\.1: cannot open .*: apt-get install libgl1"):
        simulator_of(suite)


@pytest.mark.usefixtures("without_robosuite")
def test_what_needs_no_simulator_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert "robosuite-v1" in list_suites()
    assert main(["list", "tasks", "--suite", "robosuite-v1", "--split", "unseen"]) == 0
    assert "door-sawyer" in capsys.readouterr().out


@pytest.mark.usefixtures("without_robosuite")
def test_the_doctor_tries_the_suites_that_are_installed() -> None:
    assert doctor._suites() == [name for name in list_suites() if name != "robosuite-v1"]


def test_the_doctor_tries_it_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: ModuleSpec(name, None))
    assert doctor._suites() == list_suites()


def test_a_protocol_with_other_dynamics_needs_no_simulator() -> None:
    assert served_dynamics(load_suite("robosuite-v1")) == SETTINGS
