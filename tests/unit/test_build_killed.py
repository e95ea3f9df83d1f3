"""A build that is killed again and again, at any moment, ends with the bytes of one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_dataset_build import shared_files

from maa_bench.dataset.store import CheckpointDataset

KILLS = 10


@pytest.mark.heavy
def test_a_build_killed_ten_times_ends_with_the_same_bytes(
    tiny_suite: Path, tiny_dataset: CheckpointDataset, tmp_path: Path
) -> None:
    """The whole process group dies, as when memory runs out or a batch system loses patience."""
    command = [sys.executable, "-m", "maa_bench.cli", "data", "build", "--suite", str(tiny_suite), "--workers", "2"]
    command += ["--cache-dir", str(tmp_path / "cache"), "--quiet"]
    rng = random.Random(0)
    kills, longest = 0, 12.0
    while kills < KILLS:
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(0.5, longest))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            time.sleep(0.2)  # workers notice the end of their pipe
            kills += 1
        else:
            assert process.returncode == 0
            longest *= 0.7  # done already: kill earlier, from the beginning again
            for path in (tmp_path / "cache" / "datasets").glob("*/*"):
                if path.name == "manifest.json":
                    path.unlink()
            for path in (tmp_path / "cache" / "datasets").glob("*/checkpoints/*/*.parquet"):
                path.unlink()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (folder,) = (tmp_path / "cache" / "datasets").iterdir()
    assert shared_files(folder) == shared_files(tiny_dataset.folder)
