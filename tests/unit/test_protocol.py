"""The protocol's bounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maa_bench.errors import MethodError, ProtocolError
from maa_bench.main_job import run_methods
from maa_bench.plan import Plan, make_plan
from maa_bench.protocol import Protocol
from maa_bench.suite import load_suite


@pytest.mark.parametrize("flag", ["shots", "candidates", "episodes", "select_episodes"])
@pytest.mark.parametrize("value", [0, -3])
def test_a_count_below_one_is_refused_by_its_flag(flag: str, value: int) -> None:
    with pytest.raises(ProtocolError, match=f"--{flag.replace('_', '-')} must be at least 1, not {value}"):
        Protocol(**{flag: value})  # type: ignore[arg-type]


def test_one_of_everything_is_enough() -> None:
    Protocol(shots=1, candidates=1, episodes=1, select_episodes=1)


def test_an_unknown_scale_names_the_nearest() -> None:
    with pytest.raises(ProtocolError, match=r"--scale 'papers' is unknown\. Did you mean 'paper'"):
        Protocol(scale="papers")  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["gpu", "", "tpu:0"])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(ProtocolError, match="--device must be cpu or cuda"):
        Protocol(device=device)


def test_more_episodes_than_frozen_layouts_are_refused(tiny_suite: Path) -> None:
    suite = load_suite(str(tiny_suite))
    Protocol(episodes=4, select_episodes=3).check_serves(suite)
    with pytest.raises(ProtocolError, match="--episodes 5: suite tiny has 4 test layouts a task"):
        Protocol(episodes=5, select_episodes=3).check_serves(suite)
    with pytest.raises(ProtocolError, match="--select-episodes 4: suite tiny has 3 select layouts a task"):
        Protocol(episodes=4, select_episodes=4).check_serves(suite)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "--seeds must be at least 1, not 0"),
        ({"seed": -1}, "--seed must be 0 or more, not -1"),
        ({"workers": 0}, "--workers must be at least 1, not 0"),
        ({"workers": -2}, "--workers must be at least 1, not -2"),
    ],
)
def test_numbers_of_a_run_are_checked_before_any_work(
    tiny_suite: Path, tiny_protocol: Protocol, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProtocolError, match=message):
        run_methods(
            ["expert"], suite=str(tiny_suite), protocol=tiny_protocol, cache_dir=tmp_path / "c",
            results_dir=tmp_path / "r", **options,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_plan_needs_a_method(tiny_suite: Path, tiny_protocol: Protocol) -> None:
    with pytest.raises(MethodError, match="name at least one --method"):
        make_plan([], str(tiny_suite), protocol=tiny_protocol)


def test_a_plan_lists_every_cell_once_with_the_controls(tiny_suite: Path, tiny_protocol: Protocol) -> None:
    plan = make_plan(["expert", "expert"], str(tiny_suite), "unseen", None, tiny_protocol, seeds=2, seed=5)
    assert [m.name for m in plan.methods] == ["expert", "random_seen", "nearest_checkpoint", "random_weights"]
    assert plan.train_seeds == (5, 6)
    assert len({cell.key for cell in plan.cells}) == len(plan.cells) == 4 * 2 * 2


def address(suite: Path, method: str, protocol: Protocol, **changes: Any) -> str:
    changed = Protocol(**{**protocol.as_dict(), **changes})
    (cell, *_) = make_plan([method], str(suite), "unseen", ["goal-030"], changed).cells
    return cell.key


PROMPTS_CHANGED: list[dict[str, Any]] = [
    {"shots": 3}, {"prompt_source": "partial"}, {"prompt_noise": 0.1}, {"prompt_noise": 0.2}, {"dropped_steps": 0.1},
    {"prompt_steps": 30}, {"action_noise": 0.1},
]  # fmt: skip
ALL_CHANGED: list[dict[str, Any]] = [
    {"candidates": 2}, {"episodes": 3}, {"select_episodes": 2}, {"scale": "paper"}, {"test_layouts": "train"},
    {"mass": 2}, {"friction": 2}, {"damping": 2}, {"gain": 1.5},
]  # fmt: skip


def test_everything_that_decides_a_cell_is_in_its_address(tiny_suite: Path, tiny_protocol: Protocol) -> None:
    changes = [{}, *PROMPTS_CHANGED, *ALL_CHANGED]
    changes = [change for change in changes if not _unserved(tiny_suite, tiny_protocol, change)]
    keys = [address(tiny_suite, "nearest_checkpoint", tiny_protocol, **change) for change in changes]
    assert len(set(keys)) == len(changes)
    assert keys == [address(tiny_suite, "nearest_checkpoint", tiny_protocol, **change) for change in changes]
    plan = make_plan(["nearest_checkpoint"], str(tiny_suite), "unseen", ["goal-030"], tiny_protocol, seed=1)
    assert plan.cells[0].key not in keys


def _unserved(suite: Path, protocol: Protocol, change: dict[str, Any]) -> bool:
    """The toy simulator has no friction, for example."""
    try:
        Protocol(**{**protocol.as_dict(), **change}).check_serves(load_suite(str(suite)))
    except ProtocolError:
        return True
    return False


@pytest.mark.parametrize("method", ["random_seen", "expert"])
def test_prompts_do_not_decide_cells_of_methods_that_see_none(
    tiny_suite: Path, tiny_protocol: Protocol, method: str
) -> None:
    blind = {address(tiny_suite, method, tiny_protocol, **change) for change in [{}, *PROMPTS_CHANGED]}
    assert len(blind) == 1
    assert address(tiny_suite, method, tiny_protocol, candidates=2) not in blind


def test_what_a_protocol_is_called_decides_no_cell(tiny_suite: Path, tiny_protocol: Protocol) -> None:
    key = address(tiny_suite, "nearest_checkpoint", tiny_protocol)
    assert address(tiny_suite, "nearest_checkpoint", tiny_protocol, name="mine", condition="base") == key
    assert address(tiny_suite, "nearest_checkpoint", tiny_protocol, mass=1, prompt_noise=0) == key


@pytest.mark.parametrize(
    ("protocol", "key"),
    [
        (Protocol(), "d85a28da836f02d8350a136e408d843c"),
        (Protocol(shots=4, prompt_source="partial"), "1accac8c712a0ddc1bc3304add736d8a"),
    ],
)
def test_settings_at_their_defaults_are_in_no_address(
    monkeypatch: pytest.MonkeyPatch, protocol: Protocol, key: str
) -> None:
    # Computed by hand, of the settings up to `prompt_source` alone: those that came later keep finished cells.
    monkeypatch.setattr(Plan, "fit_key", lambda *a: "f" * 32)
    plan = make_plan(["make_an_agent"], "toy-v1", "unseen", ["goal-030"], protocol)
    assert plan.cells[0].key == key


def test_what_was_learned_from_is_in_a_cells_address(edit_suite: Callable[..., Path], tiny_protocol: Protocol) -> None:
    def key(change: Callable[[dict[str, Any]], None] = lambda data: None) -> str:
        return make_plan(["random_seen"], str(edit_suite(change)), "unseen", ["goal-030"], tiny_protocol).cells[0].key

    assert key() == key()
    changed = [
        key(lambda data: data["dataset"]["small"]["distill"].update(updates=251)),
        key(lambda data: data["splits"]["unseen"].update(train=["goal-000", "goal-090"])),
        key(lambda data: data.update(horizon=99)),
    ]
    assert len({key(), *changed}) == 4


def test_the_tasks_beside_it_do_not_change_a_cells_address(tiny_suite: Path, tiny_protocol: Protocol) -> None:
    one = make_plan(["random_seen"], str(tiny_suite), "unseen", ["goal-210"], tiny_protocol)
    all_tasks = make_plan(["random_seen"], str(tiny_suite), "unseen", None, tiny_protocol)
    assert one.cells[0].key in {cell.key for cell in all_tasks.cells}
