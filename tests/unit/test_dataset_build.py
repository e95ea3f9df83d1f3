"""Building a dataset: the same bytes however it is cut, killed or resumed; what cannot be built is one clear line."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from maa_bench.cache import Cache
from maa_bench.dataset import build as building
from maa_bench.dataset import config
from maa_bench.dataset.build import build_dataset, expected_bytes
from maa_bench.dataset.config import DatasetPlan, plan_dataset
from maa_bench.dataset.jobs import RunsJob
from maa_bench.dataset.producers import Snapshot, Training
from maa_bench.dataset.producers.distill import Distill
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import DataError, MaaBenchError, SuiteError
from maa_bench.execution.local import LocalExecutor
from maa_bench.plan import make_plan
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.suite import Scale, load_suite
from maa_bench.work import ensure_dataset


def build(suite: Path, folder: Path, workers: int = 1) -> DatasetPlan:
    plan = plan_dataset(load_suite(str(suite)))
    with LocalExecutor(workers) as executor:
        build_dataset(plan, folder, executor, Progress(quiet=True))
    return plan


def shared_files(folder: Path) -> dict[str, bytes]:
    """All but the builder's own."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if not name.startswith("build/")}


def test_two_workers_build_the_same_bytes_as_one(
    tiny_suite: Path, tiny_dataset: CheckpointDataset, tmp_path: Path
) -> None:
    build(tiny_suite, tmp_path / "again", workers=2)
    assert shared_files(tmp_path / "again") == shared_files(tiny_dataset.folder)
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (tiny_dataset.folder / "manifest.json").read_bytes()


class CountingExecutor(LocalExecutor):
    """Remembers the runs that it was asked to train."""

    def __init__(self) -> None:
        super().__init__(1)
        self.trained: list[str] = []

    def run(self, jobs, *how):  # type: ignore[no-untyped-def]
        self.trained += [f"{run.task}/{run.name}" for job in jobs if isinstance(job, RunsJob) for run in job.runs]
        super().run(jobs, *how)


GROUP = [f"goal-090/{run}" for run in ("train-00", "train-01", "prompt-00", "prompt-01")]
"""Runs that are trained together."""


@pytest.mark.parametrize(
    ("damaged", "trained"),
    [
        ("manifest.json", []),
        ("checkpoints/goal-090/train-01.parquet", GROUP),
        ("build/checkpoints/goal-090/train-01.json", GROUP),
        ("transitions/goal-090/prompt-00.parquet", GROUP),
        ("transitions/goal-090/expert-00.parquet", GROUP),
    ],
)
@pytest.mark.parametrize("how", ["gone", "truncated"])
def test_a_build_goes_on_where_it_stopped(
    tiny_suite: Path, tiny_dataset: CheckpointDataset, tmp_path: Path, damaged: str, trained: list[str], how: str
) -> None:
    folder = tmp_path / "resumed"
    shutil.copytree(tiny_dataset.folder, folder)
    (folder / "manifest.json").unlink()
    path = folder / damaged
    if path.exists():
        path.unlink() if how == "gone" else path.write_bytes(path.read_bytes()[:-10])
    with CountingExecutor() as executor:
        build_dataset(plan_dataset(load_suite(str(tiny_suite))), folder, executor, Progress(quiet=True))
    assert executor.trained == trained
    assert shared_files(folder) == shared_files(tiny_dataset.folder)


def test_a_build_that_is_stopped_leaves_whole_shards_and_goes_on(
    tiny_suite: Path, tiny_dataset: CheckpointDataset, tmp_path: Path
) -> None:
    folder, plan, done = tmp_path / "stopped", plan_dataset(load_suite(str(tiny_suite))), []

    def reported(index: int, result: object) -> tuple[()]:
        done.append(index)
        if len(done) == 2:
            raise KeyboardInterrupt
        return ()

    whole = shared_files(tiny_dataset.folder)
    groups = [RunsJob(plan, tuple(plan.runs(task)), folder) for task in plan.tasks]
    with LocalExecutor(1) as executor, pytest.raises(KeyboardInterrupt):
        executor.run(groups, reported)
    there = shared_files(folder)
    assert there.items() <= whole.items()
    assert sum(name.startswith("checkpoints/") for name in there) == 8
    with pytest.raises(DataError, match=r"no dataset at .*: build it with `maa-bench data build`"):
        CheckpointDataset(folder, load_suite(str(tiny_suite)))
    with CountingExecutor() as executor:
        build_dataset(plan, folder, executor, Progress(quiet=True))
    assert len(executor.trained) == 12
    assert shared_files(folder) == whole


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, empty, Path.unlink])
def test_a_damaged_shard_is_one_clear_error(
    tiny_cache_copy: Path, tiny_suite: Path, damage: Callable[[Path], None]
) -> None:
    (folder,) = (tiny_cache_copy / "datasets").iterdir()
    damage(folder / "checkpoints/goal-090/train-01.parquet")
    data = CheckpointDataset(folder, load_suite(str(tiny_suite)))
    data.prompts("goal-030", 2, 0)
    with pytest.raises(DataError, match=r"goal-090/train-01\.parquet.*[:;] delete .*train-01\.parquet and run"):
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
        return plan_dataset(load_suite(str(edit_suite(change))), scale).id  # type: ignore[arg-type]

    assert name() == name()
    assert name() == name(lambda data: data.update(description="other words")), "words decide no numbers"
    changed = [
        name(lambda data: data.update(horizon=99)),
        name(lambda data: data["tasks"]["goal-000"]["options"].update(goal=[1.0, 0.1])),
        name(lambda data: data["policy"].update(hidden=[16, 17])),
        name(lambda data: data["dataset"]["small"]["distill"].update(updates=251)),
        name(lambda data: data["dataset"]["small"]["experts"].update(burst=11)),
        name(lambda data: data["splits"]["seen"].update(train=["goal-000"], test=["goal-000"])),
    ]
    assert name() not in changed[:5]
    assert len(set(changed[:5])) == 5
    assert changed[5] == name(), "the unseen split still trains on the same tasks"
    assert name(scale="paper") != name()


SOFTWARE = {
    "maa-bench": "0.1.0",
    "numpy": "1.26.4",
    "torch": "2.13.0+cpu",
    "numba": "0.68.1",
    "scipy": "1.17.1",
    "mujoco": "3.3.0",
    "metaworld": "3.1.1",
    "diffusers": "0.42.1",
}


@pytest.mark.parametrize(
    ("suite", "scale", "dataset_id"),
    [
        ("metaworld-v1", "small", "metaworld-v1-fe79d8ef5c"),
        ("metaworld-v1", "paper", "metaworld-v1-0008b5ecbe"),
        ("toy-v1", "small", "toy-v1-a762c3cae8"),
    ],
)
def test_datasets_of_older_suites_keep_their_names(
    suite: str, scale: Scale, dataset_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they were named by the software that made the first of them, whatever settings were added since."""
    monkeypatch.setattr(config, "software", lambda: SOFTWARE)
    assert plan_dataset(load_suite(suite), scale).id == dataset_id


def two_datasets(data: dict) -> None:
    """One for each split; the second trains on a task that the first only tests."""
    data["splits"]["seen"].update(dataset="far", train=["goal-000", "goal-030"], test=["goal-030"])
    data["splits"]["unseen"].update(dataset="near", train=["goal-000"], test=["goal-030", "goal-210"])
    data["datasets"] = {
        "near": {"tasks": ["goal-210", "goal-030", "goal-000"]},
        "far": {"tasks": ["goal-000", "goal-030"]},
    }


def test_a_dataset_serves_its_own_splits_alone(edit_suite: Callable[..., Path]) -> None:
    suite = load_suite(str(edit_suite(two_datasets)))
    near, far = plan_dataset(suite), plan_dataset(suite, name="far")
    little = Protocol(shots=2, episodes=2, select_episodes=1)
    assert near.tasks == ("goal-000", "goal-030", "goal-210"), "in the suite's order"
    roles = {plan.id: {task: {run.role for run in plan.runs(task)} for task in plan.tasks} for plan in (near, far)}
    assert roles[near.id] == {"goal-000": {"train"}, "goal-030": {"prompt"}, "goal-210": {"prompt"}}
    assert roles[far.id] == {"goal-000": {"train"}, "goal-030": {"train", "prompt"}}
    assert near.id != far.id
    assert pickle.loads(pickle.dumps(far)).id == far.id
    assert make_plan(["random_seen"], suite.source, "seen", protocol=little).dataset_id == far.id
    assert make_plan(["random_seen"], suite.source, "unseen", protocol=little).dataset_id == near.id


def test_a_task_that_a_dataset_lacks_names_those_that_have_it(edit_suite: Callable[..., Path]) -> None:
    suite = load_suite(str(edit_suite(two_datasets)))
    with pytest.raises(SuiteError, match=r"dataset 'far' of suite tiny has no task 'goal-210'; near has it"):
        plan_dataset(suite, name="far", tasks=("goal-210",))
    with pytest.raises(SuiteError, match=r"no dataset 'fat'\. Did you mean 'far'"):
        plan_dataset(suite, name="fat")


def test_a_task_may_have_gentler_experts_which_only_its_own_datasets_are_named_by(
    edit_suite: Callable[..., Path],
) -> None:
    def gentle(data: dict) -> None:
        two_datasets(data)
        data["tasks"]["goal-210"]["expert_noise"] = 0.5

    before, after = load_suite(str(edit_suite(two_datasets))), load_suite(str(edit_suite(gentle)))
    plan = plan_dataset(after)
    whole = plan.config.experts.noise_std
    assert plan.experts("goal-210").noise_std == tuple(std / 2 for std in whole)
    assert plan.experts("goal-030") == plan.config.experts
    assert plan.id != plan_dataset(before).id
    assert plan_dataset(after, name="far").id == plan_dataset(before, name="far").id
    assert plan.max_prompts(("goal-210",), "expert") == plan_dataset(before).max_prompts(("goal-210",), "expert")


@pytest.mark.parametrize("noise", [0.0, -0.5, 1.5, 1])
def test_an_experts_noise_that_cannot_be_is_refused(edit_suite: Callable[..., Path], noise: float) -> None:
    path = edit_suite(lambda data: data["tasks"]["goal-030"].update(expert_noise=noise))
    with pytest.raises(SuiteError, match=r"tasks\.goal-030\.expert_noise' must be"):
        load_suite(str(path))


def test_prompt_runs_may_have_more_checkpoints(edit_suite: Callable[..., Path]) -> None:
    def change(data: dict) -> None:
        data["dataset"]["small"]["prompts_per_run"] = 9

    plan, before = plan_dataset(load_suite(str(edit_suite(change)))), plan_dataset(load_suite(str(edit_suite())))
    counts = {run.role: run.verified for run in plan.runs("goal-000")}
    assert counts == {"train": 6, "prompt": 9}
    assert plan.max_prompts(("goal-000", "goal-030"), "trained") == 18
    assert plan.id != before.id
    assert "prompts_per_run" not in before.identity["config"]


def test_a_task_that_is_never_learned_is_named(edit_suite: Callable[..., Path], tmp_path: Path) -> None:
    def unlearnable(data: dict) -> None:
        data["dataset"]["small"]["distill"].update(updates=2, first_checkpoint=1)

    with pytest.raises(
        DataError, match=r"no checkpoint reached success 1 of goal-000 \(train runs\), .*: give"
    ) as caught:
        build(edit_suite(unlearnable), tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data" / "manifest.json").exists()


class Notes(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_fewer_checkpoints_than_wanted_are_said_and_counted(tiny_suite: Path, tmp_path: Path) -> None:
    plan = plan_dataset(load_suite(str(tiny_suite)), tasks=("goal-000",), changes={"updates": 160, "patience": 1})
    notes = Notes()
    with LocalExecutor(1) as executor:
        build_dataset(plan, tmp_path, executor, notes)
    entries = CheckpointDataset(tmp_path, plan.suite).entries("checkpoints", role="train").values()
    found = sum(entry["verified"] for entry in entries)
    assert 0 < found < 12
    assert f"fewer than wanted: goal-000: {found} of 12 checkpoints of success 1 in its train runs" in notes.said


def test_a_run_that_learns_nothing_costs_its_group_nothing(tiny_suite: Path, tmp_path: Path) -> None:
    class OneFails(Distill):
        def train(self, training: Training) -> Iterator[Snapshot]:
            for snapshot in super().train(training):
                params = snapshot.params if snapshot.run != 1 else np.zeros_like(snapshot.params)
                yield dataclasses.replace(snapshot, params=params)

    plan = plan_dataset(load_suite(str(tiny_suite)), tasks=("goal-000",))
    notes = Notes()
    with LocalExecutor(1) as executor, pytest.MonkeyPatch.context() as patch:
        patch.setattr("maa_bench.dataset.jobs.load_producer", lambda name: OneFails())
        build_dataset(plan, tmp_path, executor, notes)
    entries = CheckpointDataset(tmp_path, plan.suite).entries("checkpoints")
    assert [entry["verified"] for entry in entries.values()] == [6, 0, 6, 6]
    assert "fewer than wanted: goal-000: 6 of 12 checkpoints of success 1 in its train runs" in notes.said


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("README.md", "gone"),  # one that was edited stays
        ("manifest.json", "gone"),
        ("manifest.json", "truncated"),
        ("checkpoints/goal-090/train-01.parquet", "gone"),
        ("checkpoints/goal-090/train-01.parquet", "truncated"),
    ],
)
def test_a_dataset_in_the_cache_that_is_not_whole_is_mended(
    tiny_suite: Path, tiny_dataset: CheckpointDataset, tiny_cache_copy: Path, file: str, how: str
) -> None:
    (folder,) = (tiny_cache_copy / "datasets").iterdir()
    path = folder / file
    path.unlink() if how == "gone" else path.write_bytes(path.read_bytes()[:-10])
    with LocalExecutor(1) as executor:
        ensure_dataset(plan_dataset(tiny_dataset.suite), Cache(tiny_cache_copy), Progress(quiet=True), executor)
    assert shared_files(folder) == shared_files(tiny_dataset.folder)


def test_a_mistyped_section_of_a_suite_is_refused(edit_suite: Callable[..., Path]) -> None:
    suite = load_suite(str(edit_suite(lambda data: data["dataset"]["small"].update(distil={"updates": 3}))))
    with pytest.raises(SuiteError, match=r"'dataset\.small\.distil' is not a setting"):
        plan_dataset(suite)


def test_too_little_disk_is_said_before_any_work(
    tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_dataset(load_suite(str(tiny_suite)))
    monkeypatch.setattr(building.shutil, "disk_usage", lambda _: SimpleNamespace(free=expected_bytes(plan) - 1))
    with pytest.raises(DataError, match=r"needs about .* GB in .*, where .* GB are free: make room") as caught:
        build(tiny_suite, tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_the_expected_size_is_about_the_real_one(tiny_dataset: CheckpointDataset) -> None:
    real = sum(entry["bytes"] for entry in tiny_dataset.shards.values())
    assert 0.3 * real < expected_bytes(plan_dataset(tiny_dataset.suite)) < 4 * real


@pytest.mark.parametrize(("per_task", "wanted"), [(1500, 1500), (500, 500), (155, 160), (1, 10)])
def test_per_task_is_divided_among_ten_runs(per_task: int, wanted: int) -> None:
    plan = plan_dataset(load_suite("metaworld-v1"), per_task=per_task)
    for task, role in (("window-open", "train"), ("window-close", "prompt")):
        runs = [run for run in plan.runs(task) if run.role == role]
        assert len(runs) == 10
        assert len({run.seed for run in runs}) == 10
        assert sum(run.verified for run in runs) == wanted
    assert {run.role for run in plan.runs("window-open")} == {"train", "validation", "prompt"}
    assert {run.role for run in plan.runs("window-close")} == {"prompt"}


def test_the_papers_scale_is_1500_a_task() -> None:
    suite = load_suite("metaworld-v1")
    assert plan_dataset(suite, "paper").id == plan_dataset(suite, per_task=1500).id
    assert plan_dataset(suite, "paper").config.episodes >= 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_task": 0}, "--per-task must be at least 1, not 0"),
        ({"tasks": ("goal-001",)}, "no task 'goal-001'. Did you mean"),
        ({"producer": "distil"}, "unknown producer 'distil'. Did you mean 'distill'"),
        ({"changes": {"update": 3}}, "'distill.update' is not a setting. Did you mean 'updates'"),
        ({"changes": {"updates": 0}}, "'distill.updates' must be a whole number of at least 1, not 0"),
        ({"changes": {"bootstrap": 1}}, "'distill.bootstrap' must be true or false, not 1"),
        ({"changes": {"learning_rate": "fast"}}, "'distill.learning_rate' must be a number above 0, not 'fast'"),
        ({"changes": {"learning_rate": float("inf")}}, "'distill.learning_rate' must be a number above 0, not inf"),
        ({"changes": {"tail": -1}}, "'distill.tail' must be a whole number of at least 0, not -1"),
        ({"device": "cuda"}, "producer 'distill' trains on the CPU alone"),
    ],
)
def test_what_cannot_be_built_is_refused(tiny_suite: Path, options: dict, message: str) -> None:
    with pytest.raises(MaaBenchError) as caught:
        plan_dataset(load_suite(str(tiny_suite)), **options)
    assert message in str(caught.value)
