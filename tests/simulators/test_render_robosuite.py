"""`maa-bench render` on real robosuite: a video lasts as long as the episode did in the simulated world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from maa_bench.cache import Cache, CellResult
from maa_bench.cli import main
from maa_bench.plan import make_plan
from maa_bench.protocol import Protocol
from maa_bench.suite import load_suite

pytest.importorskip("robosuite")

from gym_checks import why_nothing_is_drawn

pytestmark = [pytest.mark.simulator]

SUITE = load_suite("robosuite-v1")
TASK = "lift-panda"


def test_a_whole_episode_plays_in_real_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A policy whose outputs are all 0 holds the arm where it is, for the 15 s of the horizon."""
    if reason := why_nothing_is_drawn():
        pytest.skip(reason)
    monkeypatch.chdir(tmp_path)
    split = next(name for name, split in SUITE.splits.items() if TASK in split.test)
    protocol = Protocol(shots=1, candidates=1, episodes=1, select_episodes=1)
    cell = make_plan(["random_seen"], SUITE.name, split, [TASK], protocol).cells[0]
    params = np.zeros((1, SUITE.policy.n_params), np.float32)
    result = CellResult(np.full((1, 2), -1), params, (), {"generate": 0.0, "evaluate": 0.0}, 1, 1.0, {})
    Cache(tmp_path / "cache").save_cell(cell.key, result)
    numbers = ["--shots", "1", "--candidates", "1", "--episodes", "1", "--select-episodes", "1"]
    what = ["--suite", SUITE.name, "--split", split, "--method", "random_seen", "--task", TASK, "--what", "failure"]
    look = ["--size", "64x64", "--format", "gif", "--quiet"]
    assert main(["render", *what, "--cache-dir", "cache", *numbers, *look]) == 0
    assert "20 steps a second (real time)" in capsys.readouterr().out
    with Image.open(next(Path("videos").iterdir())) as video:
        shown = sum(frame.info["duration"] for frame in ImageSequence.Iterator(video))
    seconds = SUITE.horizon * 25 * 0.002  # substeps of 2 ms
    assert shown / 1000 == pytest.approx(seconds + 0.05 + 1)  # the start is a picture, too; the last one stays a second
