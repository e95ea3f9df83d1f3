"""Pictures of real Meta-World: something is on them, it moves as the arm does, and looking changes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from maa_bench import gl
from maa_bench.errors import DrawingError
from maa_bench.forward import PackedPolicy
from maa_bench.policy import initial_params
from maa_bench.suite import load_suite

pytest.importorskip("metaworld")

from maa_bench.simulators.metaworld import open_task
from maa_bench.simulators.metaworld.stock import StockTask

SUITE = load_suite("metaworld-v1")


def why_not() -> str:
    """Why nothing can be drawn here; empty if something can."""
    try:
        gl.choose()
    except DrawingError as error:
        return str(error)
    return ""


@pytest.fixture(autouse=True)
def _gl() -> None:
    if reason := why_not():
        pytest.skip(reason)


pytestmark = [pytest.mark.simulator, pytest.mark.filterwarnings("ignore:Constant")]


@cache
def opened(task: str) -> StockTask:
    return open_task(SUITE.task(task))


@pytest.mark.parametrize("task", SUITE.tasks)
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
    actions = np.random.default_rng(0).uniform(-1, 1, (60, 4))
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
