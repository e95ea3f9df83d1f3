"""`maa-bench render` on the toy suite: what is shown is what was measured, and the files hold it."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from maa_bench.cache import Cache, CellFailure, CellResult
from maa_bench.cli import main
from maa_bench.episodes import FailedEpisode
from maa_bench.errors import DrawingError
from maa_bench.evaluator import EpisodeJob
from maa_bench.forward import PackedPolicy
from maa_bench.method import FlatPolicies
from maa_bench.named_protocol import load_protocol
from maa_bench.plan import make_plan
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.simulators import EpisodeError, simulator_of, step_until_success, toy
from maa_bench.video import encode
from maa_bench.video.cells import find_cell, run_command
from maa_bench.video.job import HOLD_SECONDS, MOVING_SECONDS, Look, render
from maa_bench.video.picture import BORDER, FAILED, RUNNING, SUCCEEDED

TASK = "goal-030"
AWAY, THERE = (-1.0, 0.2), (1.0, 0.5)
"""Outputs of policies that do not look: the goal lies at 30 degrees."""


class Made:
    """A cache that holds one cell, and what it says."""

    def __init__(self, suite: Path, protocol: Protocol, folder: Path, method: str = "random_seen") -> None:
        self.suite, self.folder, self.method = suite, folder, method
        self.plan = make_plan([method], str(suite), "unseen", [TASK], protocol)
        self.spec = self.plan.suite.policy
        self.simulator = simulator_of(self.plan.suite).open_task(self.plan.suite.task(TASK))
        sets = self.plan.layouts()
        self.layouts = [x for name, count in sets for x in self.plan.suite.layouts(TASK, name)[:count]]

    def policies(self, outputs: list[tuple[float, float]]) -> np.ndarray:
        params = np.zeros((len(outputs), self.spec.n_params), np.float32)
        bias = next(tensor for tensor in self.spec.tensors if tensor.name == "mean.bias")
        params[:, bias.start : bias.stop] = outputs
        return params

    def measured(self, params: np.ndarray) -> np.ndarray:
        agents = [PackedPolicy(self.spec, row) for row in params]
        horizon = self.plan.suite.horizon
        return np.array([[self.simulator.first_success(a, x, horizon)[0] for x in self.layouts] for a in agents])

    def save(self, first: np.ndarray, params: np.ndarray | None, failures: tuple[FailedEpisode, ...] = ()) -> None:
        cell = CellResult(first, params, failures, {"generate": 0.0, "evaluate": 0.0}, 1, 1.0, {})
        Cache(self.folder).save_cell(self.plan.cells[0].key, cell)

    def command(self, *more: str) -> list[str]:
        numbers = ["--shots", "4", "--candidates", "3", "--episodes", "4", "--select-episodes", "3"]
        where = ["--suite", str(self.suite), "--cache-dir", str(self.folder), "--method", self.method]
        return ["render", *where, *numbers, "--task", TASK, "--format", "gif", *more]


@pytest.fixture
def made(tiny_suite: Path, tiny_protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Three candidates: the first and the last go away, the second goes to the goal."""
    monkeypatch.chdir(tmp_path)
    cell = Made(tiny_suite, tiny_protocol, tmp_path / "own")
    params = cell.policies([AWAY, THERE, AWAY])
    first = cell.measured(params)
    assert first[1, 3] > 0, "on the first test layout; three select layouts come before it"
    assert (first[[0, 2]] == -1).all()
    cell.save(first, params)
    return cell


def frames(path: Path) -> tuple[np.ndarray, list[int]]:
    """Pictures of a gif (n, height, width, 3) int64, and how long each is shown in ms."""
    with Image.open(path) as image:
        shown = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(image)]
    return np.stack([pixels for pixels, _ in shown]).astype(int), [duration for _, duration in shown]


def near(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(pixels - colour) < 12).all(axis=-1)


def test_first_success_first_failure_and_a_grid(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(made.command("--json", "--fps", "20")) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["missing"] == []
    success, failure, grid = report["videos"]
    step = int(Cache(made.folder).load_cell(made.plan.cells[0].key).first_success[1, 3])
    assert success["episodes"] == [{"candidate": 1, "layout": 0, "first_success_step": step, "broke_off": None}]
    assert failure["episodes"] == [{"candidate": 0, "layout": 0, "first_success_step": -1, "broke_off": None}]
    assert [e["candidate"] for e in grid["episodes"]] == [0, 1, 2]
    assert Path(success["file"]).name == "random_seen-goal-030-seed0-success-candidate1-layout0.gif"
    for video, steps in ((success, step), (failure, 100), (grid, 100)):
        pictures, durations = frames(Path(video["file"]))
        assert video["steps_per_frame"] == 1
        assert video["frames"] == steps + 1 + 20 * HOLD_SECONDS
        assert sum(durations) == video["frames"] * 50
        assert len(pictures) == steps + 1, "each step is another picture, and the last one stays"
        assert all(len(np.unique(picture @ [1, 256, 65536])) > 5 for picture in pictures), "blank"
    assert sorted(Path("videos").iterdir()) == sorted(Path(video["file"]) for video in report["videos"])


def test_what_is_seen_is_the_episode(made: Made) -> None:
    """The mass comes to the goal's circle exactly in the picture of the first success; then the border is green."""
    assert main(made.command("--what", "success", "--size", "200x200")) == 0
    pictures, _ = frames(next(Path("videos").iterdir()))
    edge = pictures[:, -BORDER - 50, 1]
    assert near(edge[:-1], RUNNING).all()
    assert near(edge[-1], SUCCEEDED)
    views = pictures[:, -200 - BORDER : -BORDER, BORDER : 200 + BORDER]
    mass = [np.argwhere(near(view, (30, 40, 90))).mean(axis=0) for view in views]
    goal = np.array([100 - np.sin(np.pi / 6) / 0.015, 100 + np.cos(np.pi / 6) / 0.015])  # 3 units in 200 pixels
    distances = np.linalg.norm(np.array(mass) - goal, axis=1) * 0.015
    assert (np.diff(distances) < 0).all()
    assert distances[-2] > 0.1 - 0.01
    assert distances[-1] < 0.1 + 0.01


def test_a_grid_shows_who_succeeds(made: Made) -> None:
    assert main(made.command("--what", "grid", "--tiles", "2", "--size", "100x80")) == 0
    (path,) = Path("videos").iterdir()
    pictures, _ = frames(path)
    middle = pictures[-1, -40]
    assert near(middle[1], FAILED)
    assert near(middle[100 + 2 * BORDER + 1], SUCCEEDED)
    assert pictures.shape[2] == 2 * (100 + 2 * BORDER)


def test_a_long_episode_is_a_short_video(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(made.command("--what", "failure", "--fps", "5", "--json")) == 0
    (video,) = json.loads(capfd.readouterr().out)["videos"]
    assert video["steps_per_frame"] == 4
    assert video["frames"] == 5 * (MOVING_SECONDS + HOLD_SECONDS) + 1
    assert len(frames(Path(video["file"]))[0]) == 26


@pytest.mark.parametrize(
    ("hz", "fps", "every"),
    [(20, 20, 1), (10, 10, 1), (80, 10, 2), (12, 4, 3), (4, 4, 1)],
    ids=["in time", "long, in time", "slower", "in time by every third step", "very long, in time"],
)
def test_no_video_is_faster_than_real_time(
    made: Made, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, hz: int, fps: int, every: int
) -> None:
    """100 steps of a simulator that makes `hz` a second."""
    monkeypatch.setattr(toy, "CONTROL_HZ", hz)
    assert main(made.command("--what", "failure", "--fps", str(fps), "--json")) == 0
    (video,) = json.loads(capfd.readouterr().out)["videos"]
    assert video["steps_per_frame"] == every
    assert video["speed"] == every * fps / hz <= 1
    pictures, durations = frames(Path(video["file"]))
    assert len(pictures) == -(-100 // every) + 1
    shown = sum(durations) / 1000 - HOLD_SECONDS - 1 / fps  # the start, before any step, is a picture, too
    assert shown == pytest.approx(100 / hz / video["speed"], rel=0.03)


def test_the_same_command_gives_the_same_bytes(made: Made) -> None:
    for folder in ("one", "two"):
        assert main(made.command("--out", folder, "--size", "64x64")) == 0
    one, two = ({p.name: p.read_bytes() for p in Path(folder).iterdir()} for folder in ("one", "two"))
    assert len(one) == 3
    assert one == two


def test_mp4(made: Made) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="pip install 'maa-bench[video]'")
    arguments = ["--what", "success", "--size", "101x65", "--format", "mp4"]
    for folder in ("one", "two"):
        assert main(made.command(*arguments, "--out", folder)) == 0
    ((one,), (two,)) = (list(Path(folder).iterdir()) for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    step = int(Cache(made.folder).load_cell(made.plan.cells[0].key).first_success[1, 3])
    assert imageio_ffmpeg.count_frames_and_secs(one)[0] == step + 1 + 20
    reader = imageio_ffmpeg.read_frames(one)
    about = next(reader)
    width, height = about["size"]
    assert about["fps"] == toy.CONTROL_HZ, "in real time"
    assert (width % 2, height % 2) == (0, 0)
    pictures = np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]).astype(int)
    assert (pictures[0] != pictures[step]).any()
    assert (np.abs(pictures[step, height // 2, 1] - SUCCEEDED) < 40).all()


@pytest.mark.parametrize(("shift", "says"), [(-1, "does not succeed"), (1, "succeeds")])
def test_a_cell_that_was_not_so_is_not_shown(
    made: Made, capfd: pytest.CaptureFixture[str], shift: int, says: str
) -> None:
    params = made.policies([AWAY, THERE, AWAY])
    first = made.measured(params)
    first[1, 3] += shift
    made.save(first, params)
    assert main(made.command("--what", "success", "--quiet")) == 2
    (error,) = capfd.readouterr().err.splitlines()
    assert f"{TASK}, candidate 1, test layout 0: here step" in error
    assert f" {says}, but the cached run has its first success at step {first[1, 3]}" in error
    assert list(Path("videos").iterdir()) == []


def test_an_episode_that_broke_off_ends_there(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    """A policy whose action is NaN at once: the start is all there is to see."""
    params = made.policies([THERE, (3e38, 0.0)])
    weights = next(tensor for tensor in made.spec.tensors if tensor.name == "mean.weight")
    params[1, weights.start : weights.stop] = 3e38  # sums overflow, infinities cancel
    others = params[1] == 0
    params[1, others] = 3e38
    params[1, weights.start + 1 : weights.stop : 2] = -3e38
    layout = made.layouts[3]
    with pytest.raises(EpisodeError) as error:
        made.simulator.first_success(PackedPolicy(made.spec, params[1]), layout, 100)
    first = np.full((2, 7), -1)
    first[0] = made.measured(params[:1])[0]
    made.save(first, params, (FailedEpisode(1, "test", 0, error.value.reason),))
    assert main(made.command("--what", "grid", "--json")) == 0
    (video,) = json.loads(capfd.readouterr().out)["videos"]
    assert video["episodes"][1]["broke_off"] == error.value.reason
    pictures, _ = frames(Path(video["file"]))
    assert len(pictures) == first[0, 3] + 1, "the other candidate goes on"
    first[0] = -1
    made.save(first, params)
    assert main(made.command("--what", "grid", "--tiles", "2")) == 2
    made.save(first[1:], params[1:])
    assert main(made.command("--what", "failure", "--out", "other")) == 2
    assert f"here {error.value.reason}, but the cached run has no success" in capfd.readouterr().err


def test_a_cell_that_failed_says_why(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(made.folder / "cells")
    Cache(made.folder).save_failure(made.plan.cells[0].key, CellFailure("fit raised ValueError: odd"))
    assert main(made.command()) == 2
    assert "the run of it failed: fit raised ValueError: odd" in capfd.readouterr().err


def test_what_there_is_not(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    params = made.policies([AWAY, AWAY, AWAY])
    made.save(made.measured(params), params)
    assert main(made.command("--what", "success")) == 2
    assert "no test episode of random_seen on goal-030 succeeded: nothing to show" in capfd.readouterr().err
    assert not Path("videos").exists()
    assert main(made.command()) == 0
    assert "no video of a success: no test episode" in capfd.readouterr().out
    assert len(list(Path("videos").iterdir())) == 2


def test_the_scripted_expert_is_made_again(
    made: Made, tiny_suite: Path, tiny_protocol: Protocol, capfd: pytest.CaptureFixture[str]
) -> None:
    cell = Made(tiny_suite, tiny_protocol, made.folder, "expert")
    expert = cell.simulator.expert()
    cell.save(np.array([[step_until_success(cell.simulator, expert, x, 100)[0] for x in cell.layouts]]), None)
    assert main(cell.command("--json")) == 0
    report = json.loads(capfd.readouterr().out)
    assert [video["what"] for video in report["videos"]] == ["success", "grid"]
    assert report["missing"] == ["failure"]


def test_a_strangers_own_agents_are_not_kept(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    made.save(made.measured(made.policies([AWAY, THERE, AWAY])), None)
    assert main(made.command()) == 2
    assert "makes agents of its own kind, which the cache does not keep" in capfd.readouterr().err
    assert not Path("videos").exists()


def test_a_missing_cell_names_the_command_that_makes_it(
    made: Made, tiny_cache_copy: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made.folder = tiny_cache_copy
    render = [*made.command("--what", "grid"), "--seed", "2"]
    assert main(render) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    _, _, command = error.partition("make them first: maa-bench ")
    assert main([*shlex.split(command), "--workers", "1", "--quiet"]) == 0
    assert main(render) == 0
    assert [path.name for path in Path("videos").iterdir()] == [
        "random_seen-goal-030-seed2-grid-candidates0-2-layout0.gif"
    ]


def test_the_command_for_a_condition_names_its_protocol() -> None:
    found = {protocol.condition: protocol for protocol in load_protocol("environment-v1").conditions(device="cuda:1")}

    def settings(protocol: Protocol) -> list[str]:
        words = shlex.split(run_command("bc", "toy-v1", "unseen", TASK, protocol, 0, None))
        return words[words.index(TASK) + 1 :]

    named = ["--protocol", "environment-v1", "--conditions"]
    assert settings(found["damping=4"]) == [*named, "damping", "--device", "cuda:1"]
    assert settings(found["base"]) == [*named, "base", "--device", "cuda:1"]
    own = Protocol(shots=3, damping=4, name="own", condition="damping=4")
    assert settings(own) == ["--shots", "3", "--damping", "4"], "a file of one's own has no name that `run` knows"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--condition", "gain=2"], ["--condition", "needs --protocol"]),
        (["--protocol", "environment-v1", "--condition", "gain=3"], ["has no 'gain=3'", "Did you mean"]),
        (["--protocol", "environment-v1", "--shots", "5"], ["--shots 5 beside --protocol environment-v1"]),
        (["--protocol", "environment-v1", "--condition", "friction=4"], ["--friction", "'toy' has no friction"]),
    ],
)
def test_a_condition_that_cannot_be_shown(
    arguments: list[str], parts: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", "--suite", "toy-v1", "--task", TASK, "--format", "gif", *arguments]) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert all(part in error for part in parts), error


def test_looking_makes_no_cache(made: Made) -> None:
    made.folder = Path("nowhere")
    assert main(made.command()) == 2
    assert not made.folder.exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--task", ""], ["name one --task", "goal-030, goal-210"]),
        (["--task", "goal-03"], ["goal-03", "Did you mean 'goal-030'"]),
        (["--task", "goal-000"], ["does not test 'goal-000'", "goal-030, goal-210"]),
        (["--split", "unsen"], ["unsen", "Did you mean"]),
        (["--method", "random_sen"], ["Did you mean 'random_seen'"]),
        (["--size", "0x0"], ["--size 0x0", "64 to 2048"]),
        (["--size", "320x9000"], ["--size 320x9000", "64 to 2048"]),
        (["--size", "320"], ["WIDTHxHEIGHT", "'320'"]),
        (["--fps", "-3"], ["--fps must be 1 to 50, not -3"]),
        (["--tiles", "0"], ["--tiles must be 1 to 25, not 0"]),
        (["--format", "avi"], ["--format 'avi' is unknown", "gif, mp4"]),
        (["--what", "sucess"], ["--what 'sucess' is unknown", "Did you mean 'success'"]),
        (["--seed", "-1"], ["--seed must be 0 or more"]),
        (["--out", "file/below"], ["cannot write to file/below", "--out"]),
    ],
)
def test_bad_input(made: Made, capfd: pytest.CaptureFixture[str], arguments: list[str], parts: list[str]) -> None:
    Path("file").write_text("")
    before = sorted(Path().rglob("*"))
    assert main(made.command(*arguments)) == 2
    ended = capfd.readouterr()
    assert ended.out == ""
    lines = ended.err.splitlines()
    assert len(lines) == 1
    for part in parts:
        assert part in lines[0]
    assert sorted(Path().rglob("*")) == before


def test_mp4_without_ffmpeg(made: Made, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_has_ffmpeg", lambda: False)
    assert main(made.command("--format", "mp4")) == 2
    assert "pip install 'maa-bench[video]', or use --format gif" in capfd.readouterr().err
    assert encode.choose_format(None) == "gif"
    monkeypatch.setattr(encode, "_has_ffmpeg", lambda: True)
    assert encode.choose_format(None) == "mp4"


def test_progress_is_shown(made: Made, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(made.command("--what", "failure")) == 0
    assert "draw failure: 101/101 frames" in capfd.readouterr().err
    assert main(made.command("--what", "failure", "--quiet")) == 0
    assert capfd.readouterr().err == ""


def test_a_perturbed_episode_is_seen_under_its_dynamics(
    tiny_suite: Path, tiny_protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cell of a perturbed condition is its own, and replayed with the factors of each layout."""
    monkeypatch.chdir(tmp_path)
    usual = Made(tiny_suite, tiny_protocol, tmp_path / "own")
    cell = Made(tiny_suite, replace(tiny_protocol, gain=1.6, test_layouts="train"), tmp_path / "own")
    assert cell.plan.cells[0].key != usual.plan.cells[0].key
    suite, params = cell.plan.suite, cell.policies([AWAY, THERE, AWAY])
    job = EpisodeJob(
        suite.source, TASK, FlatPolicies(suite.policy, params), (0, 1, 2), cell.plan.layouts(),
        conditions=cell.plan.conditions,
    )  # fmt: skip
    first = job(lambda *_: None).first_success
    assert (first[1] != usual.measured(params)[1]).any()
    cell.save(first, params)
    found = find_cell("random_seen", str(tiny_suite), "unseen", TASK, cell.plan.protocol, 0, tmp_path / "own")
    wanted = Look(width=64, height=64, format="gif")
    (video,) = render(found, ("success",), wanted, tmp_path / "videos", Progress(quiet=True))
    (seen,) = video.episodes
    assert seen.candidate == 1
    assert seen.first_success == first[1, 3 + seen.layout] > 0
    cell.save(usual.measured(params), params)
    found = find_cell("random_seen", str(tiny_suite), "unseen", TASK, cell.plan.protocol, 0, tmp_path / "own")
    with pytest.raises(DrawingError, match="here step"):
        render(found, ("success",), wanted, tmp_path / "videos", Progress(quiet=True))
