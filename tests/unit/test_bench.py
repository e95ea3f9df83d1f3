"""The benchmark of speed: its arithmetic on known numbers, its output, and that different work is not compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maa_bench.bench import PARTS, DifferentWorkError, Report, Settings, Sweep, TaskResult, _same, middle, mixture
from maa_bench.bench.limit import limit_of, no_limit
from maa_bench.bench.ways import Lap, LayoutEnv, NumpyPolicy, Vector, Work, deal
from maa_bench.cli import main
from maa_bench.errors import ProtocolError
from maa_bench.policy import act
from maa_bench.report.bench import as_markdown, notes, tables
from maa_bench.simulators import Resets, simulator_of
from maa_bench.simulators.catalogue import SIMULATORS, Entry
from maa_bench.suite import load_suite

TOY = load_suite("toy-v1")


def result(task: str, ours_1: list[float], ours_2: list[float], **others: list[float]) -> TaskResult:
    return TaskResult(task, 4, 2000, {"ours_1": ours_1, "ours_2": ours_2, **others}, {"naive": 1}, None, None)


def report(*tasks: TaskResult) -> Report:
    machine = {"cpu": "a|b", "cores": 2, "load_before": 0.1, "platform": "x", "python": "3.11", "packages": {"m": "1"}}
    return Report("some-v1", Settings(), machine, tasks, Sweep("t", 100, 5, 250_000, 20.0, 10.0), 1.5, 60.0)


def test_a_ratio_is_the_median_of_ratios_within_a_round() -> None:
    # The machine is twice as fast in round 2 and stalls ours in round 3: medians of rates would say 90 / 200.
    one = result(
        "a",
        [90.0, 180.0, 20.0],
        [180.0, 342.0, 38.0],
        physics=[100.0, 200.0, 200.0],
        naive=[30.0, 60.0, 60.0],
        stock_numpy=[30.0, 80.0, 80.0],
    )
    assert one.ratio("ours_1", "physics") == pytest.approx(0.9)
    found = report(one).ratios(one)
    assert found["physics_ratio"] == pytest.approx(0.9)
    assert found["naive_ratio"] == pytest.approx(5.7)  # of 6, 5.7 and 0.63
    assert found["stock_ratio"] == pytest.approx(2.25)  # 1 worker each: of 3, 2.25 and 0.25
    assert found["scaling_2"] == pytest.approx(1.9)  # of 2, 1.9 and 1.9


def test_medians_are_of_the_tasks_that_have_the_number() -> None:
    a = result("a", [80.0], [160.0], physics=[100.0])
    b = result("b", [90.0], [162.0], physics=[100.0], stock_numpy=[36.0])
    c = result("c", [10.0], [15.0], stock_numpy=[5.0])
    expected = {
        "physics_ratio": 0.85,
        "stock_ratio": 2.25,
        "naive_ratio": None,
        "scaling_2": 1.8,
        "physics_scaling_2": None,
    }
    assert report(a, b, c).medians() == pytest.approx(expected)
    assert middle([None, None]) is None


def test_json_and_tables_of_a_whole_report() -> None:
    parts = dict(zip(PARTS, (80.0, 8.0, 2.0, 1.0, 0.5, 0.5), strict=True))
    whole = TaskResult(
        "a",
        4,
        1500,
        {
            "naive": [3000.0, 4000.0],
            "stock_numpy": [3600.0, 4500.0],
            "physics": [10_000.0, 12_000.0],
            "ours_1": [9000.0] * 2,
            "ours_2": [18_000.0] * 2,
        },
        {"naive": 1, "stock_numpy": 0},
        Resets(5e-3, 4e-3, 6e-3, 4e-5),
        parts,
    )
    found = report(whole)
    document = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert {"tasks", "physics_ratio", "stock_ratio", "naive_ratio", "scaling_2"} <= set(document)
    assert {"machine", "settings", "sweep"} <= set(document)
    assert document["physics_ratio"] == pytest.approx(0.825)
    assert document["naive_ratio"] == pytest.approx(5.25)
    assert document["scaling_2"] == 2.0
    (row,) = document["tasks"]
    assert document["stock_ratio"] == row["stock_ratio"] == 2.25
    rates = {"naive": 3500, "stock_numpy": 4050, "physics": 11_000, "ours_1": 9000, "ours_2": 18_000}
    assert row["steps_per_second"] == rates
    assert row["no_limit"] is None
    assert row["reset_us"] == {"stock": 5000, "physics": 4000, "first": 6000, "later": 40}
    assert row["parts_us"] == parts

    text = as_markdown(found)
    assert "| ours, 2 workers | of the limit | x stock | x naive | x 1 worker |" in text
    assert "| a | 1,500 | 3,500 | 4,050 | 11,000 | 9,000 | 18,000 | 0.82 | 2.25 | 5.25 | 2.00 |" in text
    assert "| median | 1,500 | 3,500 | 4,050 | 11,000 | 9,000 | 18,000 | 0.82 | 2.25 | 5.25 | 2.00 |" in text
    assert not any("No limit" in line or "no naive loop" in line for line in notes(found))
    assert "| a | 80.00 | 8.00 | 2.00 | 1.00 | 0.50 | 0.50 | 92.00 | 0.87 |" in text
    assert "| a | 5,000 | 4,000 | 6,000 | 40 | 1.25 | 1.50 | 0.010 |" in text
    assert r"* a\|b, 2 cores" in text
    assert any("20.0 s with 1 worker, 10.0 s with 2 (2.00 x)" in line for line in notes(found))
    assert any("1 of 4 episodes had another first success" in line for line in notes(found))
    assert len(tables(report(result("b", [1.0], [2.0])))) == 1, "no parts and no resets, no tables of them"


def test_the_notes_say_why_there_is_no_limit() -> None:
    a = replace(result("a", [80.0], [160.0], stock_numpy=[30.0]), no_limit="its loop is off")
    b = replace(result("b", [80.0], [160.0], stock_numpy=[30.0], physics=[90.0]), no_limit="")
    assert any(line.startswith("No limit for 1 of 2 tasks: its loop is off.") for line in notes(report(a, b)))
    assert report(a, b).to_json()["tasks"][0]["no_limit"] == "its loop is off"
    assert any("no naive loop" in line for line in notes(report(a, b)))
    assert not any("physics engine" in line for line in notes(report(a, b)))


THIRD = """
from maa_bench.simulators.toy import *
from maa_bench.simulators.toy import open_task, versions

FAST = True

def has_fast_path(task):
    return FAST
"""

THIRD_PHYSICS = """
from types import SimpleNamespace

from maa_bench.simulators import Resets

NEEDS_FAST_PATH = True
WHOLE_EPISODES = False

class Replay:
    def __init__(self, simulator):
        self.simulator = simulator

    def record(self, policy, layout, horizon):
        first, steps = self.simulator.first_success(policy, layout, horizon)
        return SimpleNamespace(first_success=first, inputs=[0.0] * steps)

    def seconds(self, recording):
        return 0.5 * len(recording.inputs)
"""

THIRD_RESETS = """
def reset_times(task, ours, policy, layouts):
    return Resets(4.0, 3.0, 2.0, 1.0)
"""


@pytest.fixture
def third(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A simulator that the benchmark has never heard of: a package, whose `physics` a test may write."""
    name = "third_simulator"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(THIRD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(SIMULATORS, name, Entry(name, (), "none"))
    yield tmp_path / name
    for module in (name, f"{name}.physics"):
        sys.modules.pop(module, None)


def third_work() -> Work:
    return Work(replace(TOY, simulator="third_simulator", horizon=20), "goal-000", mixture(TOY.policy, 2), 2)


@pytest.mark.parametrize("resets", ["", THIRD_RESETS], ids=["resets simulate nothing", "resets are timed"])
def test_a_simulator_tells_its_physics_by_a_module_of_its_own(third: Path, resets: str) -> None:
    (third / "physics.py").write_text(THIRD_PHYSICS + resets)
    work = third_work()
    limit = limit_of(work)
    assert limit is not None
    simulator = simulator_of(TOY).open_task(TOY.task("goal-000"))
    rolled = [simulator.first_success(work.packed[p], work.layouts[k], 20) for p, k in work.episodes]
    assert limit.recorded.first_success.ravel().tolist() == [first for first, _ in rolled]
    assert limit.run().seconds == 0.5 * sum(steps for _, steps in rolled)
    assert not limit.compiled
    assert limit.resets() == (Resets(4.0, 3.0, 2.0, 1.0) if resets else None)


def test_without_the_fast_path_that_it_needs_there_is_no_limit(third: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (third / "physics.py").write_text(THIRD_PHYSICS)
    work = third_work()
    assert no_limit(work) == ""
    monkeypatch.setattr(simulator_of(work.suite), "FAST", False)
    assert limit_of(work) is None
    assert "compiled loop is off" in no_limit(work)


def test_a_simulator_without_a_physics_module_has_no_limit(third: Path) -> None:
    for work in (third_work(), Work(TOY, "goal-000", mixture(TOY.policy, 1), 1)):  # a package, and a single file
        assert limit_of(work) is None
        assert "has no physics engine" in no_limit(work)


def test_different_work_is_refused() -> None:
    reference = Lap(np.array([[-1], [12]]), 512, 1.0)
    _same("two laps", Lap(np.array([[-1], [12], [-1], [12]]), 1024, 1.0), reference)
    with pytest.raises(DifferentWorkError, match="other first successes"):
        _same("one step later", Lap(np.array([[-1], [12], [-1], [13]]), 1025, 1.0), reference)


def test_episodes_are_dealt_the_longest_first() -> None:
    assert deal([10, 500, 20, 480], 2) == [[1, 0], [3, 2]]
    assert deal([5, 5], 4) == [[0], [1]]


def test_the_mixture_holds_policies_of_different_temper_and_grows_by_appending() -> None:
    policies = mixture(TOY.policy, 4)
    assert policies.params.tobytes() == mixture(TOY.policy, 6).params[:4].tobytes()
    assert len({row.tobytes() for row in policies.params}) == 4
    assert np.abs(policies.params[1]).max() > 2 * np.abs(policies.params[0]).max()


def test_the_numpy_policy_acts_as_ours_does() -> None:
    spec = load_suite("metaworld-v1").policy
    policies = mixture(spec, 2)
    observations = np.random.default_rng(0).standard_normal((2, spec.obs_dim))
    expected = act(spec, policies.params, observations)
    for params, obs, action in zip(policies.params, observations, expected, strict=True):
        np.testing.assert_allclose(NumpyPolicy(spec, params).act(obs), action, atol=1e-5)


@pytest.mark.parametrize("n_envs", [2, 3])
def test_a_vector_environment_runs_the_episodes_of_the_plain_loop(n_envs: int) -> None:
    work = Work(TOY, "goal-000", mixture(TOY.policy, 5), 2)
    simulator = simulator_of(TOY).open_task(TOY.task("goal-000"))
    rolled = [simulator.first_success(work.packed[p], work.layouts[k], TOY.horizon) for p, k in work.episodes]
    way = Vector(work, "sync", n_envs, [steps for _, steps in rolled])
    for _ in range(2):  # the second lap begins with the first layouts again
        lap = way.run()
        assert lap.first_success.ravel().tolist() == [first for first, _ in rolled]
        assert lap.steps == sum(steps for _, steps in rolled)
    way.close()


def test_the_environment_of_layouts_ends_at_the_horizon() -> None:
    env = LayoutEnv("toy-v1", "goal-000", TOY.layouts("goal-000", "test")[:2])
    first, _ = env.reset()
    second, _ = env.reset()
    assert first.tobytes() != second.tobytes()
    assert env.reset(options={"again": True})[0].tobytes() == first.tobytes()
    away = np.array([-1.0, 0.0], np.float32)
    flags = [env.step(away)[2:4] for _ in range(TOY.horizon)]
    assert flags == [(False, False)] * (TOY.horizon - 1) + [(False, True)]


@pytest.mark.parametrize("name", ["policies", "layouts", "rounds", "laps", "workers"])
def test_nothing_cannot_be_measured(name: str) -> None:
    changed: dict[str, Any] = {name: 0}
    with pytest.raises(ProtocolError, match=f"--{name} must be at least"):
        Settings(**changed)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--tasks", "goal-00"], "has no task 'goal-00'"),
        (["--tasks", ","], "--tasks names no task"),
        (["--rounds", "0"], "--rounds must be at least 1, not 0"),
        (["--workers", "1"], "--workers must be at least 2, not 1"),
        (["--layouts", "1000"], "--layouts must not be more"),
        (["--json", "--markdown"], "exclude each other"),
    ],
)
def test_bad_flags_are_one_line(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--suite", "toy-v1", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err


def test_the_verb_measures_the_toy_suite_and_says_what_it_lacks(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--suite", "toy-v1", "--tasks", "goal-000", "--quick", "--json", "--quiet"]) == 0
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert err == ""
    assert document["physics_ratio"] is None
    assert document["stock_ratio"] > 0
    assert document["naive_ratio"] is None
    assert document["scaling_2"] > 0
    (row,) = document["tasks"]
    assert set(row["steps_per_second"]) == {"stock_numpy", "sync_vector", "async_vector", "ours_1", "ours_2"}
    assert min(row["steps_per_second"].values()) > 0
    assert row["no_limit"] == "the simulator 'toy' has no physics engine that could run alone"
