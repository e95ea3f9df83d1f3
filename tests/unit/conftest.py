"""The command line in this process, for tests of more than one module."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command_line import Cli, Ended

from maa_bench.cli import main


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Run a command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())  # `run` adds the current folder
    monkeypatch.setenv("COLUMNS", "100")

    def run(*args: object) -> Ended:
        code = main([str(a) for a in args])
        return Ended(code, *capfd.readouterr())

    return run


@pytest.fixture
def tiny(tiny_suite: Path) -> list[str]:
    """The options of a run on the tiny suite, folders aside."""
    numbers = ["--shots", "4", "--candidates", "3", "--episodes", "4", "--select-episodes", "3"]
    return ["run", "--suite", str(tiny_suite), "--workers", "1", *numbers]
