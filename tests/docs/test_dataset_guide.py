"""The blocks of docs/dataset.md that say so, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.docs

GUIDE = (Path(__file__).parents[2] / "docs" / "dataset.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- run in tests(?:: (\S+))? -->\n```(\w+)\n(.*?)```", GUIDE, flags=re.DOTALL)


def test_a_producer_of_ones_own(tmp_path: Path) -> None:
    (name, _, source), (_, _, command) = BLOCKS
    (tmp_path / name).write_text(source, encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    for line in (command.strip(), "maa-bench data verify --sample 20 $(ls -d cache/maa-bench/datasets/*)"):
        done = subprocess.run(
            ["bash", "-euc", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert "is sound" in done.stdout
