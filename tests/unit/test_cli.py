"""The command line: what it prints, how it ends, and that every bad input is one clear line."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from maa_bench import __version__, registry
from maa_bench.cli import INTERRUPTED, main

MODULE = [sys.executable, "-m", "maa_bench.cli"]
CONTROLS = ["random_seen", "nearest_checkpoint", "random_weights", "expert"]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ended]


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


def one_line(ended: Ended, *parts: str, code: int = 2) -> None:
    """The command ended with one line of error that says `parts`, and no traceback."""
    assert ended.code == code, ended
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, ended.err
    assert ended.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in ended.err
    for part in parts:
        assert part in lines[0]


# Help, version, lists


def _commands(group: Any, path: Sequence[str] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield tuple(path), group
    for name, command in getattr(group, "commands", {}).items():
        yield from _commands(command, (*path, name))


def _all_commands() -> list[tuple[tuple[str, ...], Any]]:
    from maa_bench.cli.app import app

    return list(_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", [path for path, _ in _all_commands()], ids=lambda p: " ".join(p) or "root")
def test_every_help_page_has_examples(cli: Cli, path: tuple[str, ...]) -> None:
    ended = cli(*path, "--help")
    assert ended.code == 0
    assert "Examples:" in ended.out
    assert f"$ maa-bench {' '.join(path)}".rstrip() in ended.out


def test_every_example_parses() -> None:
    leaves = dict(_all_commands())
    examples = [
        line.removeprefix("$ maa-bench ").partition(" > ")[0]
        for _, command in _all_commands()
        for line in command.epilog.splitlines()
        if line.startswith("$ ")
    ]
    assert len(examples) > 15
    for example in examples:
        words = shlex.split(example)
        verb = next(tuple(words[:n]) for n in (3, 2, 1) if tuple(words[:n]) in leaves)
        try:
            leaves[verb].make_context("x", words[len(verb) :])  # raises if an option does not exist
        except typer.BadParameter as error:
            if not error.message.endswith("does not exist."):
                raise


def test_version_and_no_arguments(cli: Cli) -> None:
    assert cli("--version").out == f"maa-bench {__version__}\n"
    assert "Usage: maa-bench" in cli().out


def test_help_and_lists_import_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from maa_bench.cli import main\n"
        "def run(*lines): assert [main(line.split()) for line in lines] == [0] * len(lines)\n"
        "run('--help', 'run --help', 'data --help', '--version')\n"
        "assert 'numpy' not in sys.modules\n"
        "run('list methods', 'list suites', 'list tasks', 'list splits', 'list methods --json')\n"
        "heavy = 'torch metaworld mujoco gymnasium numba pandas datasets pyarrow scipy diffusers'.split()\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_list_methods(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row["name"]: row for row in json.loads(cli("list", "methods", "--json").out)}
    assert {"make_an_agent", *CONTROLS} <= set(rows)
    assert rows["make_an_agent"]["uses"] == "prompts"
    assert rows["expert"]["family"] == "ceiling"

    found = registry._entry_points()
    found["broken"] = [EntryPoint("broken", "no_such_package:Method", registry.GROUP)]
    monkeypatch.setattr(registry, "_entry_points", lambda: found)
    ended = cli("list", "methods")
    assert ended.code == 0
    assert "BROKEN" in ended.out
    assert "make_an_agent" in ended.out
    rows = {row["name"]: row for row in json.loads(cli("list", "methods", "--json").out)}
    assert "no_such_package" in rows["broken"]["error"]


def test_list_suites_tasks_splits(cli: Cli) -> None:
    suites = {row["name"]: row for row in json.loads(cli("list", "suites", "--json").out)}
    assert suites["metaworld-v1"]["splits"] == ["seen", "unseen"]
    tasks = json.loads(cli("list", "tasks", "--suite", "toy-v1", "--json").out)
    assert len(tasks) == 12
    unseen = [t["name"] for t in tasks if t["tested_in"] == ["unseen"]]
    assert unseen == ["goal-030", "goal-120", "goal-210", "goal-300"]
    only = json.loads(cli("list", "tasks", "--suite", "toy-v1", "--split", "seen", "--json").out)
    assert [t["name"] for t in only] == [t["name"] for t in tasks if t["name"] not in unseen]
    splits = json.loads(cli("list", "splits", "--suite", "toy-v1", "--json").out)
    assert [s["name"] for s in splits] == ["seen", "unseen"]
    for what in ("suites", "tasks", "splits"):
        assert "seen" in cli("list", what).out
    one_line(cli("list", "tasks", "--suite", "toy-v2"), "unknown suite 'toy-v2'", "toy-v1")
    one_line(cli("list", "tasks", "--split", "sene"), "no split 'sene'", "seen")


# The main job


def test_run_prints_tables_and_records(cli: Cli, tiny: list[str], tiny_cache: Path, tmp_path: Path) -> None:
    ended = cli(*tiny, "--method", "random_seen", "--cache-dir", tiny_cache, "--quiet")
    assert ended.code == 0
    assert ended.err == ""
    for part in ("mean: tiny, split unseen", "summary: tiny", "goal-030", "aggregate", *CONTROLS):
        assert part in ended.out
    records = [line.strip() for line in ended.out.splitlines() if line.endswith("record.json")]
    assert len(records) == 4
    for record in records:
        assert (tmp_path / record).is_file()
    board = cli("leaderboard")
    assert board.code == 0
    assert "random_seen" in (tmp_path / "leaderboard" / "index.md").read_text()
    assert (tmp_path / "leaderboard" / "table.csv").is_file()


def test_json_is_the_record_and_nothing_else(cli: Cli, tiny: list[str], tiny_cache: Path, tmp_path: Path) -> None:
    ended = cli(*tiny, "--method", "random_seen", "--cache-dir", tiny_cache, "--json")
    record = json.loads(ended.out)
    (file,) = tmp_path.glob("results/random_seen/*/record.json")
    assert record == json.loads(file.read_text())


def test_json_of_several_is_a_list(cli: Cli, tiny: list[str], tiny_cache: Path, tmp_path: Path) -> None:
    two = ["--method", "random_weights", "--method", "random_seen"]
    same = ["--cache-dir", str(tiny_cache), "--tasks", "goal-030,goal-210"]
    ended = cli(*tiny, *two, *same, "--json")
    assert [r["method"]["name"] for r in json.loads(ended.out)] == ["random_weights", "random_seen"]
    commas = json.loads(cli(*tiny, "--method", "random_weights, random_seen", *same, "--json").out)
    assert [r["method"]["name"] for r in commas] == ["random_weights", "random_seen"]
    every = ["--method", "random_seen", "--split", "all", "--tasks", "goal-000", "--tasks", "goal-030"]
    records = json.loads(cli(*tiny, *every, "--cache-dir", tiny_cache, "--json").out)
    assert [(r["split"]["name"], r["split"]["test"]) for r in records] == [
        ("seen", ["goal-000"]),
        ("unseen", ["goal-030"]),
    ]
    assert len(list(tmp_path.glob("results/expert/*/record.json"))) == 3


def test_all_names_what_is_broken_and_goes_on(
    cli: Cli, tiny: list[str], tiny_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = [entry for entry in registry.entry_points(group=registry.GROUP) if entry.name in ("single_task", *CONTROLS)]
    broken = EntryPoint("broken", "no_such_package:Method", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [*ours, broken])
    command = [*tiny, "--method", "all", "--cache-dir", tiny_cache]
    dry = cli(*command, "--dry-run")
    assert dry.code == 0
    assert "cannot be run: broken: cannot import method 'no_such_package:Method'" in dry.out
    ended = cli(*command)
    assert ended.code == 1
    (failed,) = (line for line in ended.err.splitlines() if line.startswith("FAILED"))
    assert failed.startswith("FAILED broken: cannot import method 'no_such_package:Method'")
    assert {path.parent.parent.name for path in tmp_path.glob("results/*/*/record.json")} == {"single_task", *CONTROLS}
    assert "single_task" in ended.out
    records = json.loads(cli(*command, "--json").out)
    assert [record and record["method"]["name"] for record in records] == ["single_task", *CONTROLS, None]


def test_dry_run_counts_and_does_nothing(cli: Cli, tiny: list[str], tiny_cache_copy: Path, tmp_path: Path) -> None:
    command = [*tiny, "--method", "random_seen", "--tasks", "goal-030", "--cache-dir"]
    (plan,) = json.loads(cli(*command, tmp_path / "none", "--dry-run", "--json").out)
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "results").exists()
    assert not plan["dataset"]["cached"]
    assert [cell["method"] for cell in plan["cells"]] == CONTROLS
    # 3 candidates, one for the expert, on 4 + 3 layouts of 100 steps
    assert [cell["episodes"] for cell in plan["cells"]] == [21, 21, 21, 7]
    assert plan["to_do"] == {"cells": 4, "episodes": 70, "max_steps": 7000}
    assert [fit["method"] for fit in plan["fits"]] == CONTROLS

    assert cli(*command, tiny_cache_copy, "--quiet").code == 0
    (plan,) = json.loads(cli(*command, tiny_cache_copy, "--dry-run", "--json").out)
    assert plan["dataset"]["cached"]
    assert plan["to_do"] == {"cells": 0, "episodes": 0, "max_steps": 0}
    assert plan["fits"] == []
    text = cli(*command, tiny_cache_copy, "--dry-run", "--candidates", "2").out
    assert "to do: 4 of 4 cells, 49 episodes, at most 4900 environment steps" in text


def test_data_build_and_info(cli: Cli, edit_suite: Callable[..., Path], tmp_path: Path) -> None:
    def smaller(data: dict[str, Any]) -> None:
        data["dataset"]["small"].update(per_run=2, train_runs=1)

    options = ["--suite", edit_suite(smaller), "--cache-dir", tmp_path / "cache"]
    one_line(cli("data", "info", *options), "no dataset", "data build")
    assert not (tmp_path / "cache").exists()
    built = cli("data", "build", *options, "--workers", "1")
    assert built.code == 0
    assert "checkpoints: 32/32 checkpoints" in built.err
    folder = built.out.strip()
    info = json.loads(cli("data", "info", *options, "--json").out)
    assert info["folder"] == folder
    assert info["bytes"] > 10_000
    assert [task["task"] for task in info["tasks"]][:2] == ["goal-000", "goal-090"]
    assert [run["run"] for run in info["tasks"][0]["runs"]] == ["train-00", "prompt-00", "prompt-01"]
    assert sum(run["rows"] for run in info["tasks"][0]["runs"]) == info["tasks"][0]["rows"]
    assert {run["role"] for run in info["tasks"][-1]["runs"]} == {"prompt"}
    text = cli("data", "info", *options).out
    assert info["id"] in text
    assert "goal-210" in text

    shard = Path(folder) / "checkpoints/goal-090/train-00.parquet"
    shard.write_bytes(shard.read_bytes()[:-100])
    one_line(cli("data", "info", *options), str(shard), "truncated")
    shard.unlink()
    one_line(cli("data", "info", *options), str(shard), "data build")
    again = cli("data", "build", *options, "--workers", "1", "--quiet")
    assert (again.code, again.err) == (0, "")
    assert json.loads(cli("data", "info", *options, "--json").out) == info


# Bad input


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
        (["run", "--split", "seen", "--tasks", "window-close"], ["split 'seen' does not test 'window-close'"]),
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
        (["doctor", "--sute", "toy-v1"], ["No such option: --sute", "--suite"]),
    ],
    ids=" ".join,
)
def test_bad_arguments(cli: Cli, tmp_path: Path, args: list[str], parts: list[str]) -> None:
    one_line(cli(*args, *(["--cache-dir", tmp_path / "c"] if args[0] == "run" else [])), *parts)
    assert list(tmp_path.iterdir()) == []


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
    cli: Cli, tiny: list[str], tiny_cache_copy: Path, tmp_path: Path, name: str, parts: list[str]
) -> None:
    """Their cells fail; the controls go on, are shown and recorded."""
    (tmp_path / "bad_methods.py").write_text(BAD_METHODS)
    command = [*tiny, "--method", f"bad_methods:{name}", "--cache-dir", tiny_cache_copy]
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


# Processes

OUTSIDER = """
import sys, time, warnings
from pathlib import Path
import numpy as np
from maa_bench import FlatPolicies, MethodCard

class Noisy:
    card = MethodCard(name="noisy", family="generator", summary="prints and warns")
    def __init__(self, scale="small"): ...
    def fit(self, training_set, context):
        print("printed by fit")
        warnings.warn("warned by fit")
        self.spec = training_set.spec
    def generate(self, prompts, n, context):
        return FlatPolicies(self.spec, np.zeros((n, self.spec.n_params), np.float32))

def wait():
    Path("waiting").touch()
    while not Path("go").exists():
        time.sleep(0.05)

class SlowFit(Noisy):
    def fit(self, training_set, context):
        wait()
        self.spec = training_set.spec

class Lazy:
    def reset(self): ...
    def act(self, obs):
        wait()
        return np.zeros(2)

class Slow:
    def __init__(self, n): self.n = n
    def __len__(self): return self.n
    def agent(self, index): return Lazy()

class SlowEpisodes(Noisy):
    def fit(self, training_set, context): ...
    def generate(self, prompts, n, context): return Slow(n)
"""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a stranger's module in it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "stranger.py").write_text(OUTSIDER)
    return folder


def _alive(group: int) -> list[int]:
    """Processes of a group, zombies aside."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


def test_workers_import_from_here_and_stdout_stays_pure(tiny: list[str], tiny_cache_copy: Path, outside: Path) -> None:
    script = Path(sys.executable).with_name("maa-bench")
    options = ["--method", "stranger:Noisy", "--tasks", "goal-030", "--workers", "2", "--json"]
    done = subprocess.run(
        [script, *tiny, *options, "--cache-dir", tiny_cache_copy], cwd=outside, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["method"]["name"] == "noisy"
    assert "printed by fit" in done.stderr
    assert "warned by fit" not in done.stderr


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("method", "cached", "ready"),
    [
        ("random_seen", False, lambda folder, cache: list(cache.glob("datasets/*"))),
        # The controls' four cells are done by then: they must be kept.
        ("stranger:SlowFit", True, lambda folder, cache: len(list(cache.glob("cells/[0-9a-f]*"))) == 4),
        ("stranger:SlowEpisodes", True, lambda folder, cache: (folder / "waiting").exists()),
    ],
    ids=["dataset", "fit", "evaluate"],
)
def test_ctrl_c_and_going_on(
    tiny: list[str],
    tiny_cache_copy: Path,
    tmp_path: Path,
    outside: Path,
    method: str,
    cached: bool,
    ready: Callable[[Path, Path], bool],
) -> None:
    cache = tiny_cache_copy if cached else tmp_path / "empty"
    command = [*MODULE, *tiny, "--method", method, "--tasks", "goal-030", "--cache-dir", str(cache), "--json"]
    running = subprocess.Popen(
        [*command, "--workers", "2"],
        cwd=outside,
        start_new_session=True,
        # Started in the background of a script, pytest is told to ignore Ctrl-C, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not ready(outside, cache):
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        out, err = running.communicate(timeout=30)
        assert running.returncode == 130, err
        assert out == ""
        assert "Traceback" not in err
        assert err.splitlines()[-1] == INTERRUPTED
        deadline = time.monotonic() + 10
        while _alive(running.pid):
            assert time.monotonic() < deadline, "a worker was left behind"
            time.sleep(0.05)
    finally:
        for pid in _alive(running.pid):
            os.kill(pid, signal.SIGKILL)
    assert not (outside / "results" / "expert").exists()
    kept = {path: path.stat().st_ino for path in cache.glob("cells/[0-9a-f]*/meta.json")}
    assert bool(kept) or method != "stranger:SlowFit"

    (outside / "go").touch()
    done = subprocess.run(command, cwd=outside, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["split"]["test"] == ["goal-030"]
    assert all(path.stat().st_ino == inode for path, inode in kept.items()), "finished cells were done again"


def test_a_closed_pipe_is_quiet() -> None:
    for args in (["list", "tasks", "--json"], ["list", "tasks"]):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as closed:
            done = subprocess.run([*MODULE, *args], stdout=closed, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (1, "")
