"""The blocks of docs/gymnasium.md, run as they stand; what their comments say is printed is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "gymnasium.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- run in tests -->\n```python\n(.*?)```", GUIDE, flags=re.DOTALL)

pytestmark = pytest.mark.docs


def test_every_python_block_is_run() -> None:
    assert len(BLOCKS) == GUIDE.count("```python") == 5


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[subprocess.CompletedProcess[str]]:
    """How each block ended; two are run at a time."""

    def give(text: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path_factory.mktemp("reader")
        (folder / "block.py").write_text(text, encoding="utf-8")
        command = [sys.executable, "-W", "error::UserWarning", "block.py"]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)

    with ThreadPoolExecutor(2) as readers:
        return list(readers.map(give, BLOCKS))


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs_without_a_warning(printed: list[subprocess.CompletedProcess[str]], number: int) -> None:
    done = printed[number]
    assert done.returncode == 0, done.stderr
    for promised in re.findall(r"^ *print\(.*\)  # (\{.*?\}|\(.*?\)|[\d.]+)", BLOCKS[number], flags=re.MULTILINE):
        assert promised in done.stdout.splitlines()


def test_the_guide_names_the_arguments_and_their_defaults() -> None:
    import inspect

    from maa_bench.gym_env import TaskEnv

    options = {p.name: p.default for p in inspect.signature(TaskEnv).parameters.values() if p.kind is p.KEYWORD_ONLY}
    table = GUIDE.partition("| argument of `gym.make`")[2].partition("\n\n")[0]
    for name, default in options.items():
        (row,) = [line for line in table.splitlines() if f"`{name}`" in line.split("|")[1]]
        assert str(default) in row.split("|")[2].replace('"', "").replace("`", "")
