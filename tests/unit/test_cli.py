"""The command line: what it prints, and how it ends when all goes well."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import CONTROLS, Cli, one_line

from maa_bench import __version__, registry

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
