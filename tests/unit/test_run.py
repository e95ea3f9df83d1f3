"""The main job end to end on the tiny suite: records, reuse, strangers' methods, broken contracts."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maa_bench import registry, work
from maa_bench.errors import MethodError
from maa_bench.files import sha256_of
from maa_bench.main_job import run_methods
from maa_bench.plan import make_plan
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.record import RunRecord
from maa_bench.registry import CONTROLS
from maa_bench.results import CANDIDATES, EPISODES, RECORD, load_episodes, validate_record
from maa_bench.suite import load_suite

Run = Callable[..., list[RunRecord]]

METHODS = Path(__file__).parents[1] / "strangers" / "plain.py"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable module of strangers' methods, which logs what is called."""
    name = f"strangers_{abs(hash(tmp_path))}"
    shutil.copy(METHODS, tmp_path / f"{name}.py")
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def calls(module: str, tmp_path: Path) -> Callable[[], list[str]]:
    """What was called since it was last asked."""
    log = tmp_path / f"{module}.log"

    def read() -> list[str]:
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    return read


@pytest.fixture
def run(tiny_suite: Path, tiny_protocol: Protocol, warm_cache_copy: Path, tmp_path: Path, monkeypatch: Any) -> Run:
    """`run_methods` on the tiny suite; other engineers' commits in between shall not show in the record."""
    monkeypatch.setattr("maa_bench.environment._git_info", lambda package: None)

    def call(*methods: str, **options: Any) -> list[RunRecord]:
        defaults: dict[str, Any] = {
            "suite": str(tiny_suite),
            "protocol": tiny_protocol,
            "workers": 1,
            "results_dir": tmp_path / "results",
            "cache_dir": warm_cache_copy,
            "progress": Progress(quiet=True),
        }
        return run_methods(methods, **{**defaults, **options})

    return call


def record_folders(results: Path) -> dict[str, Path]:
    return {path.parent.parent.name: path.parent for path in results.glob("*/*/record.json")}


def file_bytes(results: Path) -> dict[str, bytes]:
    return {str(path.relative_to(results)): path.read_bytes() for path in sorted(results.rglob("*")) if path.is_file()}


def test_a_run_writes_records_of_the_method_and_the_controls(run: Run, module: str, tmp_path: Path) -> None:
    records = run(f"{module}:Mean")
    assert [record.method.name for record in records] == ["mean_of_seen", *CONTROLS]
    folders = record_folders(tmp_path / "results")
    assert set(folders) == {"mean_of_seen", *CONTROLS}
    for record in records:
        folder = folders[record.method.name]
        assert validate_record(folder) == record
        assert record.run_id == folder.name
        assert record.split.test == ("goal-030", "goal-210")
        assert set(record.metrics.tasks) == {"goal-030", "goal-210"}
        candidates = 1 if record.method.name == "expert" else 3
        assert load_episodes(folder).num_rows == 2 * candidates * (3 + 4)
        assert record.cost.environment_steps > 0
    assert records[-1].metrics.aggregate.mean.value == 1.0, "the expert is the ceiling"


def test_generated_weights_are_in_the_record_by_their_hash(run: Run, module: str, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    (record, *_) = run(f"{module}:Mean")
    folder = record_folders(tmp_path / "results")["mean_of_seen"]
    assert record.files[CANDIDATES].sha256 == sha256_of(folder / CANDIDATES)
    assert record.files[EPISODES].sha256 == sha256_of(folder / EPISODES)
    arrays = load_file(folder / CANDIDATES)
    assert {name: array.shape for name, array in arrays.items()} == {
        "0/goal-030": (3, 420),
        "0/goal-210": (3, 420),
    }
    expert = record_folders(tmp_path / "results")["expert"]
    assert not (expert / CANDIDATES).exists()


def test_weights_in_the_record_make_its_episodes_again(run: Run, module: str, tmp_path: Path, tiny_suite: Path) -> None:
    from safetensors.numpy import load_file

    from maa_bench.evaluator import EpisodeJob
    from maa_bench.method import FlatPolicies

    run(f"{module}:Mean")
    folder = record_folders(tmp_path / "results")["mean_of_seen"]
    rows = load_episodes(folder).to_pandas().query("task == 'goal-210' and layout_set == 'test'")
    spec = load_suite(str(tiny_suite)).policy
    agents = FlatPolicies(spec, load_file(folder / CANDIDATES)["0/goal-210"])
    job = EpisodeJob(str(tiny_suite), "goal-210", agents, (0, 1, 2), (("test", 4),))
    np.testing.assert_array_equal(job(lambda *_: None).first_success.ravel(), rows["first_success_step"])


def test_a_second_run_does_nothing_and_gives_the_same_bytes(
    run: Run, module: str, calls: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(f"{module}:Mean")
    assert calls() == ["fit", "generate goal-030", "generate goal-210"]
    before = file_bytes(tmp_path / "results")
    monkeypatch.setattr(work.Campaign, "run", lambda *_: pytest.fail("work was done again"))
    assert run(f"{module}:Mean") == first
    assert file_bytes(tmp_path / "results") == before
    shutil.rmtree(tmp_path / "results")
    assert run(f"{module}:Mean") == first
    assert file_bytes(tmp_path / "results") == before
    assert calls() == []


def test_a_run_with_two_workers_has_the_same_episodes_and_weights(run: Run, module: str, tmp_path: Path) -> None:
    cold = tmp_path / "cold"
    shutil.copytree(tmp_path / "cache", cold)
    run(f"{module}:Mean", f"{module}:Heading", workers=1)
    run(f"{module}:Mean", f"{module}:Heading", workers=2, cache_dir=cold, results_dir=tmp_path / "two")
    one, two = file_bytes(tmp_path / "results"), file_bytes(tmp_path / "two")
    assert set(one) == set(two)
    for name in one:
        if not name.endswith(RECORD):
            assert one[name] == two[name], name
    for name in (name for name in one if name.endswith(RECORD)):
        records = [json.loads(content[name]) for content in (one, two)]
        for record in records:
            del record["cost"]
        assert records[0] == records[1]


def test_a_damaged_record_is_written_again(run: Run, module: str, tmp_path: Path) -> None:
    run(f"{module}:Mean")
    before = file_bytes(tmp_path / "results")
    folder = record_folders(tmp_path / "results")["mean_of_seen"]
    (folder / EPISODES).write_bytes((folder / EPISODES).read_bytes()[:-20])
    run(f"{module}:Mean")
    assert file_bytes(tmp_path / "results") == before


def test_a_record_whose_numbers_are_not_its_episodes_is_written_again(run: Run, module: str, tmp_path: Path) -> None:
    run(f"{module}:Mean")
    before = file_bytes(tmp_path / "results")
    path = record_folders(tmp_path / "results")["mean_of_seen"] / RECORD
    raw = json.loads(path.read_text())
    raw["metrics"]["aggregate"]["mean"]["ci"] = [0.0, 1.0]
    path.write_text(json.dumps(raw))
    run(f"{module}:Mean")
    assert file_bytes(tmp_path / "results") == before


def test_more_training_seeds_add_only_their_own_work(run: Run, module: str, calls: Callable[[], list[str]]) -> None:
    (one, *_) = run(f"{module}:Mean")
    calls()
    (two, *_) = run(f"{module}:Mean", seeds=2)
    assert calls() == ["fit", "generate goal-030", "generate goal-210"]
    assert (one.seeds.train, two.seeds.train) == ((0,), (0, 1))
    assert one.run_id != two.run_id


def test_seeds_give_other_candidates_and_are_told_apart_in_the_episodes(run: Run, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    run("random_weights", seeds=2, seed=4)
    folder = record_folders(tmp_path / "results")["random_weights"]
    arrays = load_file(folder / CANDIDATES)
    assert set(arrays) == {f"{seed}/{task}" for seed in (4, 5) for task in ("goal-030", "goal-210")}
    assert len({array.tobytes() for array in arrays.values()}) == 4
    assert set(load_episodes(folder).column("train_seed").to_pylist()) == {4, 5}


def test_agents_need_not_be_flat_policies(run: Run, module: str, tmp_path: Path) -> None:
    (record, *_) = run(f"{module}:Heading")
    assert record.metrics.aggregate.mean.value == 1.0, "it reads the goal off the prompt"
    assert CANDIDATES not in record.files
    assert not (record_folders(tmp_path / "results")["heading"] / CANDIDATES).exists()


def test_a_strangers_method_runs_exactly_like_a_registered_one(
    run: Run, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same class by `module:Class` and by entry point: same bytes but for the way it was named."""
    from importlib.metadata import EntryPoint

    from maa_bench import registry

    named = run("maa_bench.baselines.controls:NearestCheckpoint", results_dir=tmp_path / "by_class")[0]
    registered = run("nearest_checkpoint", results_dir=tmp_path / "by_name")[0]
    assert named.run_id == registered.run_id
    assert named.metrics == registered.metrics
    assert named.files == registered.files

    ours = registry.entry_points(group=registry.GROUP)
    added = EntryPoint("theirs", f"{module}:Mean", registry.GROUP)
    by_class = run(f"{module}:Mean", results_dir=tmp_path / "a")[0]
    monkeypatch.setattr(registry, "entry_points", lambda group: [*ours, added])
    by_name = run("theirs", results_dir=tmp_path / "b", cache_dir=_only_the_dataset(tmp_path))[0]
    assert by_name.run_id == by_class.run_id
    assert by_name.files == by_class.files


def _only_the_dataset(tmp_path: Path) -> Path:
    fresh = tmp_path / "fresh"
    shutil.copytree(tmp_path / "cache", fresh)
    for name in ("fits", "cells"):
        shutil.rmtree(fresh / name)
    return fresh


def test_a_change_of_the_methods_source_changes_the_run(
    run: Run, module: str, calls: Callable[[], list[str]], tmp_path: Path
) -> None:
    (before, *_) = run(f"{module}:Mean")
    file = tmp_path / f"{module}.py"
    file.write_text(file.read_text() + "# a change\n")
    calls()
    registry._imported.pop(module)  # as a new Python does
    sys.modules.pop(module)
    (after, *_) = run(f"{module}:Mean")
    assert after.run_id != before.run_id
    assert "fit" in calls(), "results of older code are not taken for its own"


def test_a_method_that_saves_is_not_fitted_again(run: Run, module: str, calls: Callable[[], list[str]]) -> None:
    run(f"{module}:Saved", tasks=["goal-030"])
    assert calls() == ["fit", "generate goal-030"]
    run(f"{module}:Saved")
    assert calls() == ["load", "generate goal-210"]


def test_finished_cells_are_kept_when_a_run_is_stopped(
    run: Run, module: str, calls: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from maa_bench.cache import Cache

    save, saved = Cache.save_cell, []

    def stop_at_the_second(self: Cache, key: str, cell: Any, replace: bool = True) -> None:
        if saved:
            raise KeyboardInterrupt
        saved.append(key)
        save(self, key, cell, replace)

    cells = tmp_path / "cache" / "cells"
    controls = {path.name for path in cells.iterdir()}
    monkeypatch.setattr(Cache, "save_cell", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run(f"{module}:Mean")
    assert {path.name for path in cells.iterdir()} - controls == set(saved)
    assert not (tmp_path / "results").exists()
    monkeypatch.setattr(Cache, "save_cell", save)
    (resumed, *_) = run(f"{module}:Mean")
    shutil.rmtree(cells)
    (fresh, *_) = run(f"{module}:Mean", results_dir=tmp_path / "fresh")
    assert resumed.files == fresh.files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nothing", "generate for task 'goal-030' returned NoneType, not Agents"),
        ("Array", "generate for task 'goal-030' returned ndarray, not Agents"),
        ("TooFew", "returned 2 candidates, not 3"),
        ("Nan", "generate for task 'goal-030': policy parameters of row 0 hold NaN"),
        ("WrongSize", r"policy parameters have shape \(3, 419\)"),
        ("Raises", "generate for task 'goal-030' raised ZeroDivisionError"),
        ("OtherSpec", "returned policies gaussian-4-5relu-2, not gaussian-4-16elu-16relu-2"),
        ("FitRaises", "fit raised RuntimeError: no luck"),
        ("Writes", "fit raised ValueError: .*read-only"),
    ],
)
def test_a_method_that_breaks_its_contract_fails_alone(
    run: Run, module: str, tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(MethodError, match=rf"method '{module}:{name}': .*{message}"):
        run(f"{module}:{name}", f"{module}:Heading")
    assert set(record_folders(tmp_path / "results")) == {"heading", *CONTROLS}, "the others went on"
    (path,) = tmp_path.glob("results/*/*/failures.json")
    failures = json.loads(path.read_text())["failures"]
    assert [failure["task"] for failure in failures] == ["goal-030", "goal-210"]
    assert re.search(message, failures[0]["reason"])


def test_two_methods_of_one_name_do_not_mix(run: Run, module: str) -> None:
    """Regression: cells were grouped by the card's name, so the second got the first one's candidates."""
    with pytest.raises(MethodError, match="both have the card name 'mean_of_seen'"):
        run(f"{module}:Mean", f"{module}:Writes")


def test_two_classes_of_one_file_and_card_do_not_share_results(run: Run, module: str) -> None:
    run(f"{module}:Mean")
    with pytest.raises(MethodError, match="Writes': fit raised"):
        run(f"{module}:Writes")


def test_one_method_by_two_names_is_run_once(run: Run, module: str) -> None:
    records = run("random_seen", "maa_bench.baselines.controls:RandomSeen")
    assert [record.method.name for record in records].count("random_seen") == 1


def test_an_empty_cache_says_so_and_builds_the_dataset(
    run: Run, tiny_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("random_weights", cache_dir=tmp_path / "new", progress=Progress())
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0].startswith("no dataset tiny-")
    assert lines[0].endswith("building it")
    assert any(line.startswith("checkpoints: 120/120 checkpoints in ") for line in lines)
    assert any(line.startswith("evaluate: ") and "episodes in" in line for line in lines)
    (old,), (new,) = (tiny_cache / "datasets").iterdir(), (tmp_path / "new" / "datasets").iterdir()
    assert new.name == old.name
    assert (new / "manifest.json").read_bytes() == (old / "manifest.json").read_bytes()


def test_run_ids_name_suite_split_and_content(run: Run, tiny_suite: Path, tiny_protocol: Protocol) -> None:
    from maa_bench.recording import run_id

    plan = make_plan(["expert"], str(tiny_suite), "unseen", None, tiny_protocol)
    other = make_plan(["expert"], str(tiny_suite), "unseen", ["goal-030"], tiny_protocol)
    assert run_id(plan, plan.methods[0]).startswith("tiny-unseen-")
    assert run_id(plan, plan.methods[0]) != run_id(other, other.methods[0])


def test_all_runs_every_method_and_names_those_that_cannot_be(
    run: Run, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import EntryPoint

    added = [
        EntryPoint("theirs", f"{module}:Mean", registry.GROUP),
        EntryPoint("gone", "no_such_module_anywhere:M", registry.GROUP),
    ]
    cheap = {"single_task", *CONTROLS}
    ours = [entry for entry in registry.entry_points(group=registry.GROUP) if entry.name in cheap]
    monkeypatch.setattr(registry, "entry_points", lambda group: [*ours, *added])
    with pytest.raises(MethodError, match="gone: cannot import method 'no_such_module_anywhere:M'"):
        run("all")
    assert set(record_folders(tmp_path / "results")) == {"mean_of_seen", *cheap}
    monkeypatch.setattr(registry, "entry_points", lambda group: [*ours, added[0]])
    names = [record.method.name for record in run(f"{module}:Heading", "all")]
    assert names == ["heading", "mean_of_seen", "single_task", *CONTROLS]


def test_episodes_go_before_fits_that_have_not_begun_and_policies_are_not_kept_in_memory(
    module: str, tiny_suite: Path, tiny_protocol: Protocol, tiny_cache_copy: Path, calls: Callable[[], list[str]]
) -> None:
    """19 methods and 4 seeds: what waits in memory is bounded by what is being worked on, not by the run."""
    from maa_bench.cache import Cache, CellResult
    from maa_bench.execution.local import LocalExecutor
    from maa_bench.fitting import FitJob

    plan = make_plan([f"{module}:Mean"], str(tiny_suite), "unseen", None, tiny_protocol, seeds=3)
    cells = [cell for cell in plan.cells if cell.method.card.name == "mean_of_seen"]
    cache = Cache(tiny_cache_copy)
    folder = cache.dataset_folder(plan.dataset_id)
    campaign = work.Campaign(plan, cells, folder, cache, Progress(quiet=True))
    ended: list[str] = []
    waiting: list[int] = []

    class Watching(LocalExecutor):
        def run(self, jobs: Any, finished: Any, *more: Any) -> None:
            def watch(index: int, result: Any) -> Any:
                ended.append("fit" if index in campaign._fits else "episodes")
                new = finished(index, result)
                waiting.append(len(campaign._episodes))
                return new

            assert all(isinstance(job, FitJob) for job in jobs)
            super().run(jobs, watch, *more)

    with Watching(1) as executor:
        results = campaign.run(executor)
    assert ended == ["fit", "episodes", "episodes"] * 3
    assert max(waiting) == 2, "the two tasks of one fit"
    assert len(results) == 6
    for key, result in results.items():
        assert isinstance(result, CellResult)
        assert result.params is None
        kept = cache.load_cell(key)
        assert isinstance(kept, CellResult)
        assert kept.params is not None
        assert kept.params.shape == (3, 420)
        assert cache.load_cell(key, with_params=False).params is None  # type: ignore[union-attr]
