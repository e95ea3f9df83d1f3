"""The main job on real Meta-World, as a user runs it (heavy: minutes)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.simulator, pytest.mark.heavy]


def _run(folder: Path, cache: Path, *options: str) -> dict[str, bytes]:
    """Run and return the bytes of every episode table, by method."""
    command = [
        sys.executable,
        "-m",
        "maa_bench.cli",
        "run",
        "--json",
        "--results-dir",
        str(folder),
        "--cache-dir",
        str(cache),
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    return {path.parent.parent.name: path.read_bytes() for path in folder.glob("*/*/episodes.parquet")}


def _mean(folder: Path, method: str) -> dict[str, object]:
    (path,) = folder.glob(f"{method}/*/record.json")
    value: dict[str, object] = json.loads(path.read_text())["metrics"]["aggregate"]["mean"]
    return value


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_seen_split_reaches_what_the_readme_claims(tmp_path: Path, cache: Path) -> None:
    _run(tmp_path, cache, "--split", "seen")
    assert _mean(tmp_path, "make_an_agent")["value"] >= 0.9  # type: ignore[operator]


def test_unseen_split_beats_random_seen_by_more_than_its_interval(tmp_path: Path, cache: Path) -> None:
    _run(tmp_path, cache, "--split", "unseen")
    method, control = _mean(tmp_path, "make_an_agent"), _mean(tmp_path, "random_seen")
    assert method["ci"][0] > control["ci"][1]  # type: ignore[index]
    assert _mean(tmp_path, "expert")["value"] >= 0.95  # type: ignore[operator]


def test_one_and_two_workers_give_the_same_bytes(tmp_path: Path) -> None:
    options = ("--tasks", "window-close,reach-wall", "--candidates", "6", "--method", "nearest_checkpoint")
    one = _run(tmp_path / "r1", tmp_path / "c1", *options, "--workers", "1")
    two = _run(tmp_path / "r2", tmp_path / "c2", *options, "--workers", "2")
    assert one == two
    assert len(one) == 4
