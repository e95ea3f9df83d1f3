"""`maa-bench new-method`: what it writes is clean and works; what it refuses is one line, and nothing is written."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from refusals import refused

import maa_bench
from maa_bench import templates
from maa_bench.cli import main
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.registry import GROUP
from maa_bench.templates import FILES, class_name, write_method
from maa_bench.testing import ToyData

ROOT = Path(maa_bench.__file__).parents[1]
NAMES = ("m", "my_method", "a_name_as_long_as_any_name_may_ever_be_x")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_passes_our_ruff(here: Path, name: str) -> None:
    written = write_method(name, here / name)
    assert [path.relative_to(here / name).as_posix() for path in written] == [path.format(name=name) for path in FILES]
    assert not [path for path in written if "$" in path.read_text(encoding="utf-8")]
    project = tomllib.loads((here / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"][GROUP] == {name: f"{name}:{class_name(name)}"}
    ours = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]
    for command in (
        ["ruff", "check", "--no-cache", "--select", ",".join(ours["lint"]["select"]), "."],
        ["ruff", "format", "--no-cache", "--check", "."],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=here / name, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_typed_strictly(here: Path) -> None:
    write_method("my_method", here / "my_method")
    followed = "maa_bench.*,pytest.*,_pytest.*,safetensors.*"  # the rest is half a minute of reading torch and pandas
    (here / "mypy.ini").write_text(
        f"[mypy]\nstrict = true\nfollow_imports = skip\n[mypy-{followed}]\nfollow_imports = silent\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            str(here / "mypy.ini"),
            "--cache-dir",
            str(here / "mypy"),
            "src",
            "tests",
        ],
        cwd=here / "my_method",
        env={"MYPYPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_writes_where_it_is_told_and_says_what_next(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["new-method", "my_method"]) == 0
    out = capfd.readouterr().out
    assert "$ pip install -e './my_method[test]'" in out
    assert "$ maa-bench run --suite toy-v1 --split unseen --method my_method" in out
    elsewhere = here / "some where" / "mine"
    assert main(["new-method", "my_method", "--folder", str(elsewhere)]) == 0
    assert f"$ python -m pytest '{elsewhere}'" in capfd.readouterr().out
    for path in FILES:
        name = path.format(name="my_method")
        assert (here / "my_method" / name).read_bytes() == (elsewhere / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("My-Method", ("'My-Method'", "lower-case letters")),
        ("../up", ("'../up'",)),
        ("2nd", ("'2nd'",)),
        ("class", ("'class'",)),
        ("x" * 41, ("at most 40",)),
        ("all", ("'all'", "choose another")),
        ("none", ("'none'", "class None")),
        ("flat_policies", ("class FlatPolicies", "taken")),
        ("random_seen", ("'random_seen' is registered already", "list methods")),
        ("numpy", ("'numpy' is a Python module here",)),
        ("maa_bench", ("'maa_bench' is a Python module here",)),
        ("json", ("'json' is a Python module here",)),
        ("sys", ("'sys' is a Python module here",)),
    ],
)
def test_a_name_that_cannot_be_used(
    here: Path, capfd: pytest.CaptureFixture[str], name: str, parts: tuple[str, ...]
) -> None:
    code = main(["new-method", name])
    refused((code, *capfd.readouterr()), *parts)
    assert not list(here.iterdir())


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_there_is_left_alone(here: Path, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    target = here / "my_method"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(here / "nowhere")
    code = main(["new-method", "my_method"])
    refused((code, *capfd.readouterr()), "my_method is there already", "--folder")
    assert [path.name for path in here.iterdir()] == ["my_method"]
    assert kind != "folder" or not list(target.iterdir())


def test_nothing_is_half_written(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(template: str | None, names: dict[str, str]) -> str:
        if template == "test_method.py.in":
            raise OSError(28, "No space left on device")
        return ""

    monkeypatch.setattr(templates, "_rendered", full)
    with pytest.raises(OSError, match="No space left"):
        write_method("my_method", here / "my_method")
    assert not list(here.iterdir())


def test_what_the_skeleton_imports_is_taken() -> None:
    text = (ROOT / "maa_bench" / "templates" / "method" / FILES["src/{name}/__init__.py"]).read_text(encoding="utf-8")
    imported = {name for line in re.findall(r"^from .* import (.*)$", text, re.M) for name in line.split(", ")}
    assert {name for name in imported if name[0].isupper()} <= templates.TAKEN


def test_toy_data_is_what_methods_are_given(tiny_dataset: CheckpointDataset) -> None:
    data = ToyData(tiny_dataset, "unseen")
    assert set(data.training_set.task) == set(data.training_set.train_tasks)
    assert not set(data.test_tasks) & set(data.training_set.train_tasks)
    prompts = data.prompts(data.test_tasks[0], 3, seed=1)
    assert (prompts.task, len(prompts)) == (data.test_tasks[0], 3)
    assert prompts.sources == tiny_dataset.prompts(prompts.task, 3, 1).sources
    assert ToyData(tiny_dataset, "seen").test_tasks == data.training_set.train_tasks
