"""docs/new-method.md, followed word for word: in an empty folder, with an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
import venv
from dataclasses import fields
from pathlib import Path

import pytest

import maa_bench
from maa_bench.method import TrainingSet
from maa_bench.prompts import Behaviors, PromptSet

pytestmark = pytest.mark.docs

ROOT = Path(maa_bench.__file__).parents[1]
GUIDE = (Path(__file__).parents[2] / "docs" / "new-method.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- (run|dry run) in tests(?:: (\S+))? -->\n```(\w+)\n(.*?)```", GUIDE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, reader_cache: Path) -> dict[str, str]:
    """A virtual environment that sees this one's packages, and into which pip installs without a network."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", symlinks=True)
    binaries = folder / "venv" / "bin"
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    # `addsitedir`, as a line of a .pth file alone would not read the .pth files over there.
    (site / "parent.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    for name, call in (
        ("pip", "from pip._internal.cli.main import main"),
        ("maa-bench", "from maa_bench.cli import main"),
    ):
        script = binaries / name
        run = "if __name__ == '__main__':\n    sys.exit(main())\n"
        script.write_text(f"#!{binaries / 'python'}\nimport sys\n{call}\n{run}")
        script.chmod(0o755)
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(binaries), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(reader_cache),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads any value of this one as that of `--build-isolation`
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stranger")


@pytest.fixture(scope="module")
def printed(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """What each command of the guide printed, all of them in their order."""
    outputs = {}
    for how, name, language, text in BLOCKS:
        if language == "python":
            (folder / name).write_text(text, encoding="utf-8")
            continue
        for line in text.splitlines():
            command = f"{line} --dry-run" if how == "dry run" else line
            outputs[line] = _run(command, folder, environment)
    return outputs


def _run(command: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def _row(table: str, name: str) -> list[str]:
    """The words of the first line that begins with `name`."""
    return next(line.split() for line in table.splitlines() if line.split()[:1] == [name])


def test_every_block_is_followed() -> None:
    assert len(BLOCKS) == GUIDE.count("```") // 2 == 9
    assert {language for _, _, language, _ in BLOCKS} == {"bash", "python"}


def test_the_files_are_those_that_the_guide_names(printed: dict[str, str]) -> None:
    named = re.findall(r"^\| `(my_method/\S+)` \|", GUIDE, flags=re.MULTILINE)
    written = printed["maa-bench new-method my_method"].split("\n\n")[0].splitlines()
    assert set(written) == {*named, "my_method/src/my_method/py.typed"}
    assert len(named) == 4


def test_it_is_listed_beside_ours(printed: dict[str, str]) -> None:
    listed = printed["maa-bench list methods"]
    assert _row(listed, "my_method")[1:3] == ["hypernetwork", "prompts"]
    assert _row(listed, "make_an_agent")


def test_its_first_row_stands_above_the_controls(printed: dict[str, str]) -> None:
    table = printed["maa-bench run --suite toy-v1 --split unseen --method my_method"]
    means = re.search(r"^aggregate +(\.\d\d) \S+ \S+ +(\.\d\d)", table, flags=re.MULTILINE)
    promised = re.search(r"a mean of about (\.\d\d)", GUIDE)
    assert means
    assert promised
    assert table.split().index("my_method") < table.split().index("random_seen")
    assert float(means[1]) == pytest.approx(float(promised[1]), abs=0.1)
    assert float(means[2]) < 0.05


def test_its_own_tests_pass(printed: dict[str, str]) -> None:
    assert re.search(r"^5 passed in ", printed["python -m pytest -q my_method"], flags=re.MULTILINE)


def test_what_is_changed_is_fitted_again_and_nothing_else(
    printed: dict[str, str], folder: Path, environment: dict[str, str]
) -> None:
    command = "maa-bench run --suite toy-v1 --split unseen --method my_method --dry-run"
    assert "to be fitted: nothing\nto do: 0 of 20 cells" in _run(command, folder, environment)
    source = folder / "my_method" / "src" / "my_method" / "__init__.py"
    source.write_text(source.read_text().replace("RIDGE = 0.01", "RIDGE = 0.02"))
    assert "to be fitted: my_method (seed 0)\nto do: 4 of 20 cells" in _run(command, folder, environment)


def test_both_rows_are_on_the_leaderboard(printed: dict[str, str], folder: Path) -> None:
    page = (folder / "leaderboard" / "index.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| (?:my_method|replay) \|", page, flags=re.MULTILINE)) >= 2


def test_the_real_suite_would_run(printed: dict[str, str]) -> None:
    plan = printed["maa-bench run --split unseen --method my_method"]
    assert "suite metaworld-v2, split unseen" in plan
    assert "to be fitted: my_method (seed 0)" in plan


def test_a_failure_reads_as_the_guide_says(folder: Path, printed: dict[str, str], environment: dict[str, str]) -> None:
    source = (folder / "replay.py").read_text(encoding="utf-8")
    broken = source.replace("        return Players(", '        raise ValueError("no idea")\n        return Players(')
    (folder / "broken.py").write_text(broken, encoding="utf-8")
    done = subprocess.run(
        ["bash", "-euc", "maa-bench run --suite toy-v1 --split unseen --method broken:Replay --quiet"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert (
        "FAILED replay, goal-030: method 'broken:Replay': generate for task 'goal-030' raised ValueError:"
        in done.stderr
    )


@pytest.mark.parametrize("kind", [TrainingSet, Behaviors, PromptSet], ids=lambda kind: kind.__name__)
def test_every_field_is_explained_and_no_other(kind: type) -> None:
    tables = [part for part in GUIDE.split("\n\n") if part.startswith(("| `TrainingSet`", "| `Behaviors`"))]
    if kind is PromptSet:
        (row,) = [line for line in GUIDE.splitlines() if line.startswith('| `"prompts"` |')]
        named = set(re.findall(r"`(\w+)`", row.split("|")[3])) - {"str", "Behaviors"}
    else:
        (table,) = [part for part in tables if part.startswith(f"| `{kind.__name__}`")]
        named = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert named == {field.name for field in fields(kind)}
