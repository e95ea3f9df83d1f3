"""The `sac` producer on Meta-World: the same bytes with and without processes, and after a break."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from maa_bench.dataset.producers import Snapshot, Training, TrainingRun
from maa_bench.dataset.producers.sac import SAC, SACConfig
from maa_bench.execution.threads import JOB_THREADS, threads
from maa_bench.suite import load_suite

pytestmark = pytest.mark.simulator


def training(work: Path, env_workers: int) -> Training:
    runs = tuple(TrainingRun(task, "train", "train-00", 0, 1, 0, 0) for task in ("handle-press", "reach"))
    config = SACConfig(
        env_steps=240, save_every=40, warmup_steps=80, episode_steps=60, batch_size=32, env_workers=env_workers
    )
    return Training(load_suite("metaworld-v1"), runs, config, {}, work, lambda *_: True, lambda *_: None)


def lines(snapshots: Iterable[Snapshot]) -> list[tuple[int, int, int, bytes]]:
    return [(s.run, s.step, s.env_step, s.params.tobytes()) for s in snapshots]


@pytest.mark.heavy
def test_processes_and_breaks_change_no_byte(tmp_path: Path) -> None:
    with threads(JOB_THREADS):
        here = lines(SAC().train(training(tmp_path / "here", 0)))
        assert len({params for *_, params in here}) == len(here) - 1  # both begin with the same policy
        stream = SAC(state_seconds=0).train(training(tmp_path / "there", 2))
        assert lines(next(stream) for _ in range(7)) == here[:7]
        stream.close()
        assert lines(SAC(state_seconds=0).train(training(tmp_path / "there", 1))) == here
