"""Hyperparameters are chosen on what no table shows: the script that does so keeps its word."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maa_bench.dataset.store import CheckpointDataset
from maa_bench.prompts import PromptSet, RewardedPromptSet
from maa_bench.simulators import opened_task

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "validation.py"


@pytest.fixture(scope="module")
def validation() -> Any:
    spec = importlib.util.spec_from_file_location("validation", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_neither_the_last_run_nor_held_out_tasks_are_fitted(validation: Any, tiny_dataset: CheckpointDataset) -> None:
    data = tiny_dataset.training_set("unseen")
    part = validation.fitting_part(data, ["goal-090"])
    assert set(part.task) == set(part.train_tasks) == set(data.train_tasks) - {"goal-090"}
    assert set(data.run) - set(part.run) == {max(data.run)}
    assert len(part) == (data.task != "goal-090").sum() / 2
    for task in part.train_tasks:
        sources = set(part.transitions[task].source)
        assert "expert" in sources
        assert not [source for source in sources if f"/{max(data.run)}/" in source]
        assert len(sources) < len(set(data.transitions[task].source))


def test_prompts_are_of_the_last_run_and_their_rewards_the_simulators(
    validation: Any, tiny_dataset: CheckpointDataset
) -> None:
    data = tiny_dataset.training_set("unseen")
    prompts = validation.prompts_of(data, "goal-090", 3, 0)
    assert all(source.startswith(f"goal-090/{max(data.run)}/") for source in prompts.sources)
    assert type(validation.shown_to(tiny_dataset, prompts, "prompts")) is PromptSet
    shown = validation.shown_to(tiny_dataset, prompts, "prompts+rewards")
    assert isinstance(shown, RewardedPromptSet)
    simulator = opened_task(tiny_dataset.suite, "goal-090")
    rows = tiny_dataset.hf("goal-090", ["row_id", "behavior_layout"], "train")
    layout = dict(zip(rows["row_id"], rows["behavior_layout"], strict=True))[prompts.sources[0]]
    simulator.reset(tiny_dataset.suite.layouts("goal-090", "train")[layout])
    rewards = []
    for action in prompts.behaviors.actions[0]:
        simulator.step(action)
        rewards.append(simulator.reward)
    np.testing.assert_array_equal(shown.rewards[0], np.array(rewards, np.float32))


def test_a_line_a_task_and_the_means(
    validation: Any,
    tiny_dataset: CheckpointDataset,
    tiny_suite: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(validation, "suite_of", lambda folder, default: str(tiny_suite))
    options = ["--hold-out", "goal-090", "--layouts", "2", "--candidates", "2", "--shots", "3"]
    monkeypatch.setattr(sys, "argv", ["validation.py", "nearest_checkpoint", str(tiny_dataset.folder), *options])
    validation.main()
    out = capsys.readouterr().out
    assert "nearest_checkpoint kept: 1.000 (3 task fits)" in out
    assert "nearest_checkpoint held out: 0.000 (1 task fits)" in out
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--kept", "goal-090"])
    with pytest.raises(SystemExit, match="held out or unknown: goal-090"):
        validation.main()
