"""The checkpoint dataset: typed, split by run, measured, rebuilt with the same bytes, checked when read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maa_bench.dataset.build import DatasetConfig, ShardJob, build_dataset, dataset_config, dataset_id, training_tasks
from maa_bench.dataset.schema import COLUMNS, ROLES
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.dataset.verify import first_success_steps, record_behavior
from maa_bench.errors import DataError
from maa_bench.execution.local import LocalExecutor
from maa_bench.forward import PackedPolicy
from maa_bench.prompts import OUTCOME, SEGMENT
from maa_bench.simulators import simulator_of
from maa_bench.suite import load_suite

TASKS = ("goal-000", "goal-030")
"""A seen and an unseen one."""


def build(suite: Path, folder: Path, workers: int = 1) -> None:
    with LocalExecutor(workers) as executor:
        config = dataset_config(load_suite(str(suite)), "small")
        build_dataset(str(suite), config, folder, executor.run, lambda done, total: None)


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


def test_the_schema_is_typed_with_vectors_of_fixed_size(tiny_dataset: CheckpointDataset) -> None:
    import datasets

    spec = tiny_dataset.suite.policy
    rows = tiny_dataset.hf("goal-000")
    assert isinstance(rows, datasets.Dataset)
    assert list(rows.features) == list(COLUMNS)
    sizes = {
        "params": spec.n_params,
        "observations": SEGMENT * spec.obs_dim,
        "actions": SEGMENT * spec.action_dim,
        "outcome": OUTCOME * spec.obs_dim,
    }
    for name, size in sizes.items():
        feature = rows.features[name]
        assert (feature.length, feature.feature.dtype) == (size, "float32"), name
    plain = {name: rows.features[name].dtype for name in ("task", "run", "seed", "step", "success", "episodes")}
    assert plain == {
        "task": "string", "run": "string", "seed": "int64", "step": "int64", "success": "float32", "episodes": "int32",
    }  # fmt: skip
    assert all(rows.data.table.schema.field(name).metadata for name in COLUMNS), "every column says what it is"


def test_columns_can_be_read_alone(tiny_dataset: CheckpointDataset) -> None:
    assert tiny_dataset.hf("goal-000", ["task", "success"]).column_names == ["task", "success"]


def test_rows_are_split_by_run(tiny_dataset: CheckpointDataset) -> None:
    seen = training_tasks(tiny_dataset.suite)
    for task in tiny_dataset.suite.tasks:
        rows = tiny_dataset.hf(task, ["row_id", "task", "role", "run", "step"])
        roles: dict[str, set[str]] = {}
        for run, role in zip(rows["run"], rows["role"], strict=True):
            roles.setdefault(run, set()).add(role)
        assert all(len(of_run) == 1 for of_run in roles.values()), "a run serves one role"
        assert set.union(*roles.values()) == ({"train", "prompt"} if task in seen else {"prompt"})
        assert len(set(rows["row_id"])) == len(rows)
        assert set(rows["task"]) == {task}
    assert {"train", "prompt"} <= set(ROLES)


def test_every_row_says_where_it_comes_from(tiny_dataset: CheckpointDataset) -> None:
    row = tiny_dataset.hf("goal-000")[0]
    assert row["row_id"] == f"goal-000/{row['run']}/{row['step']}"
    assert (row["suite"], row["producer"], row["spec_id"]) == ("tiny", "distill", tiny_dataset.suite.policy.id)
    assert "maa-bench" in json.loads(row["versions"])


@pytest.mark.parametrize("task", TASKS)
def test_recorded_success_is_that_of_a_new_roll_out(tiny_dataset: CheckpointDataset, task: str) -> None:
    suite = tiny_dataset.suite
    simulator = simulator_of(suite).open_task(suite.task(task))
    layouts = suite.layouts(task, "train")
    for row in tiny_dataset.hf(task):
        policy = PackedPolicy(suite.policy, np.array(row["params"], np.float32))
        firsts, _ = first_success_steps(simulator, policy, layouts[row["layouts"]], suite.horizon)
        assert firsts == row["first_success_steps"], row["row_id"]
        assert row["success"] == np.mean([first > 0 for first in firsts])
        assert row["episodes"] == len(firsts) == len(row["layouts"])


@pytest.mark.parametrize("task", TASKS)
def test_recorded_behaviour_is_that_of_its_own_parameters(tiny_dataset: CheckpointDataset, task: str) -> None:
    suite = tiny_dataset.suite
    simulator = simulator_of(suite).open_task(suite.task(task))
    layouts = suite.layouts(task, "train")
    shown = 0
    for row in tiny_dataset.hf(task):
        if row["behavior_layout"] < 0:
            assert not np.any(row["observations"])
            assert row["success"] == 0.0
            continue
        policy = PackedPolicy(suite.policy, np.array(row["params"], np.float32))
        again = record_behavior(simulator, policy, layouts[row["behavior_layout"]], suite.horizon)
        for name in ("observations", "actions", "outcome"):
            expected = getattr(again, name).astype(np.float32).ravel()
            np.testing.assert_array_equal(np.array(row[name], np.float32), expected, err_msg=row["row_id"])
        shown += 1
    assert shown


def test_the_outcome_begins_with_the_first_success(tiny_dataset: CheckpointDataset) -> None:
    """Within 0.1 of the toy's goal, whichever step of the segment that is."""
    goal = np.array([0.866, 0.5])
    for row in tiny_dataset.hf("goal-030"):
        outcome = np.array(row["outcome"]).reshape(OUTCOME, 4)
        first = row["first_success_steps"][row["layouts"].index(row["behavior_layout"])]
        assert np.linalg.norm(outcome[0, :2] - goal) <= 0.1 + 1e-6
        if first < SEGMENT:
            states = np.array(row["observations"]).reshape(SEGMENT, 4)
            np.testing.assert_array_equal(states[first], outcome[0])
            assert np.linalg.norm(states[first - 1, :2] - goal) > 0.1


def test_a_policy_that_fails_has_no_behaviour_to_record(tiny_dataset: CheckpointDataset) -> None:
    suite = tiny_dataset.suite
    simulator = simulator_of(suite).open_task(suite.task("goal-000"))
    still = PackedPolicy(suite.policy, np.zeros(suite.policy.n_params, np.float32))
    with pytest.raises(ValueError, match="does not succeed"):
        record_behavior(simulator, still, suite.layouts("goal-000", "train")[0], suite.horizon)


def test_two_workers_build_the_same_bytes_as_one(
    tiny_suite: Path, tiny_dataset: CheckpointDataset, tmp_path: Path
) -> None:
    build(tiny_suite, tmp_path / "again", workers=2)
    assert shards(tmp_path / "again") == shards(tiny_dataset.folder)
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (tiny_dataset.folder / "manifest.json").read_bytes()


class CountingExecutor(LocalExecutor):
    """Remembers the tasks that it was asked to build."""

    def run(self, jobs, finished, reported=lambda *_: None):  # type: ignore[no-untyped-def]
        self.tasks = [job.task for job in jobs if isinstance(job, ShardJob)]
        super().run(jobs, finished, reported)


@pytest.mark.parametrize("damage", ["no manifest", "shard gone", "shard truncated", "shard's description gone"])
def test_a_build_goes_on_where_it_stopped(
    tiny_suite: Path, tiny_dataset: CheckpointDataset, tmp_path: Path, damage: str
) -> None:
    import shutil

    folder = tmp_path / "resumed"
    shutil.copytree(tiny_dataset.folder, folder)
    (folder / "manifest.json").unlink()
    shard = folder / "goal-090.parquet"
    if damage == "shard gone":
        shard.unlink()
    elif damage == "shard truncated":
        shard.write_bytes(shard.read_bytes()[:-10])
    elif damage == "shard's description gone":
        shard.with_suffix(".json").unlink()
    with CountingExecutor(1) as executor:
        config = dataset_config(load_suite(str(tiny_suite)), "small")
        progress: list[tuple[int, int]] = []
        build_dataset(str(tiny_suite), config, folder, executor.run, lambda *now: progress.append(now))
    assert executor.tasks == ([] if damage == "no manifest" else ["goal-090"])
    assert progress[-1] == (6, 6)
    assert shards(folder) == shards(tiny_dataset.folder)
    assert (folder / "manifest.json").read_bytes() == (tiny_dataset.folder / "manifest.json").read_bytes()


def test_a_build_that_is_stopped_leaves_whole_shards_only(tiny_suite: Path, tmp_path: Path) -> None:
    folder, done = tmp_path / "stopped", []

    def stop(count: int, total: int) -> None:
        done.append(count)
        if count == 2:
            raise KeyboardInterrupt

    config = dataset_config(load_suite(str(tiny_suite)), "small")
    with pytest.raises(KeyboardInterrupt), LocalExecutor(1) as executor:
        build_dataset(str(tiny_suite), config, folder, executor.run, stop)
    assert sorted(path.name for path in folder.iterdir()) == [
        "goal-000.json", "goal-000.parquet", "goal-090.json", "goal-090.parquet",
    ]  # fmt: skip
    with pytest.raises(DataError, match=r"no dataset at .*: build it with `maa-bench data build`"):
        CheckpointDataset(folder, load_suite(str(tiny_suite)))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, empty, Path.unlink])
def test_a_damaged_shard_is_one_clear_error(
    tiny_cache_copy: Path, tiny_suite: Path, damage: Callable[[Path], None]
) -> None:
    (folder,) = (tiny_cache_copy / "datasets").iterdir()
    damage(folder / "goal-090.parquet")
    data = CheckpointDataset(folder, load_suite(str(tiny_suite)))
    data.prompts("goal-030", 2, 0)
    with pytest.raises(DataError, match=r"goal-090\.parquet.*: delete .*goal-090\.parquet and run|goal-090.*; delete"):
        data.training_set("unseen")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"identity": [], "id": "x", "shards": {}}'])
def test_a_damaged_manifest_is_one_clear_error(tiny_cache_copy: Path, tiny_suite: Path, content: str) -> None:
    (folder,) = (tiny_cache_copy / "datasets").iterdir()
    (folder / "manifest.json").write_text(content)
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        CheckpointDataset(folder, load_suite(str(tiny_suite)))


def test_a_dataset_of_other_layouts_is_refused(
    tiny_dataset: CheckpointDataset, edit_suite: Callable[..., Path]
) -> None:
    def shift(arrays: dict[str, np.ndarray]) -> None:
        arrays["goal-000/test"] = arrays["goal-000/test"] + 0.01

    with pytest.raises(DataError, match="not for tiny as it is now"):
        CheckpointDataset(tiny_dataset.folder, load_suite(str(edit_suite(layouts=shift))))


def test_a_datasets_name_follows_everything_that_decides_its_numbers(edit_suite: Callable[..., Path]) -> None:
    def name(change: Callable[[dict], None] = lambda data: None, scale: str = "small") -> str:
        suite = load_suite(str(edit_suite(change)))
        return dataset_id(suite, dataset_config(suite, scale))  # type: ignore[arg-type]

    assert name() == name()
    assert name() == name(lambda data: data.update(description="other words")), "words decide no numbers"
    changed = [
        name(lambda data: data.update(horizon=99)),
        name(lambda data: data["tasks"]["goal-000"]["options"].update(goal=[1.0, 0.1])),
        name(lambda data: data["policy"].update(hidden=[16, 17])),
        name(lambda data: data["dataset"]["small"].update(updates=251)),
        name(lambda data: data["splits"]["seen"].update(train=["goal-000"], test=["goal-000"])),
    ]
    assert name() not in changed[:4]
    assert len(set(changed[:4])) == 4
    assert changed[4] == name(), "the unseen split still trains on the same tasks"
    assert name(scale="paper") != name()


def test_a_task_that_is_never_learned_is_named(edit_suite: Callable[..., Path], tmp_path: Path) -> None:
    def unlearnable(data: dict) -> None:
        data["dataset"]["small"].update(updates=2, first_checkpoint=1, train_every=1, prompt_every=1)

    with pytest.raises(DataError, match="task 'goal-000' of tiny: no checkpoint reached success 1 in 2 updates"):
        build(edit_suite(unlearnable), tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_the_papers_scale_has_its_1500_checkpoints_a_task() -> None:
    config = dataset_config(load_suite("metaworld-v1"), "paper")
    per_run = 1 + (config.distill.updates - config.distill.first_checkpoint) // config.train_every
    assert config.train_runs * per_run >= 1500
    assert isinstance(config, DatasetConfig)
