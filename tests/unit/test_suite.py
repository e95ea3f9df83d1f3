"""Suites as data: what is shipped loads, and what is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maa_bench.dataset.config import plan_dataset
from maa_bench.errors import MaaBenchError, SuiteError
from maa_bench.main_job import run
from maa_bench.plan import make_plan
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.suite import DEFAULT_SUITE, LAYOUT_SETS, list_suites, load_suite

EditSuite = Callable[..., Path]

METAWORLD_SEEN = (
    "button-press", "dial-turn", "door-open", "door-unlock", "drawer-open", "faucet-close", "handle-press",
    "plate-slide", "reach", "window-open",
)  # fmt: skip
METAWORLD_UNSEEN = (
    "button-press-wall", "coffee-button", "door-lock", "drawer-close", "faucet-open", "handle-press-side",
    "reach-wall", "window-close",
)  # fmt: skip


def test_the_package_ships_four_suites() -> None:
    assert list_suites() == ["metaworld-v1", "metaworld-v2", "robosuite-v1", "toy-v1"]


@pytest.mark.parametrize(
    ("name", "tests"), [("metaworld-v1", 50), ("metaworld-v2", 50), ("robosuite-v1", 100), ("toy-v1", 50)]
)
def test_shipped_suites_load_with_disjoint_read_only_layouts(name: str, tests: int) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert {"seen", "unseen"} <= set(suite.splits)
    for task in suite.tasks:
        sets = {s: suite.layouts(task, s) for s in LAYOUT_SETS}
        assert {s: len(rows) for s, rows in sets.items()} == {"train": 50, "select": 25, "test": tests}
        everything = np.concatenate(list(sets.values()))
        assert len(np.unique(everything, axis=0)) == 75 + tests, f"a layout of {task} is in two sets"
        assert np.isfinite(everything).all()
        with pytest.raises(ValueError, match=r"read-only"):
            sets["test"][0, 0] = 0.0


def test_metaworld_splits_are_those_of_the_paper() -> None:
    suite = load_suite("metaworld-v1")
    seen, unseen = suite.split("seen"), suite.split("unseen")
    assert seen.train == seen.test == unseen.train == METAWORLD_SEEN
    assert unseen.test == METAWORLD_UNSEEN
    assert set(suite.tasks) == {*METAWORLD_SEEN, *METAWORLD_UNSEEN}
    assert suite.horizon == 500
    assert suite.policy.n_params == 22_664
    assert dict(suite.versions) == {"mujoco": "3.3.0", "metaworld": "3.1.1"}


def test_robosuites_splits_cross_arms_and_train_on_panda() -> None:
    suite = load_suite("robosuite-v1")
    seen, unseen, arms = (suite.split(name) for name in ("seen", "unseen", "unseen-arms"))
    assert seen.train == seen.test == unseen.train == arms.train == ("lift-panda", "door-panda", "stack-panda")
    assert unseen.test == ("lift-sawyer", "door-sawyer", "stack-sawyer")
    assert len(arms.test) == 12
    assert set(suite.tasks) == {*seen.test, *unseen.test, *arms.test}
    assert suite.policy.n_params == 24_206
    core, rest = suite.dataset_tasks(), suite.dataset_tasks("arms")
    assert core.trained == rest.trained == seen.train
    assert (core.tested, rest.tested) == ((*seen.test, *unseen.test), arms.test)
    for task in suite.tasks.values():
        joints, objects = 6 if task.options["arm"] == "UR5e" else 7, 2 if task.env == "Stack" else 1
        assert suite.layouts(task.name, "test").shape == (100, joints + 7 * objects), task.name


def test_metaworld_v2_begins_with_v1s_tasks_and_their_very_layouts() -> None:
    older, suite = load_suite("metaworld-v1"), load_suite("metaworld-v2")
    assert older.superseded_by == suite.name
    assert len(suite.tasks) == 50
    assert list(suite.tasks)[:18] == list(older.tasks)
    assert list(suite.tasks)[18:] == sorted(set(suite.tasks) - set(older.tasks))
    assert suite.tasks.items() >= older.tasks.items()
    for task in older.tasks:
        for layout_set in LAYOUT_SETS:
            assert suite.layouts(task, layout_set).tobytes() == older.layouts(task, layout_set).tobytes(), task
    assert (suite.horizon, suite.policy, suite.versions) == (older.horizon, older.policy, older.versions)
    for name, split in older.splits.items():
        assert suite.split(name) == replace(split, dataset="core")


def test_the_default_dataset_of_metaworld_v2_is_that_of_the_papers_splits() -> None:
    suite = load_suite(DEFAULT_SUITE)
    core, hard = suite.dataset_tasks(), suite.dataset_tasks("hard")
    assert suite.name == "metaworld-v2"
    assert core == suite.dataset_tasks("core")
    assert core.tasks == core.tested == (*METAWORLD_SEEN, *METAWORLD_UNSEEN)
    assert core.trained == METAWORLD_SEEN, "ml45 trains on the other eight, too; not in this dataset"
    assert hard.trained == METAWORLD_SEEN
    assert set(hard.tested) == set(suite.split("unseen-hard").test)
    assert not set(hard.tested) & set(core.tasks)
    assert [len(suite.dataset_tasks(name).tasks) for name in ("ml10", "ml45")] == [15, 50]


def test_the_verbs_default_suite_is_the_packages() -> None:
    from maa_bench.cli import options

    assert options.DEFAULT_SUITE == DEFAULT_SUITE


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data["datasets"]["one"].update(tasks=["goal-31"]), "unknown task 'goal-31'. Did you mean"),
        (lambda data: data["datasets"]["one"]["tasks"].remove("goal-210"), "of split 'unseen' lacks goal-210"),
        (lambda data: data["splits"]["seen"].update(dataset="on"), "unknown dataset 'on'. Did you mean 'one'"),
        (lambda data: data["splits"]["seen"].pop("dataset"), "missing key 'splits.seen.dataset', one of one"),
        (lambda data: data["datasets"].update(two={"tasks": ["goal-000"]}), "no split names dataset 'two'"),
        (lambda data: data.pop("datasets"), "split 'seen' names unknown dataset 'one'"),
        (lambda data: data["datasets"]["one"].update(task=[]), "unknown key 'datasets.one.task'"),
        (lambda data: with_one_dataset(data, "-one"), "name '-one' must be letters"),
    ],
)
def test_a_wrong_table_of_datasets_is_named(edit_suite: EditSuite, change: Any, reason: str) -> None:
    def edit(data: dict[str, Any]) -> None:
        with_one_dataset(data)
        change(data)

    with pytest.raises(SuiteError, match=reason):
        load_suite(str(edit_suite(edit)))


def with_one_dataset(data: dict[str, Any], name: str = "one") -> None:
    data["datasets"] = {name: {"tasks": list(data["tasks"])}}
    for split in data["splits"].values():
        split["dataset"] = name


def test_the_toys_layouts_are_made_again_with_the_same_bytes() -> None:
    from maa_bench.simulators.freeze import freeze

    suite = load_suite("toy-v1")
    assert freeze(suite) == suite.layout_path.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "usage: python -m maa_bench.simulators.freeze SUITE"),
        (["toy-v9", "out.npz"], "error: unknown suite 'toy-v9'"),
        (["toy-v1", "nowhere/out.npz"], "No such file or directory: 'nowhere/out.npz'"),
    ],
)
def test_layouts_that_cannot_be_frozen_are_one_line(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from maa_bench.simulators.freeze import main

    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_a_suite_is_loaded_by_path(tiny_suite: Path) -> None:
    suite = load_suite(str(tiny_suite))
    assert (suite.name, suite.source) == ("tiny", str(tiny_suite))
    assert suite.layouts("goal-030", "test").shape == (4, 2)


def set_key(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


def without(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("keys", "nearest"),
    [
        (("horizont",), "horizon"),
        (("policy", "obs_dims"), "obs_dim"),
        (("layouts", "sha265"), "sha256"),
        (("tasks", "goal-030", "option"), "options"),
        (("splits", "unseen", "tests"), "test"),
        (("dataset", "smal"), "small"),
    ],
)
def test_an_unknown_key_at_any_level_names_the_nearest(
    edit_suite: EditSuite, keys: tuple[str, ...], nearest: str
) -> None:
    path = edit_suite(set_key(*keys, value=1))
    with pytest.raises(SuiteError) as caught:
        load_suite(str(path))
    message = str(caught.value)
    assert ".".join(keys) in message
    assert f"Did you mean '{nearest}'" in message
    assert str(path) in message


def test_an_unknown_dataset_setting_names_the_nearest(edit_suite: EditSuite) -> None:
    suite = load_suite(str(edit_suite(set_key("dataset", "small", "episode", value=2))))
    with pytest.raises(SuiteError, match=r"'dataset\.small\.episode' is not a setting\. Did you mean 'episodes'"):
        plan_dataset(suite)


@pytest.mark.parametrize("value", [0, -1, "3", 2.5, True])
def test_a_dataset_size_that_is_no_count_is_refused(edit_suite: EditSuite, value: Any) -> None:
    suite = load_suite(str(edit_suite(set_key("dataset", "small", "episodes", value=value))))
    with pytest.raises(SuiteError, match=r"dataset\.small\.episodes"):
        plan_dataset(suite)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("horizon"), "missing key 'horizon'"),
        (without("tasks", "goal-030", "env"), "missing key 'tasks.goal-030.env'"),
        (set_key("horizon", value=0), "'horizon' must be at least 1, not 0"),
        (set_key("horizon", value="100"), "'horizon' must be a int, not str"),
        (set_key("horizon", value=True), "'horizon' must be a int, not bool"),
        (set_key("layouts", "test", value=-4), "'layouts.test' must be at least 1"),
        (set_key("success", value="last-step"), "'success' must be 'any-step'"),
        (set_key("policy", "activations", value=["elu"]), "2 hidden layers but 1 activations"),
        (set_key("policy", "activations", value=["elu", "rel"]), "Did you mean 'relu'"),
        (set_key("policy", "hidden", value=["16", "16"]), "policy"),
        (set_key("tasks", value={}), "'tasks' is empty"),
        (set_key("tasks", "goal-030", value="point-mass"), "tasks.goal-030 must be a table"),
        (set_key("splits", "unseen", "test", value=[]), "needs tasks to train on and tasks to test"),
        (set_key("splits", "unseen", "test", value=["goal-030", "goal-030"]), "names something twice"),
        (set_key("splits", "unseen", "test", value=[30]), "must be a list of strings"),
        (set_key("splits", "unseen", "kind", value="hard"), "must be 'seen' or 'unseen', not 'hard'"),
        (set_key("layouts", "file", value="../tiny.layouts.npz"), "must be a file name beside the suite"),
    ],
)
def test_a_wrong_value_is_named(edit_suite: EditSuite, change: Callable[[dict[str, Any]], None], message: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite(str(edit_suite(change)))
    assert message in str(caught.value)


def test_an_unseen_split_that_trains_on_a_test_task_is_refused(edit_suite: EditSuite) -> None:
    path = edit_suite(set_key("splits", "unseen", "train", value=["goal-000", "goal-030"]))
    with pytest.raises(SuiteError, match=r"'unseen' is unseen but trains on its test tasks goal-030"):
        load_suite(str(path))


def test_a_seen_split_that_tests_other_tasks_is_refused(edit_suite: EditSuite) -> None:
    path = edit_suite(set_key("splits", "seen", "test", value=["goal-000", "goal-030"]))
    with pytest.raises(SuiteError, match=r"'seen' is seen but tests tasks that it does not train on"):
        load_suite(str(path))


def test_a_split_with_an_unknown_task_names_the_nearest(edit_suite: EditSuite) -> None:
    path = edit_suite(set_key("splits", "unseen", "test", value=["goal-03"]))
    with pytest.raises(SuiteError, match=r"split 'unseen' names unknown task 'goal-03'. Did you mean 'goal-030'"):
        load_suite(str(path))


def test_unknown_names_are_answered_with_the_nearest(tiny_suite: Path) -> None:
    suite = load_suite(str(tiny_suite))
    with pytest.raises(SuiteError, match=r"no task 'goal-31'. Did you mean 'goal-"):
        suite.task("goal-31")
    with pytest.raises(SuiteError, match=r"no split 'unsen'. Did you mean 'unseen'"):
        suite.split("unsen")
    with pytest.raises(SuiteError, match=r"unknown layout set 'tests'. Did you mean 'test'"):
        suite.layouts("goal-030", "tests")
    with pytest.raises(SuiteError, match=r"unknown suite 'metaworld'. Did you mean 'metaworld-v2' or 'metaworld-v1'"):
        load_suite("metaworld")


def test_a_suite_file_that_is_not_there_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"cannot read suite file .*absent.toml: No such file"):
        load_suite(str(tmp_path / "absent.toml"))
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(SuiteError, match=r"broken.toml is not valid TOML"):
        load_suite(str(tmp_path / "broken.toml"))
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(SuiteError, match=r"latin.toml is not valid TOML"):
        load_suite(str(tmp_path / "latin.toml"))


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_a_damaged_layout_file_is_named(edit_suite: EditSuite, damage: str) -> None:
    path = edit_suite()
    file = path.parent / "tiny.layouts.npz"
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-100] if damage == "truncated" else content[:-1] + bytes([content[-1] ^ 1]))
    suite = load_suite(str(path))
    with pytest.raises(SuiteError, match=r"No such file" if damage == "missing" else "has SHA-256 .* was frozen with"):
        suite.layouts("goal-030", "test")


def test_a_layout_file_of_another_kind_is_named(edit_suite: EditSuite) -> None:
    from maa_bench.files import sha256_of

    path = edit_suite()
    (path.parent / "tiny.layouts.npz").write_bytes(b"not an archive")
    sha = sha256_of(path.parent / "tiny.layouts.npz")
    path.write_text(path.read_text().replace(load_suite(str(path)).layouts_sha256, sha))
    with pytest.raises(SuiteError, match=r"tiny\.layouts\.npz"):
        load_suite(str(path)).layouts("goal-030", "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update({"goal-030/test": a["goal-030/select"][[0, 1, 2, 0]]}), "'goal-030' occur twice"),
        (lambda a: a.update({"goal-030/test": a["goal-030/train"][:4]}), "the three sets must be disjoint"),
        (lambda a: a.pop("goal-030/test"), "lacks the layouts 'goal-030/test'"),
        (lambda a: a.update({"goal-030/test": a["goal-030/test"][:3]}), r"'goal-030/test' is float64 \(3, 2\)"),
        (lambda a: a.update({"goal-030/test": a["goal-030/test"].astype(np.float32)}), "is float32"),
        (
            lambda a: a.update({"goal-030/test": a["goal-030/test"] * np.nan}),
            "'goal-030/test' holds numbers",
        ),
        (lambda a: a.update({"goal-030/test": np.ones((4, 3))}), "layouts of 'goal-030' have 2, 2, 3 numbers"),
    ],
)
def test_layouts_that_are_not_as_the_suite_says_are_refused(
    edit_suite: EditSuite, change: Callable[[dict[str, np.ndarray]], None], message: str
) -> None:
    suite = load_suite(str(edit_suite(layouts=change)))
    with pytest.raises(SuiteError, match=message):
        suite.layouts("goal-000", "train")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("obs_dim", 5, r"'policy\.obs_dim' is 5, but 'goal-030' gives observations of 4 numbers"),
        ("action_dim", 3, r"'policy\.action_dim' is 3, but 'goal-030' takes actions of 2 numbers"),
    ],
)
def test_policies_of_another_size_than_the_task_are_refused(
    edit_suite: EditSuite, key: str, value: int, message: str
) -> None:
    from maa_bench.simulators import opened_task

    suite = load_suite(str(edit_suite(set_key("policy", key, value=value))))
    with pytest.raises(SuiteError, match=message):
        opened_task(suite, "goal-030")


def test_a_package_that_the_simulator_has_not_is_named(edit_suite: EditSuite) -> None:
    from maa_bench.simulators import simulator_of

    suite = load_suite(str(edit_suite(set_key("versions", "mujuco", value="3.3.0"))))
    with pytest.raises(SuiteError, match=r"with mujuco 3\.3\.0, but the simulator 'toy' .* see 'versions' of"):
        simulator_of(suite)


def test_another_task_needs_data_only(edit_suite: EditSuite, tmp_path: Path, tiny_protocol: Protocol) -> None:
    """The format takes a task more, and a split more, without a change of code."""

    def add_task(data: dict[str, Any]) -> None:
        data["tasks"]["goal-135"] = {"env": "point-mass", "options": {"goal": [-0.7, 0.7]}}
        data["splits"]["hard"] = {"kind": "unseen", "train": ["goal-000", "goal-090"], "test": ["goal-135"]}

    def add_layouts(arrays: dict[str, np.ndarray]) -> None:
        for layout_set in LAYOUT_SETS:
            arrays[f"goal-135/{layout_set}"] = arrays[f"goal-000/{layout_set}"] + 0.001

    path = edit_suite(add_task, add_layouts)
    record = run(
        "expert",
        suite=str(path),
        split="hard",
        workers=1,
        cache_dir=tmp_path / "cache",
        results_dir=tmp_path / "results",
        progress=Progress(quiet=True),
        shots=tiny_protocol.shots,
        candidates=2,
        episodes=tiny_protocol.episodes,
        select_episodes=tiny_protocol.select_episodes,
    )
    assert record.split.test == ("goal-135",)
    assert record.metrics.aggregate.mean.value == 1.0
    from_disk = json.loads((tmp_path / "results" / "expert" / record.run_id / "record.json").read_text())
    assert from_disk["split"]["train"] == ["goal-000", "goal-090"]


def test_an_unknown_simulator_names_the_nearest(edit_suite: EditSuite, tiny_protocol: Protocol) -> None:
    from maa_bench.simulators import simulator_of

    suite = load_suite(str(edit_suite(set_key("simulator", value="toys"))))
    with pytest.raises(SuiteError, match=r"needs the simulator 'toys'. Did you mean 'toy'"):
        simulator_of(suite)


def test_another_version_of_a_simulators_package_is_refused(edit_suite: EditSuite) -> None:
    from maa_bench.simulators import simulator_of

    suite = load_suite(str(edit_suite(set_key("versions", "mujoco", value="3.9.0"))))
    with pytest.raises(SuiteError, match=r"was frozen with mujoco 3\.9\.0, .* pip install mujoco==3\.9\.0"):
        simulator_of(suite)


def test_a_plan_checks_the_splits_tasks(tiny_suite: Path, tiny_protocol: Protocol) -> None:
    with pytest.raises(
        MaaBenchError, match=r"does not test 'goal-000'; its tasks are goal-030, goal-210 \(--split seen tests it\)"
    ):
        make_plan(["expert"], str(tiny_suite), "unseen", ["goal-000"], tiny_protocol)
    with pytest.raises(MaaBenchError, match=r"no task 'goal-31'"):
        make_plan(["expert"], str(tiny_suite), "unseen", ["goal-31"], tiny_protocol)
