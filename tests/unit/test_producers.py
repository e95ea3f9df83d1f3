"""A producer is a stranger's code: found by name or path, and held to what it promises in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maa_bench.dataset.config import plan_dataset
from maa_bench.dataset.producers import Snapshot, Training, TrainingRun
from maa_bench.dataset.producers.registry import LoadedProducer, load_producer, producer_names
from maa_bench.errors import DataError
from maa_bench.suite import load_suite

SUITE = load_suite("toy-v1")
N_PARAMS = SUITE.policy.n_params
RUNS = tuple(TrainingRun("goal-000", "train", f"train-{i:02d}", i, 2, 0, 0) for i in range(2))


@dataclass(frozen=True)
class Settings:
    steps: int = 3


class Good:
    version = 1

    def settings(self, scale: str) -> Any:
        return Settings()

    def groups(self, runs: Any, settings: Any) -> Any:
        return [list(runs)]

    def train(self, training: Training) -> Iterator[Any]:
        for step in range(training.settings.steps):
            yield Snapshot(0, step, step, np.zeros(N_PARAMS, np.float32))


def training(tmp_path: Path) -> Training:
    return Training(SUITE, RUNS, Settings(), {}, tmp_path, lambda *_: True, lambda *_: None)


def shown(tmp_path: Path, **changes: Any) -> list[Snapshot]:
    made = type("Changed", (Good,), changes)()
    return list(LoadedProducer("mine", made).train(training(tmp_path)))


def test_ours_are_registered() -> None:
    assert {"distill", "sac"} <= set(producer_names())
    assert load_producer("sac").uses_device
    assert not load_producer("distill").keeps_all


def test_a_stranger_needs_no_more_than_the_guide_says(tmp_path: Path) -> None:
    assert [s.step for s in shown(tmp_path)] == [0, 1, 2]
    loaded = load_producer(f"{__name__}:Good")
    assert (loaded.name, loaded.version, loaded.keeps_all) == (f"{__name__}:Good", 1, False)
    plan = plan_dataset(SUITE, producer=f"{__name__}:Good", changes={"steps": 5})
    assert plan.settings.steps == 5
    assert plan.identity["producer"] == [f"{__name__}:Good", 1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("distil", "unknown producer 'distil'. Did you mean 'distill'"),
        ("no_such_module:Mine", "cannot import producer 'no_such_module:Mine' .*ModuleNotFoundError"),
        (f"{__name__}:Missing", "cannot import producer .*AttributeError"),
        (f"{__name__}:Settings", "has no method `settings`"),
    ],
)
def test_what_is_no_producer_is_refused(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_producer(name)


def one(snapshot: Any) -> Callable[..., Iterator[Any]]:
    return lambda self, training: iter([snapshot])


def zeros(**changes: Any) -> Snapshot:
    return Snapshot(**{"run": 0, "step": 1, "env_step": 1, "params": np.zeros(N_PARAMS, np.float32), **changes})


def boom(self: Any, training: Training) -> Iterator[Any]:
    yield zeros()
    raise RuntimeError("boom")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (boom, r"train raised RuntimeError: boom \(test_producers.py, line \d+\)"),
        (lambda self, training: None, "train raised TypeError"),
        (one("policy"), "train showed str, which is no Snapshot"),
        (one(zeros(run=99)), "train showed a snapshot of run 99, of 2 runs"),
        (one(zeros(step=-1)), "step -1 of run 0 after step -1: steps must grow"),
        (lambda self, training: iter([zeros(), zeros()]), "step 1 of run 0 after step 1: steps must grow"),
        (one(zeros(params=np.zeros(N_PARAMS - 1, np.float32))), rf"parameters that are not \({N_PARAMS},\) float32"),
        (one(zeros(params=np.zeros(N_PARAMS))), r"float32, in step 1 of run 0"),
        (one(zeros(params=np.full(N_PARAMS, np.nan, np.float32))), "parameters with NaN or infinity, in step 1"),
    ],
)
def test_what_a_producer_may_not_show_is_one_line_that_names_it(tmp_path: Path, train: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"^producer 'mine': .*{message}") as caught:
        shown(tmp_path, train=train)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("groups", [[[RUNS[0]]], [[*RUNS], [RUNS[0]]], [[*RUNS], []]])
def test_groups_hold_every_run_once(groups: Any) -> None:
    made = type("Changed", (Good,), {"groups": lambda self, runs, settings: groups})()
    with pytest.raises(DataError, match="producer 'mine': groups must hold each of the 2 runs once"):
        LoadedProducer("mine", made).groups(RUNS, Settings())


def test_settings_are_a_dataclass() -> None:
    made = type("Changed", (Good,), {"settings": lambda self, scale: {"steps": 3}})()
    with pytest.raises(DataError, match="producer 'mine': settings must return a dataclass, not dict"):
        LoadedProducer("mine", made).settings("small")
