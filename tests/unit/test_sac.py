"""The `sac` producer on the toy suite: it learns, it is deterministic, and it goes on after any end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maa_bench.dataset.producers import Snapshot, Training, TrainingRun
from maa_bench.dataset.producers.sac import SAC, SACConfig
from maa_bench.dataset.producers.sac_envs import Environments
from maa_bench.dataset.producers.sac_learner import Learner
from maa_bench.dataset.producers.sac_replay import Replay, transitions
from maa_bench.dataset.transitions import Recorder, Transitions
from maa_bench.errors import DataError
from maa_bench.execution import Report
from maa_bench.execution.local import LocalExecutor
from maa_bench.execution.threads import JOB_THREADS, threads
from maa_bench.forward import PackedPolicy
from maa_bench.simulators import EpisodeError, simulator_of, toy
from maa_bench.suite import load_suite

SUITE = load_suite("toy-v1")
TASKS = ("goal-000", "goal-090")
QUICK = SACConfig(
    env_steps=700, save_every=100, warmup_steps=100, episode_steps=60, batch_size=16, critic_hidden=(16, 16),
    runs_together=4, env_workers=0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in every job: with another number of threads sums have other bits."""
    with threads(JOB_THREADS):
        yield


def expert_episodes(task: str, count: int = 4) -> Transitions:
    """Noisy expert episodes."""
    rng = np.random.default_rng(0)
    layouts = SUITE.layouts(task, "train")
    recorder = Recorder(simulator_of(SUITE).open_task(SUITE.task(task)))
    for episode in range(count):
        recorder.begin(episode, layouts[episode], 0.5, "expert")
        for _ in range(60):
            recorder.step(np.clip(recorder.label() + 0.5 * rng.standard_normal(2), -1, 1))
    return recorder.recorded()


def training(work: Path, config: SACConfig = QUICK, **changes: Any) -> Training:
    runs = tuple(TrainingRun(task, "train", f"train-{seed:02d}", seed, 5, 0, 0) for task in TASKS for seed in range(2))
    values: dict[str, Any] = {
        "suite": SUITE, "runs": runs, "settings": config, "experts": {}, "work": work,
        "wants": lambda *_: True, "report": lambda *_: None,
    }  # fmt: skip
    return Training(**{**values, **changes})


def lines(snapshots: Iterator[Snapshot]) -> list[tuple[int, int, int, bytes]]:
    return [(s.run, s.step, s.env_step, s.params.tobytes()) for s in snapshots]


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, int, int, bytes]]:
    """A training to which nothing happens, in this process."""
    with threads(JOB_THREADS):
        return lines(SAC().train(training(tmp_path_factory.mktemp("usual"))))


def test_it_learns_to_reach_the_goal_from_nothing(tmp_path: Path) -> None:
    config = replace(
        QUICK, env_steps=3000, save_every=500, warmup_steps=500, episode_steps=100, batch_size=32, gamma=0.95,
        learning_rate=3e-3, critic_hidden=(32, 32),
    )  # fmt: skip
    successes: dict[str, list[float]] = {task: [] for task in TASKS}
    for snapshot in SAC().train(training(tmp_path, config)):
        task = TASKS[snapshot.run // 2]
        simulator = simulator_of(SUITE).open_task(SUITE.task(task))
        policy = PackedPolicy(SUITE.policy, snapshot.params)
        layouts = SUITE.layouts(task, "train")[:5]
        successes[task].append(np.mean([simulator.first_success(policy, x, SUITE.horizon)[0] > 0 for x in layouts]))
    for task in TASKS:
        assert successes[task][0] < 1.0
        assert max(successes[task]) == 1.0


def test_snapshots_come_as_they_are_due(tmp_path: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    shown = lines(SAC().train(training(tmp_path, report=lambda *args: reports.append(args))))
    assert [(run, env_step) for run, _, env_step, _ in shown] == [
        (r, e) for e in range(100, 701, 100) for r in range(4)
    ]
    assert [step for run, step, *_ in shown if run == 0] == [0, 100, 200, 300, 400, 500, 600]
    assert reports == [("environment steps", done, 700) for done in range(100, 701, 100)]
    first = [params for _, step, _, params in shown if step == 0]
    assert first[0] == first[2] != first[1]  # by seed alone
    assert len({params for *_, params in shown}) == 26


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_changes_no_byte(tmp_path: Path, usual: list[Any], workers: int) -> None:
    assert lines(SAC().train(training(tmp_path, replace(QUICK, env_workers=workers)))) == usual


@dataclass(frozen=True)
class TrainJob:
    """A training as the builder runs it: in a worker process."""

    work: Path

    def __call__(self, report: Report) -> list[tuple[int, int, int, bytes]]:
        """Train with an environment process."""
        config = replace(QUICK, env_steps=300, env_workers=1)
        return lines(SAC().train(training(self.work, config, report=report)))


def test_it_trains_in_a_worker_process(tmp_path: Path) -> None:
    results: dict[int, Any] = {}

    def finished(index: int, result: Any) -> list[Any]:
        results[index] = result
        return []

    with LocalExecutor(2) as executor:
        executor.run([TrainJob(tmp_path / "there")], finished)
    here = SAC().train(training(tmp_path / "here", replace(QUICK, env_steps=300)))
    assert results == {0: lines(here)}


@pytest.mark.parametrize("prior", [False, True])
def test_a_training_that_ended_anywhere_goes_on_with_the_same_bytes(tmp_path: Path, prior: bool) -> None:
    experts = {task: expert_episodes(task) for task in TASKS} if prior else {}
    config = replace(QUICK, prior_data=prior, buffer_size=250)  # the rings overflow
    whole = lines(SAC().train(training(tmp_path / "whole", config, experts=experts)))
    for ends in (1, 9, 13, 22, 27):
        stream = SAC(state_seconds=0).train(training(tmp_path / "parts", config, experts=experts))
        assert lines(next(stream) for _ in range(ends)) == whole[:ends]
        stream.close()
    resumed, updates = SAC(state_seconds=0), []
    assert lines(resumed.train(training(tmp_path / "parts", config, experts=experts, report=_noting(updates)))) == whole
    assert min(updates) > 500  # most of it was read


def _noting(done: list[int]) -> Callable[..., None]:
    return lambda stage, at, total: done.append(at)


def test_runs_that_have_enough_are_trained_no_more(tmp_path: Path) -> None:
    def some(work: Path, parts: bool) -> list[tuple[int, int, int, bytes]]:
        shown: list[Snapshot] = []

        def wants(run: int, kind: str) -> bool:
            return sum(s.run == run for s in shown) < (2, 5, 3, 1)[run]

        stream = SAC(state_seconds=0).train(training(work, wants=wants))
        for snapshot in stream:
            shown.append(snapshot)
            if parts and len(shown) == 8:
                return some(work, False)
        return lines(iter(shown))

    shown = some(tmp_path / "whole", False)
    assert [run for run, *_ in shown] == [0, 1, 2, 3, 0, 1, 2, 1, 2, 1, 1]
    assert len({params for *_, params in shown}) == 9  # the first of a seed are equal
    assert some(tmp_path / "parts", True) == shown


def test_what_another_training_left_is_not_gone_on_with(tmp_path: Path) -> None:
    for _ in SAC(state_seconds=0).train(training(tmp_path)):
        pass
    config = replace(QUICK, gamma=0.5)
    fresh = lines(SAC().train(training(tmp_path / "fresh", config)))
    assert lines(SAC(state_seconds=0).train(training(tmp_path, config))) == fresh
    assert len(list((tmp_path / "sac").iterdir())) == 1


def test_a_half_written_state_is_not_read(tmp_path: Path) -> None:
    whole = lines(SAC(state_seconds=0).train(training(tmp_path)))
    (folder,) = (tmp_path / "sac").iterdir()
    newest = max(folder.iterdir())
    shutil.copytree(newest, folder / f".{int(newest.name) + 1:06d}.abc")  # as it is called until it is whole
    done: list[int] = []
    assert lines(SAC().train(training(tmp_path, report=_noting(done)))) == whole
    assert done == [700]


def test_a_diverged_simulation_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, calls = toy.PointMass.step, [0]

    def sometimes(self: toy.PointMass, action: Any) -> Any:
        calls[0] += 1
        if calls[0] in (1, 500, 1203):
            raise EpisodeError.of_simulation(3)
        return step(self, action)

    monkeypatch.setattr(toy.PointMass, "step", sometimes)
    shown = lines(SAC().train(training(tmp_path / "a")))
    calls[0] = 0
    assert lines(SAC().train(training(tmp_path / "b"))) == shown
    assert len(shown) == 28


def test_runs_that_all_diverge_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"run train-00 of 'goal-000', and every other .* step \d+: networks"):
        lines(SAC().train(training(tmp_path, replace(QUICK, learning_rate=1e30))))


def test_a_run_that_diverges_shows_nothing_more_and_leaves_the_others_alone(
    tmp_path: Path, usual: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    act = Learner.act

    def broken(self: Learner, obs: Any, noise: Any) -> Any:
        """The second run's actions are no numbers, while it is there."""
        actions = act(self, obs, noise)
        if len(actions) == 4:
            actions[1] = np.nan
        return actions

    monkeypatch.setattr(Learner, "act", broken)
    shown = lines(SAC().train(training(tmp_path)))
    warm = [line for line in usual if line[2] == QUICK.warmup_steps]
    assert shown[:4] == warm, "nobody has acted by a policy before"
    others = [line[:3] for line in usual if line[0] != 1 and line[2] > QUICK.warmup_steps]
    assert [line[:3] for line in shown[4:]] == others


def test_prior_data_needs_experts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="prior_data needs expert episodes of 'goal-000'"):
        lines(SAC().train(training(tmp_path, replace(QUICK, prior_data=True))))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"gamma": 1.5}, "gamma"), ({"critic_hidden": ()}, "critic_hidden"), ({"prior_data": True, "batch_size": 1}, "2")],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(QUICK, **change)


def test_a_dead_worker_is_one_clear_error() -> None:
    with Environments(SUITE, TASKS, 2) as environments:
        environments.reset({0: 0, 1: 0})
        os.kill(environments._workers[1][0].pid, signal.SIGKILL)
        environments._workers[1][0].join()
        with pytest.raises(DataError, match=r"a process that steps environments ended \(exit code -9\)"):
            environments.reset({0: 0, 1: 0})


def test_groups_do_not_depend_on_the_machine() -> None:
    runs = training(Path()).runs
    assert SAC().groups(runs, replace(QUICK, runs_together=3)) == [[*runs[:3]], [*runs[3:]]]


def test_the_paper_settings_are_the_released_ones() -> None:
    paper = SAC().settings("paper")
    assert (paper.gamma, paper.tau, paper.learning_rate, paper.initial_alpha) == (0.99, 0.005, 3e-4, 0.2)
    assert (paper.batch_size, paper.buffer_size, paper.warmup_steps, paper.env_steps) == (128, 10**6, 5000, 10**6)
    assert (paper.save_every, paper.target_every, paper.updates, paper.update_every) == (5000, 2, 1, 1)
    assert (paper.critic_hidden, paper.critic_layer_norm, paper.prior_data) == ((128, 128), False, False)
    assert (paper.episode_steps, paper.reward_scale) == (500, 1.0)
    json.dumps(vars(paper))


def test_replay_is_a_ring_behind_the_experts() -> None:
    experts = [np.full((3, 2), -1.0, np.float32), np.full((5, 2), -2.0, np.float32)]
    replay = Replay(2, 4, 2, [1, 0], experts)
    rings: list[deque[float]] = [deque(maxlen=4), deque(maxlen=4)]
    runs, rng = torch.tensor([0, 1]), np.random.default_rng(0)
    for _ in range(11):
        rows = rng.uniform(1, 2, (2, 2)).astype(np.float32)
        replay.add(runs, rows)
        for ring, row in zip(rings, rows, strict=True):
            ring.append(float(row[0]))
        uniform = torch.linspace(0, 1 - 1e-12, 40, dtype=torch.float64).expand(2, 40).flip(1)
        uniform = torch.cat([uniform[:, ::2], uniform[:, 1::2]], 1)
        batch = replay.sample(runs, uniform)[..., 0]
        assert set(batch[0, :20].tolist()) == {-2.0}
        assert set(batch[1, :20].tolist()) == {-1.0}
        for run in range(2):
            assert set(batch[run, 20:].tolist()) == set(rings[run])
    copy = Replay(2, 4, 2, [1, 0], experts)
    copy.refill(runs, replay.last([0, 1], 11), 11)
    assert torch.equal(copy.sample(runs, uniform), replay.sample(runs, uniform))


def test_transitions_are_what_was_recorded() -> None:
    episodes = expert_episodes("goal-000", 1)
    rows = transitions(episodes)
    assert rows.shape == (60, 11)
    np.testing.assert_array_equal(rows[1:, :4], rows[:-1, 6:10])  # one episode: where a step ends the next begins
    np.testing.assert_allclose(rows[:, 10], -np.hypot(*(rows[:, 6:8] - [1.0, 0.0]).T), atol=1e-6)


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1]).parent)]
from unit.test_sac import QUICK, SAC, replace, training
if __name__ == "__main__":
    config = replace(QUICK, env_steps=1800, env_workers=2)
    with open(sys.argv[3], "ab", buffering=0) as out:
        for s in SAC(state_seconds=0).train(training(Path(sys.argv[2]), config)):
            out.write(f"{s.run} {s.step} {s.env_step} {s.params.tobytes().hex()}\\n".encode())
"""


@pytest.mark.heavy
def test_killed_at_any_moment_it_goes_on_with_the_same_bytes(tmp_path: Path) -> None:
    whole = lines(SAC().train(training(tmp_path / "whole", replace(QUICK, env_steps=1800))))
    script, out = tmp_path / "killed.py", tmp_path / "out"
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(Path(__file__).parents[1]), str(tmp_path / "work"), str(out)]
    rng, kills = random.Random(0), 0
    while True:
        assert kills < 30
        out.write_bytes(b"")
        process = subprocess.Popen(command)
        while not out.stat().st_size and process.poll() is None:
            time.sleep(0.02)
        try:
            process.wait(timeout=rng.uniform(0.1, 2.0 + kills))
            break
        except subprocess.TimeoutExpired:
            children = _children(process.pid)
            process.kill()
            process.wait()
            kills += 1
            _wait_until_gone(children)
        shown = out.read_text().splitlines()[:-1]  # the last one may be half written
        assert [_parsed(line) for line in shown] == whole[: len(shown)]
    assert process.returncode == 0
    assert kills
    assert [_parsed(line) for line in out.read_text().splitlines()] == whole


def _parsed(line: str) -> tuple[int, int, int, bytes]:
    run, step, env_step, params = line.split()
    return int(run), int(step), int(env_step), bytes.fromhex(params)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _wait_until_gone(pids: list[int]) -> None:
    """Environment processes end with the one that learns."""
    deadline = time.monotonic() + 60
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
