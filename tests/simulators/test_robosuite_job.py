"""A whole run on real robosuite, dataset included, as a user does it: small, by one worker and by two (heavy)."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from maa_bench.cli import main

pytest.importorskip("robosuite")

pytestmark = [pytest.mark.simulator, pytest.mark.heavy]

SMALL = """
[dataset.small]
train_runs = 1
per_run = 2
prompts_per_run = 2
partial_prompts = 0
episodes = 1

[dataset.small.experts]
demonstrations = 16
max_episode_steps = 60

[dataset.small.distill]
updates = 1200
first_checkpoint = 600
batch_size = 128
learning_rate = 2e-3
"""


@pytest.fixture(scope="module")
def small_suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite with a dataset of seconds, and episodes of 3 s."""
    folder = tmp_path_factory.mktemp("suite")
    tasks = files("maa_bench.tasks")
    text = (tasks / "robosuite-v1.toml").read_text(encoding="utf-8")
    text = re.sub(r"^\[dataset\.small\].*(?=^\[dataset\.paper\])", SMALL.lstrip() + "\n", text, flags=re.M | re.S)
    text = text.replace("horizon = 300", "horizon = 60").replace('name = "robosuite-v1"', 'name = "robosuite-small-v1"')
    layouts = "robosuite-v1.layouts.npz"
    (folder / layouts).write_bytes((tasks / layouts).read_bytes())
    (folder / "small.toml").write_text(text, encoding="utf-8")
    return folder / "small.toml"


def episodes(suite: Path, folder: Path, workers: int) -> dict[str, bytes]:
    """The bytes of every episode table of a run from an empty cache, by method."""
    what = ["--suite", str(suite), "--split", "unseen", "--tasks", "lift-sawyer", "--method", "nearest_checkpoint"]
    numbers = ["--shots", "2", "--candidates", "2", "--episodes", "2", "--select-episodes", "1"]
    places = ["--cache-dir", str(folder / "cache"), "--results-dir", str(folder / "results")]
    assert main(["run", *what, *numbers, *places, "--workers", str(workers), "--quiet"]) == 0
    return {path.parent.parent.name: path.read_bytes() for path in folder.glob("results/*/*/episodes.parquet")}


def test_one_and_two_workers_give_the_same_bytes(small_suite: Path, tmp_path: Path) -> None:
    one, two = (episodes(small_suite, tmp_path / str(workers), workers) for workers in (1, 2))
    assert set(one) == {"nearest_checkpoint", "random_seen", "random_weights", "expert"}
    assert one == two
