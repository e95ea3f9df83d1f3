"""The blocks of docs/gymnasium.md, run as they stand; what their comments say is printed is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "gymnasium.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- run in tests -->\n```python\n(.*?)```", GUIDE, flags=re.DOTALL)

pytestmark = pytest.mark.docs


def test_every_python_block_is_run() -> None:
    assert len(BLOCKS) == GUIDE.count("```python") == 5


@pytest.mark.parametrize("text", BLOCKS, ids=[f"block{i}" for i in range(len(BLOCKS))])
def test_block_runs_without_a_warning(text: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(text, encoding="utf-8")
    command = [sys.executable, "-W", "error::UserWarning", str(script)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for promised in re.findall(r"^ *print\(.*\)  # (\{.*?\}|\(.*?\)|[\d.]+)", text, flags=re.MULTILINE):
        assert promised in done.stdout.splitlines()


def test_the_guide_names_the_arguments_and_their_defaults() -> None:
    import inspect

    from maa_bench.gym_env import TaskEnv

    options = {p.name: p.default for p in inspect.signature(TaskEnv).parameters.values() if p.kind is p.KEYWORD_ONLY}
    table = GUIDE.partition("| argument of `gym.make`")[2].partition("\n\n")[0]
    for name, default in options.items():
        (row,) = [line for line in table.splitlines() if f"`{name}`" in line.split("|")[1]]
        assert str(default) in row.split("|")[2].replace('"', "").replace("`", "")
