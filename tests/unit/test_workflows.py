"""The workflows of the repository: they parse, what they run exists, and a pull request cannot judge itself."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from maa_bench.cli.app import app

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(path: Path) -> dict[str, Any]:
    """A workflow; YAML 1.1 takes its key `on` for a truth value."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {("on" if key is True else key): value for key, value in found.items()}


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


RESULTS = read(ROOT / ".github" / "workflows" / "results.yml")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_parse_and_their_commands_exist(path: Path) -> None:
    workflow = read(path)
    assert {"name", "on", "jobs"} <= set(workflow)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for step in steps(workflow):
        assert ("run" in step) != ("uses" in step)
        for line in step.get("run", "").splitlines():
            program, *words = shlex.split(line)
            if program in scripts:
                options = {option for given in commands[words[0]].params for option in given.opts}
                assert {word for word in words if word.startswith("--")} <= options
            elif program == "bash":
                assert (ROOT / words[0]).is_file()
            elif program == "pip" and "-c" in words:
                (constraints,) = (words[i + 1] for i, word in enumerate(words) if word == "-c")
                assert (ROOT / constraints).is_file()


def test_the_judge_is_the_base_branches() -> None:
    assert list(RESULTS["on"]) == ["pull_request_target"], "`pull_request` would run the workflow of the pull request"
    checkouts = {
        s["with"]["path"]: s["with"] for s in steps(RESULTS) if s.get("uses", "").startswith("actions/checkout@")
    }
    assert set(checkouts) == {"judge", "submission"}
    assert "ref" not in checkouts["judge"], "the default of `pull_request_target`: the base branch"
    assert checkouts["submission"]["ref"] == "refs/pull/${{ github.event.pull_request.number }}/head"
    runs = [step for step in steps(RESULTS) if "run" in step]
    assert {step["working-directory"] for step in runs} == {"judge"}, "nothing runs in, or is installed from, the other"
    assert [step["run"] for step in runs if "submission" in step["run"]] == [
        'maa-bench validate ../submission/results --base "$BASE"'
    ]


def test_nothing_can_be_taken_or_slipped_in() -> None:
    assert RESULTS["permissions"] == {"contents": "read"}
    text = (ROOT / ".github" / "workflows" / "results.yml").read_text(encoding="utf-8")
    assert "secrets" not in text.replace("no secrets", "")
    for step in steps(RESULTS):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), "pinned to a commit"
        assert "${{" not in step.get("run", ""), "words of a pull request reach a shell through the environment only"
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
