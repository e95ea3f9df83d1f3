"""Suites as data: tasks, splits and frozen layouts, read from `tasks/<suite>.toml` and checked at load.

A suite is never edited once it is released; a change makes a `-v2` beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from maa_bench.errors import SpecError, SuiteError, did_you_mean, one_line
from maa_bench.policy import PolicySpec
from maa_bench.suite_layouts import read_layouts
from maa_bench.suite_toml import MAX_NUMBER, TomlTable
from maa_bench.untrusted import read_limited, toml_table

DEFAULT_SUITE = "metaworld-v2"
"""What verbs and functions take where no suite is named."""

LAYOUT_SETS = ("train", "select", "test")
"""train: collects data and prompts; select: may choose between candidates; test: is only ever reported."""

MAX_TOML = 1_000_000
"""Bytes of a suite's file."""
MAX_LINE = 1500
"""Characters of what is wrong with a suite; it may list the names of all its tasks."""

Scale = Literal["small", "paper"]
"""Sizes of datasets and methods: what a laptop does in minutes, or what was published."""

SplitKind = Literal["seen", "unseen"]


@dataclass(frozen=True)
class Task:
    """One task of a suite.

    Attributes:
        name: e.g. `window-close`.
        env: the simulator's own id, e.g. `window-close-v3`.
        options: simulator-specific settings (the toy suite's goals, for example).
        expert_noise: part of a dataset's action noise under which this task's scripted expert is recorded, above 0, at
            most 1: where it changes its mind within millimetres, nothing can be cloned from it under much noise.
    """

    name: str
    env: str
    options: Mapping[str, Any]
    expert_noise: float = 1.0


@dataclass(frozen=True)
class Split:
    """What is trained on and what is tested: two ordered lists of task names.

    `kind` says what the split claims: `seen` tests only training tasks, `unseen` none of them. `dataset` names the one
    of the suite's datasets that serves it; None if the suite has a single one, of all its tasks.
    """

    name: str
    kind: SplitKind
    train: tuple[str, ...]
    test: tuple[str, ...]
    dataset: str | None = None


@dataclass(frozen=True)
class DatasetTasks:
    """Which tasks a dataset holds, and what for; all in the suite's order.

    Attributes:
        tasks: all of them.
        trained: those that a split of this dataset trains on: only these get train runs.
        tested: those that a split of this dataset tests: only these need prompts. All of them for a suite that has no
            table of datasets.
    """

    tasks: tuple[str, ...]
    trained: tuple[str, ...]
    tested: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """A versioned family of tasks on one simulator.

    Attributes:
        name: e.g. `metaworld-v1`.
        source: what `load_suite` was given, a name or a path: worker processes load the suite by it.
        simulator: name of the module in `maa_bench.simulators`.
        description, citation: for people.
        horizon: steps after which an episode has failed.
        success: `any-step`, the only rule so far: an episode succeeds at the first step that the task calls a success.
        versions: package versions that the layouts were frozen with; observations hold for these.
        policy: the policies of this suite.
        tasks: by name, in order.
        splits: by name.
        layouts_sha256: hash of the layout file.
        layout_path: the layout file.
        layout_counts: layouts a task in each set.
        dataset: this suite's changes to the dataset sizes of each scale.
        datasets: its datasets by name, the default first; none: one of all tasks serves all splits.
        superseded_by: the suite that new work should use instead, if there is one.
    """

    name: str
    source: str
    simulator: str
    description: str
    citation: str
    horizon: int
    success: str
    versions: Mapping[str, str]
    policy: PolicySpec
    tasks: Mapping[str, Task]
    splits: Mapping[str, Split]
    layouts_sha256: str
    layout_path: Path
    layout_counts: Mapping[str, int]
    dataset: Mapping[str, Mapping[str, Any]]
    datasets: Mapping[str, DatasetTasks]
    superseded_by: str | None

    @property
    def notice(self) -> str | None:
        """One line for who uses a superseded suite."""
        if self.superseded_by is None:
            return None
        return f"suite {self.name} is superseded by {self.superseded_by}; its numbers stay as they are"

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            SuiteError: unknown name; the line gives the nearest right ones.
        """
        if name not in self.tasks:
            raise SuiteError(f"suite {self.name} has no task {name!r}.{did_you_mean(name, self.tasks)}")
        return self.tasks[name]

    def split(self, name: str) -> Split:
        """The split of that name.

        Raises:
            SuiteError: unknown name; the line gives the nearest right ones.
        """
        if name not in self.splits:
            raise SuiteError(f"suite {self.name} has no split {name!r}.{did_you_mean(name, self.splits)}")
        return self.splits[name]

    def dataset_tasks(self, name: str | None = None) -> DatasetTasks:
        """What a dataset of that name holds; of the default one without a name.

        Raises:
            SuiteError: unknown name; the line gives the nearest right ones.
        """
        if name is None:
            own = _dataset_tasks(tuple(self.tasks), self.splits.values())
            return next(iter(self.datasets.values()), replace(own, tested=own.tasks))
        if name not in self.datasets:
            raise SuiteError(f"suite {self.name} has no dataset {name!r}.{did_you_mean(name, self.datasets)}")
        return self.datasets[name]

    @cached_property
    def _layouts(self) -> dict[str, npt.NDArray[np.float64]]:
        return read_layouts(self.name, self.layout_path, self.layouts_sha256, self.tasks, self.layout_counts)

    def layouts(self, task: str, layout_set: str) -> npt.NDArray[np.float64]:
        """The frozen initial states of a task: (n_layouts, layout_dim) float64, read-only.

        Raises:
            SuiteError: unknown task or set, or a layout file that is missing or altered.
        """
        self.task(task)
        if layout_set not in LAYOUT_SETS:
            raise SuiteError(f"unknown layout set {layout_set!r}.{did_you_mean(layout_set, LAYOUT_SETS)}")
        return self._layouts[f"{task}/{layout_set}"]


def list_suites() -> list[str]:
    """Names of the suites that come with the package."""
    return sorted(p.name[: -len(".toml")] for p in _suite_folder().iterdir() if p.name.endswith(".toml"))


def load_suite(name_or_path: str) -> Suite:
    """Read a suite that comes with the package, by name, or anybody's, by the path of its TOML file.

    Raises:
        SuiteError: no such suite, an unknown or missing key, a wrong type, overlapping lists in an unseen split.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if name_or_path not in list_suites():
            raise SuiteError(f"unknown suite {name_or_path!r}.{did_you_mean(name_or_path, list_suites())}")
        path = _suite_folder() / f"{name_or_path}.toml"
    try:
        data = toml_table(read_limited(path, MAX_TOML))
    except OSError as error:
        raise SuiteError(one_line(f"cannot read suite file {path}: {error.strerror}")) from None
    except ValueError as error:
        raise SuiteError(f"{path} is not valid TOML: {one_line(str(error))}") from None
    try:
        return _parse_suite(data, path, name_or_path)
    except SuiteError as error:
        raise SuiteError(one_line(str(error), MAX_LINE)) from None


def _suite_folder() -> Path:
    return Path(str(resources.files("maa_bench.tasks")))


_SUITE_KEYS = (
    *("name", "simulator", "description", "citation", "horizon", "success", "versions", "policy"),
    *("layouts", "tasks", "splits", "dataset", "datasets", "superseded_by"),
)


def _parse_suite(data: dict[str, Any], path: Path, source: str) -> Suite:
    top = TomlTable(data, "", path, _SUITE_KEYS)
    policy = TomlTable(top.get("policy", dict), "policy", path, ("obs_dim", "hidden", "action_dim", "activations"))
    layouts = TomlTable(top.get("layouts", dict), "layouts", path, ("file", "sha256", *LAYOUT_SETS))
    if top.get("success", str) != "any-step":
        raise SuiteError(f"{path}: 'success' must be 'any-step'")
    hidden = tuple(policy.get("hidden", list))
    if not all(type(size) is int and size <= MAX_NUMBER for size in hidden):
        raise SuiteError(f"{path}: 'policy.hidden' must be whole numbers of at most {MAX_NUMBER}")
    try:
        spec = PolicySpec(
            policy.positive("obs_dim"),
            hidden,
            policy.positive("action_dim"),
            tuple(policy.get("activations", list)),
        )
    except (SpecError, TypeError) as error:
        raise SuiteError(f"{path}: policy: {error}") from None
    tasks = {name: _parse_task(name, table, path) for name, table in top.get("tasks", dict).items()}
    if not tasks:
        raise SuiteError(f"{path}: 'tasks' is empty")
    splits = {name: _parse_split(name, table, tasks, path) for name, table in top.get("splits", dict).items()}
    datasets = _parse_datasets(top.get("datasets", dict, {}), tasks, splits, path)
    file = layouts.get("file", str)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", file):
        raise SuiteError(f"{path}: 'layouts.file' must be a file name beside the suite, not {file!r}")
    for what in (top.get("name", str), *tasks, *splits, *datasets):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", what):  # they name files and folders
            raise SuiteError(f"{path}: name {what!r} must be letters, digits, '.', '_' or '-' (at most 64)")
    return Suite(
        name=top.get("name", str),
        source=source,
        simulator=top.get("simulator", str),
        description=top.get("description", str),
        citation=top.get("citation", str),
        horizon=top.positive("horizon"),
        success="any-step",
        versions=dict(top.get("versions", dict)),
        policy=spec,
        tasks=tasks,
        splits=splits,
        layouts_sha256=layouts.get("sha256", str),
        layout_path=path.parent / file,
        layout_counts={layout_set: layouts.positive(layout_set) for layout_set in LAYOUT_SETS},
        dataset=_parse_dataset(top.get("dataset", dict, {}), path),
        datasets=datasets,
        superseded_by=top.get("superseded_by", str, "") or None,
    )


def _parse_task(name: str, data: Any, path: Path) -> Task:
    table = TomlTable(data, f"tasks.{name}", path, ("env", "options", "expert_noise"))
    noise = table.get("expert_noise", float, 1.0)
    if not 0 < noise <= 1:
        raise SuiteError(f"{path}: 'tasks.{name}.expert_noise' must be above 0 and at most 1, not {noise}")
    return Task(name, table.get("env", str), table.get("options", dict, {}), noise)


def _parse_split(name: str, data: Any, tasks: Mapping[str, Task], path: Path) -> Split:
    table = TomlTable(data, f"splits.{name}", path, ("kind", "train", "test", "dataset"))
    kind, train, test = table.get("kind", str), table.strings("train"), table.strings("test")
    for task in (*train, *test):
        if task not in tasks:
            raise SuiteError(f"{path}: split {name!r} names unknown task {task!r}.{did_you_mean(task, tasks)}")
    if not train or not test:
        raise SuiteError(f"{path}: split {name!r} needs tasks to train on and tasks to test")
    overlap = [t for t in test if t in train]
    if kind == "unseen" and overlap:
        raise SuiteError(f"{path}: split {name!r} is unseen but trains on its test tasks {', '.join(overlap)}")
    if kind == "seen" and len(overlap) < len(test):
        raise SuiteError(f"{path}: split {name!r} is seen but tests tasks that it does not train on")
    if kind not in ("seen", "unseen"):
        raise SuiteError(f"{path}: 'splits.{name}.kind' must be 'seen' or 'unseen', not {kind!r}")
    dataset = table.get("dataset", str, "") or None
    return Split(name, "unseen" if kind == "unseen" else "seen", train, test, dataset)


def _parse_datasets(
    data: dict[str, Any], tasks: Mapping[str, Task], splits: Mapping[str, Split], path: Path
) -> dict[str, DatasetTasks]:
    found = {}
    for name, own in data.items():
        named = TomlTable(own, f"datasets.{name}", path, ("tasks",)).strings("tasks")
        for task in named:
            if task not in tasks:
                raise SuiteError(f"{path}: dataset {name!r} names unknown task {task!r}.{did_you_mean(task, tasks)}")
        users = [split for split in splits.values() if split.dataset == name]
        if not users:
            raise SuiteError(f"{path}: no split names dataset {name!r}: give it one, or leave the table out")
        for split in users:
            lacking = [task for task in dict.fromkeys((*split.train, *split.test)) if task not in named]
            if lacking:
                raise SuiteError(f"{path}: dataset {name!r} of split {split.name!r} lacks {', '.join(lacking)}")
        found[name] = _dataset_tasks(tuple(task for task in tasks if task in named), users)
    for split in splits.values():
        if split.dataset is None and found:
            raise SuiteError(f"{path}: missing key 'splits.{split.name}.dataset', one of {', '.join(found)}")
        if split.dataset is not None and split.dataset not in found:
            raise SuiteError(
                f"{path}: split {split.name!r} names unknown dataset {split.dataset!r}."
                f"{did_you_mean(split.dataset, found)}"
            )
    return found


def _dataset_tasks(tasks: tuple[str, ...], users: Iterable[Split]) -> DatasetTasks:
    splits = list(users)
    trained = {task for split in splits for task in split.train}
    tested = {task for split in splits for task in split.test}
    return DatasetTasks(tasks, tuple(t for t in tasks if t in trained), tuple(t for t in tasks if t in tested))


def _parse_dataset(data: dict[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    table = TomlTable(data, "dataset", path, get_args(Scale))
    return {scale: table.get(scale, dict) for scale in data}
