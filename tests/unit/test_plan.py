"""Addresses of fits and cells: what a task is counts, and not what it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from maa_bench.dataset import shaky
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.plan import Plan, make_plan
from maa_bench.protocol import Protocol

Keys = tuple[str, dict[str, str]]


def keys(plan: Plan) -> Keys:
    """The address of a method's fit, and of its cells by task."""
    method = plan.methods[0]
    return plan.fit_key(method, 0), {cell.task: cell.key for cell in plan.cells if cell.method is method}


@pytest.fixture
def keys_of(
    edit_suite: Callable[..., Path], tiny_dataset: CheckpointDataset, tiny_protocol: Protocol
) -> Callable[[Callable[[dict[str, Any]], object]], Keys]:
    """Addresses with one given dataset in edited suites, all of the same name, task names and layouts."""

    def made(change: Callable[[dict[str, Any]], object]) -> Keys:
        suite = str(edit_suite(change))
        folder = tiny_dataset.folder
        return keys(make_plan(["nearest_checkpoint"], suite, "unseen", None, tiny_protocol, dataset=folder))

    return made


def task(name: str, **what: Any) -> Callable[[dict[str, Any]], object]:
    """Change one task of a suite."""
    return lambda data: data["tasks"][name].update(what)


ELSEWHERE: tuple[dict[str, Any], ...] = ({"options": {"goal": [0.6, 0.8]}}, {"env": "point-mass-2"})


@pytest.mark.parametrize("what", ELSEWHERE, ids=["options", "env"])
def test_another_test_task_of_the_same_name_has_another_cell(
    keys_of: Callable[[Callable[[dict[str, Any]], object]], Keys], what: dict[str, Any]
) -> None:
    fit, cells = keys_of(lambda data: None)
    assert (fit, cells) == keys_of(lambda data: None)
    other_fit, other_cells = keys_of(task("goal-030", **what))
    assert other_fit == fit, "nothing that was learned from is another"
    assert other_cells["goal-030"] != cells["goal-030"]
    assert other_cells["goal-210"] == cells["goal-210"]


@pytest.mark.parametrize("what", ELSEWHERE, ids=["options", "env"])
def test_another_training_task_of_the_same_name_has_another_fit(
    keys_of: Callable[[Callable[[dict[str, Any]], object]], Keys], what: dict[str, Any]
) -> None:
    fit, cells = keys_of(lambda data: None)
    other_fit, other_cells = keys_of(task("goal-000", **what))
    assert other_fit != fit
    assert not set(other_cells.values()) & set(cells.values())


def test_other_layouts_have_another_fit(tiny_suite: Path, tiny_protocol: Protocol) -> None:
    plan = make_plan(["nearest_checkpoint"], str(tiny_suite), "unseen", None, tiny_protocol)
    frozen_anew = replace(plan, suite=replace(plan.suite, layouts_sha256="0" * 64))
    method = plan.methods[0]
    assert frozen_anew.fit_key(method, 0) != plan.fit_key(method, 0)


@pytest.mark.parametrize(
    ("noise", "method", "changes"),
    [(0.1, "nearest_checkpoint", True), (0.0, "nearest_checkpoint", False), (0.1, "random_seen", False)],
    ids=["a hand that shakes", "a calm one", "a method that sees no prompt"],
)
def test_the_version_of_shaky_prompts_decides_the_cells_that_are_made_of_them(
    tiny_suite: Path,
    tiny_protocol: Protocol,
    monkeypatch: pytest.MonkeyPatch,
    noise: float,
    method: str,
    changes: bool,
) -> None:
    def made() -> Keys:
        protocol = replace(tiny_protocol, action_noise=noise)
        return keys(make_plan([method], str(tiny_suite), "unseen", None, protocol))

    fit, cells = made()
    monkeypatch.setattr(shaky, "VERSION", shaky.VERSION + 1)
    other_fit, other_cells = made()
    assert other_fit == fit
    assert {other_cells[name] != cells[name] for name in cells} == {changes}
