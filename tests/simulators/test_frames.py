"""Pictures of real Meta-World: something is on them, it moves as the arm does, and looking changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from maa_bench.cache import Cache, CellResult
from maa_bench.cli import main
from maa_bench.forward import PackedPolicy
from maa_bench.plan import make_plan
from maa_bench.policy import initial_params
from maa_bench.protocol import Protocol
from maa_bench.simulators import step_until_success
from maa_bench.suite import load_suite

pytest.importorskip("metaworld")

from gym_checks import why_nothing_is_drawn
from tiers import mostly_heavy

from maa_bench.simulators.metaworld import open_task
from maa_bench.simulators.metaworld.stock import StockTask

SUITE = load_suite("metaworld-v1")


@pytest.fixture(autouse=True)
def _gl() -> None:
    if reason := why_nothing_is_drawn():
        pytest.skip(reason)


pytestmark = [pytest.mark.simulator, pytest.mark.filterwarnings("ignore:Constant")]


@cache
def opened(task: str) -> StockTask:
    return open_task(SUITE.task(task))


@pytest.mark.parametrize("task", mostly_heavy(("window-close", "drawer-open", "plate-slide"), tuple(SUITE.tasks)))
def test_every_task_can_be_seen(task: str) -> None:
    simulator = opened(task)
    expert = simulator.expert()
    frames = []
    for layout in SUITE.layouts(task, "test")[:2]:
        obs = simulator.reset(layout)
        frames.append(simulator.frame(160, 120))
        for _ in range(20):
            obs, _ = simulator.step(expert.act(obs))
    frames.append(simulator.frame(160, 120))
    for frame in frames:
        assert frame.shape == (120, 160, 3)
        assert frame.dtype == np.uint8
        assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 500, "blank, or nearly so"
    first, other, later = (frame.astype(int) for frame in frames)
    assert (np.abs(later - other).max(axis=-1) > 40).mean() > 0.01, "the arm has moved"
    assert (other != first).any(), "another layout looks different"


def test_the_arm_stands_upright() -> None:
    """The camera hangs upside down in the model: the arm's base must be low on the left, its hand above the table."""
    simulator = opened("window-close")
    simulator.reset(SUITE.layouts("window-close", "test")[0])
    frame = simulator.frame(160, 120).astype(int)
    red = (frame[..., 0] > 90) & (frame[..., 1] < 50) & (frame[..., 2] < 50)
    rows, columns = np.nonzero(red)
    assert len(rows) > 500
    assert columns.mean() < 80
    assert columns[rows > 90].mean() < columns[rows < 60].mean(), "the arm leans from its base towards the table"


def test_a_frame_depends_on_the_state_alone() -> None:
    simulator, layout = opened("drawer-open"), SUITE.layouts("drawer-open", "test")[0]
    simulator.reset(layout)
    first = simulator.frame(160, 120)
    large = simulator.frame(800, 600)  # more than the model's own buffer of 640 x 480
    assert large.shape == (600, 800, 3)
    opened("window-close").frame(160, 120)
    simulator.step(np.ones(4))
    simulator.reset(layout)
    assert simulator.frame(160, 120).tobytes() == first.tobytes()
    fresh = open_task(SUITE.task("drawer-open"))
    fresh.reset(layout)
    assert fresh.frame(160, 120).tobytes() == first.tobytes()


@pytest.mark.parametrize("task", ["door-open", "plate-slide", "dial-turn"])
def test_drawing_changes_nothing(task: str) -> None:
    layout = SUITE.layouts(task, "test")[3]
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 4))
    policy = PackedPolicy(SUITE.policy, 2 * initial_params(SUITE.policy, np.random.default_rng(1)))
    seen, plain = open_task(SUITE.task(task)), open_task(SUITE.task(task))
    assert seen.reset(layout).tobytes() == plain.reset(layout).tobytes()
    for action in actions:
        seen.frame(64, 48)
        assert seen.step(action)[0].tobytes() == plain.step(action)[0].tobytes()
    traces = [simulator.trajectory(policy, layout, 60, 0, 60) for simulator in (seen, plain)]
    assert traces[0].observations.tobytes() == traces[1].observations.tobytes(), "the compiled loop afterwards"


@pytest.mark.parametrize("early", ["", "import mujoco; "])
def test_no_setting_is_needed_and_the_end_is_quiet(early: str) -> None:
    """MuJoCo itself reads MUJOCO_GL once, when it is imported, and its renderer complains as the interpreter ends."""
    code = early + (
        "from maa_bench.suite import load_suite; from maa_bench.simulators.metaworld import open_task; "
        "suite = load_suite('metaworld-v1'); task = open_task(suite.task('reach')); "
        "task.reset(suite.layouts('reach', 'test')[0]); print(task.frame(64, 48).std() > 20)"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")


def test_videos_of_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled loop measures, the plain loop is shown: a failure to the horizon and the expert's success."""
    monkeypatch.chdir(tmp_path)
    task, protocol = "window-close", Protocol(shots=1, candidates=2, episodes=1, select_episodes=1)
    simulator = opened(task)
    layouts = [SUITE.layouts(task, name)[0] for name in ("select", "test")]
    rng = np.random.default_rng(2)
    params = np.stack([initial_params(SUITE.policy, rng) for _ in range(2)])
    policies = [PackedPolicy(SUITE.policy, row) for row in params]
    measured = {
        "random_seen": ([[simulator.first_success(p, x, SUITE.horizon)[0] for x in layouts] for p in policies], params),
        "expert": ([[step_until_success(simulator, simulator.expert(), x, SUITE.horizon)[0] for x in layouts]], None),
    }
    assert measured["random_seen"][0] == [[-1, -1], [-1, -1]]
    for method, (first, kept) in measured.items():
        cell = make_plan([method], tasks=[task], protocol=protocol).cells[0]
        result = CellResult(np.array(first), kept, (), {"generate": 0.0, "evaluate": 0.0}, 1, 1.0, {})
        Cache(tmp_path / "cache").save_cell(cell.key, result)
        numbers = ["--shots", "1", "--candidates", "2", "--episodes", "1", "--select-episodes", "1"]
        look = ["--size", "96x64", "--fps", "2", "--format", "gif", "--quiet"]
        assert main(["render", "--method", method, "--task", task, "--cache-dir", "cache", *numbers, *look]) == 0
    names = sorted(path.name for path in Path("videos").iterdir())
    assert names == [
        "expert-window-close-seed0-grid-candidates0-0-layout0.gif",
        "expert-window-close-seed0-success-candidate0-layout0.gif",
        "random_seen-window-close-seed0-failure-candidate0-layout0.gif",
        "random_seen-window-close-seed0-grid-candidates0-1-layout0.gif",
    ]
    for name in names:
        with Image.open(Path("videos") / name) as video:
            pictures = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(video)]
        assert len(pictures) > 5
        views = [picture[-68:-4, 4:100] for picture in pictures]
        assert all(len(np.unique(view @ [1, 256, 65536])) > 100 for view in views), "blank, or nearly so"
        assert (np.abs(views[-1] - views[0]).max(axis=-1) > 40).mean() > 0.005, "nothing moves"
