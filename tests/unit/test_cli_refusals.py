"""Every bad input, and whatever else stops a command, is one clear line."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import CONTROLS, Cli, Ended, one_line


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["runn"], ["No such command 'runn'", "'run'"]),
        (["run", "--shot", "3"], ["No such option: --shot", "--shots"]),
        (["run", "--shots", "many"], ["--shots", "integer"]),
        (["run", "extra"], ["unexpected extra argument"]),
        (["list"], ["Missing command"]),
        (["run", "--method", "make_an_agnt"], ["unknown method 'make_an_agnt'", "'make_an_agent'"]),
        (["run", "--method", "no_such_module:Method"], ["no_such_module"]),
        (["run", "--method", "maa_bench.baselines.controls:Exprt"], ["no 'Exprt'", "'Expert'"]),
        (["run", "--suite", "toy-v2"], ["unknown suite 'toy-v2'", "'toy-v1'"]),
        (["run", "--suite", "nowhere.toml"], ["nowhere.toml"]),
        (["run", "--split", "unsen"], ["no split 'unsen'", "'unseen'"]),
        (["run", "--tasks", "window-clos"], ["no task 'window-clos'", "'window-close'"]),
        (
            ["run", "--split", "seen", "--tasks", "window-close"],
            ["split 'seen' does not test 'window-close'", "(--split unseen tests it)"],
        ),
        (["run", "--split", "all", "--tasks", "window-clos"], ["no task 'window-clos'"]),
        (["run", "--tasks", ","], ["--tasks names no task"]),
        (["run", "--scale", "smal"], ["--scale 'smal'", "'small'"]),
        (["run", "--device", "gpu"], ["--device", "cuda"]),
        (["run", "--shots", "0"], ["--shots must be at least 1"]),
        (["run", "--candidates", "-2"], ["--candidates must be at least 1"]),
        (["run", "--episodes", "0"], ["--episodes must be at least 1"]),
        (["run", "--episodes", "51"], ["--episodes 51", "50 test layouts"]),
        (["run", "--select-episodes", "0"], ["--select-episodes must be at least 1"]),
        (["run", "--seeds", "0"], ["--seeds must be at least 1"]),
        (["run", "--seed", "-1"], ["--seed must be 0 or more"]),
        (["run", "--workers", "0"], ["--workers must be at least 1"]),
        (["data", "build", "--workers", "0"], ["--workers must be at least 1"]),
        (["data", "info", "--scale", "huge"], ["--scale 'huge'"]),
        (["leaderboard", "--results-dir", "nowhere"], ["nowhere", "no such folder"]),
        (["validate", __file__], ["'paths'", "is a file"]),
        (["doctor", "--sute", "toy-v1"], ["No such option: --sute", "--suite"]),
    ],
    ids=" ".join,
)
def test_bad_arguments(cli: Cli, tmp_path: Path, args: list[str], parts: list[str]) -> None:
    one_line(cli(*args, *(["--cache-dir", tmp_path / "c"] if args[0] == "run" else [])), *parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "verb",
    [["run", "--method", "expert", "--episodes", "1", "--select-episodes", "1", "--shots", "2"], ["data", "build"]],
    ids=["run", "data build"],
)
def test_a_task_that_the_simulator_has_not_is_told_before_any_work(
    cli: Cli, edit_suite: Callable[..., Path], tmp_path: Path, verb: list[str]
) -> None:
    """The last one: its checkpoints would be made after all others'."""

    def misspelt(data: dict[str, Any]) -> None:
        data["tasks"][data["splits"]["unseen"]["test"][-1]]["env"] = "point-mas"

    ended = cli(*verb, "--suite", edit_suite(misspelt), "--cache-dir", tmp_path / "cache")
    one_line(ended, "needs env = 'point-mass'")
    assert not any((tmp_path / "cache").glob("datasets/*"))


def test_too_many_shots(cli: Cli, tiny: list[str], tiny_cache: Path) -> None:
    one_line(cli(*tiny, "--method", "random_seen", "--cache-dir", tiny_cache, "--shots", "99"), "--shots 99", "prompts")


def test_cache_of_another_version(cli: Cli, tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "format.json").write_text('{"format": 999, "maa_bench": "9.9"}')
    for command in ([*tiny, "--method", "random_seen"], [*tiny, "--dry-run"], ["data", "build", "--suite", tiny[2]]):
        one_line(cli(*command, "--cache-dir", "cache"), "another version", "9.9", "--cache-dir")


def test_damaged_shard(cli: Cli, tiny: list[str], tiny_cache_copy: Path) -> None:
    """One that is too short is built again; one that was altered says so, and how to mend it."""
    (shard,) = tiny_cache_copy.glob("datasets/*/checkpoints/goal-090/train-00.parquet")
    command = [*tiny, "--method", "random_seen", "--cache-dir", tiny_cache_copy]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    one_line(cli(*command), str(shard), "truncated or altered", "delete")
    shard.write_bytes(whole[:-10])
    assert cli(*command).code == 0
    assert shard.read_bytes() == whole


def test_truncated_cell(cli: Cli, tiny: list[str], tiny_cache_copy: Path) -> None:
    command = [*tiny, "--method", "random_seen", "--tasks", "goal-030", "--cache-dir", tiny_cache_copy]
    first = cli(*command, "--json")
    assert first.code == 0
    file = next(tiny_cache_copy.glob("cells/*/first_success.npy"))
    file.write_bytes(file.read_bytes()[:-8])
    one_line(cli(*command), str(file), "truncated", "delete")
    (file.parent / "meta.json").write_text("{")
    one_line(cli(*command), str(file.parent), "damaged", "delete")


BAD_METHODS = """
import numpy as np
from maa_bench import FlatPolicies, MethodCard

class Base:
    card = MethodCard(name="bad", family="generator", summary="x")
    def __init__(self, scale="small"): ...
    def fit(self, training_set, context): self.spec = training_set.spec
    def flat(self, n): return np.zeros((n, self.spec.n_params), np.float32)

class Shape(Base):
    def generate(self, prompts, n, context): return FlatPolicies(self.spec, np.zeros((n, 3), np.float32))

class Nans(Base):
    def generate(self, prompts, n, context): return FlatPolicies(self.spec, self.flat(n) * np.nan)

class Nothing(Base):
    def generate(self, prompts, n, context): return None

class TooFew(Base):
    def generate(self, prompts, n, context): return FlatPolicies(self.spec, self.flat(n - 1))

class Raises(Base):
    def fit(self, training_set, context): raise ValueError("no\\nluck")
    def generate(self, prompts, n, context): ...

class NoCard(Base):
    card = None
    def generate(self, prompts, n, context): ...

class NoGenerate(Base): ...
"""


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Shape", ["generate for task 'goal-030'", "3"]),
        ("Nans", ["generate for task 'goal-030'", "NaN"]),
        ("Nothing", ["returned NoneType"]),
        ("TooFew", ["returned 2 candidates, not 3"]),
        ("Raises", ["fit raised ValueError: no luck"]),
    ],
)
def test_methods_that_break_their_contract(
    cli: Cli, tiny: list[str], warm_cache_copy: Path, tmp_path: Path, name: str, parts: list[str]
) -> None:
    """Their cells fail; the controls go on, are shown and recorded."""
    (tmp_path / "bad_methods.py").write_text(BAD_METHODS)
    command = [*tiny, "--method", f"bad_methods:{name}", "--cache-dir", warm_cache_copy]
    ended = cli(*command)
    assert ended.code == 1
    lines = [line for line in ended.err.splitlines() if line.startswith("FAILED")]
    assert len(lines) == 2, "a line a cell"
    for part in (f"bad_methods:{name}", *parts):
        assert part in lines[0]
    assert "Traceback" not in ended.err
    assert "random_seen" in ended.out
    recorded = {path.parent.parent.name for path in tmp_path.glob("results/*/*/record.json")}
    assert recorded == set(CONTROLS)

    again = cli(*command, "--json")
    assert again.code == 1
    assert again.out == "null\n"
    assert "failed before; --overwrite failed tries it again" in again.err


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("NoCard", ["card"]),
        ("NoGenerate", ["generate"]),
        ("Shap", ["has no 'Shap'", "'Shape'"]),
    ],
)
def test_bad_methods(
    cli: Cli, tiny: list[str], tiny_cache_copy: Path, tmp_path: Path, name: str, parts: list[str]
) -> None:
    (tmp_path / "bad_methods.py").write_text(BAD_METHODS)
    ended = cli(*tiny, "--method", f"bad_methods:{name}", "--cache-dir", tiny_cache_copy)
    one_line(ended, f"bad_methods{'' if name == 'Shap' else ':' + name}", *parts)
    assert not list(tmp_path.glob("results/*/*"))
    assert not list(tiny_cache_copy.glob("cells/*"))


def test_results_folder_that_cannot_be(cli: Cli, tiny: list[str], tiny_cache_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [*tiny, "--method", "random_seen", "--cache-dir", tiny_cache_copy, "--results-dir"]
    one_line(cli(*command, "file/results"), "file/results")
    one_line(cli(*command, "file"), "file")
    assert not (tiny_cache_copy / "cells").exists()  # said before the work, not after
    one_line(cli(*tiny, "--method", "random_seen", "--cache-dir", "file/cache"), "file/cache", "--cache-dir")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_results_folder(cli: Cli, tiny: list[str], tiny_cache_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir(mode=0o500)
    one_line(cli(*tiny, "--method", "random_seen", "--cache-dir", tiny_cache_copy), "results", "Permission denied")


def test_full_disk(cli: Cli, tiny: list[str], tiny_cache_copy: Path, tmp_path: Path) -> None:
    command = [*tiny, "--method", "random_seen", "--tasks", "goal-030", "--cache-dir", tiny_cache_copy]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # less than a cell's parameters
    try:
        ended = cli(*command)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    one_line(ended, "cannot write", str(tiny_cache_copy / "cells"))
    assert not [p for p in tmp_path.rglob(".*") if p.name != ".lock"], "nothing half-written"
    assert cli(*command, "--quiet").code == 0


def test_a_bug_is_one_line_and_a_traceback_with_debug(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[str]:
        raise RuntimeError("oh no")

    monkeypatch.setattr("maa_bench.suite.list_suites", broken)
    one_line(cli("list", "suites"), "bug", "RuntimeError: oh no", "--debug", code=1)
    with pytest.raises(RuntimeError, match="oh no"):
        cli("--debug", "list", "suites")
    with pytest.raises(RuntimeError, match="oh no"):
        cli("list", "suites", "--debug")


def test_errors_of_the_system_are_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(error: Exception) -> Ended:
        def raising() -> list[str]:
            raise error

        monkeypatch.setattr("maa_bench.suite.list_suites", raising)
        return cli("list", "suites")

    one_line(refuse(OSError(28, "No space left on device", "/x/y")), "cannot write /x/y: No space left", "--cache-dir")
    one_line(refuse(PermissionError(13, "Permission denied", "/x")), "cannot use /x: Permission denied")
    one_line(refuse(OSError("8 requested and 0 written")), "disk full?")
    one_line(refuse(MemoryError()), "out of memory", "--workers")
