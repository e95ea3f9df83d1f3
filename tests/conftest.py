"""A tiny suite on the toy simulator, with its dataset built once: what any test needs that is no test of Meta-World.

* `tiny_suite`: path of the suite's TOML file: 4 seen goals, 2 unseen ones, 6/3/4 layouts, small dataset sizes.
* `edit_suite`: makes an edited copy of it, for tests of bad input.
* `tiny_protocol`: numbers of shots, candidates and episodes that fit it.
* `tiny_cache`: a cache folder that holds the tiny suite's dataset. Shared by the whole session: a test that damages
  something works on `tiny_cache_copy`.
* `tiny_cache_with_controls`: the same with the controls' cells in it, for runs that are about something else; a test
  works on `warm_cache_copy`.
* `tiny_dataset`: that dataset, opened.
"""

from __future__ import annotations

import copy
import io
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toml_text import to_toml

from maa_bench.cache import Cache
from maa_bench.dataset.config import plan_dataset
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.execution.local import LocalExecutor
from maa_bench.files import sha256_of
from maa_bench.main_job import run_methods
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.registry import CONTROLS
from maa_bench.suite import LAYOUT_SETS, load_suite
from maa_bench.work import ensure_dataset

SEEN = ("goal-000", "goal-090", "goal-180", "goal-270")
UNSEEN = ("goal-030", "goal-210")
LAYOUTS = {"train": 6, "select": 3, "test": 4}
DATASET = {
    "train_runs": 2,
    "prompt_runs": 2,
    "unseen_runs": 2,
    "per_run": 6,
    "partial_prompts": 4,
    "episodes": 2,
    "experts": {"demonstrations": 8},
    "distill": {"updates": 250, "first_checkpoint": 150},
}
"""12 training checkpoints a seen task and 12 prompts a task."""

PROTOCOL = Protocol(shots=4, candidates=3, episodes=LAYOUTS["test"], select_episodes=LAYOUTS["select"])

SuiteEdit = Callable[[dict[str, Any]], None]


def write_suite(folder: Path, data: dict[str, Any], layouts: dict[str, np.ndarray] | None = None) -> Path:
    """Write a suite into a folder; with `layouts` (by `task/set`) also their file, and its hash into `data`."""
    if layouts is not None:
        buffer = io.BytesIO()
        np.savez(buffer, **layouts)  # type: ignore[arg-type]
        file = folder / data["layouts"]["file"]
        file.write_bytes(buffer.getvalue())
        data["layouts"]["sha256"] = sha256_of(file)
    path = folder / f"{data['name']}.toml"
    path.write_text(to_toml(data), encoding="utf-8")
    return path


def tiny_layouts() -> dict[str, np.ndarray]:
    """The first few of toy-v1's layouts, by `task/set`."""
    toy = load_suite("toy-v1")
    return {
        f"{task}/{layout_set}": toy.layouts(task, layout_set)[: LAYOUTS[layout_set]]
        for task in (*SEEN, *UNSEEN)
        for layout_set in LAYOUT_SETS
    }


@pytest.fixture(scope="session")
def tiny_suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Path of a small suite on the toy simulator, for `load_suite` and for `--suite`."""
    toy = load_suite("toy-v1")
    data = tomllib.loads((toy.layout_path.parent / "toy-v1.toml").read_text(encoding="utf-8"))
    data["name"] = "tiny"
    data["tasks"] = {task: data["tasks"][task] for task in (*SEEN, *UNSEEN)}
    data["splits"]["seen"].update(train=list(SEEN), test=list(SEEN))
    data["splits"]["unseen"].update(train=list(SEEN), test=list(UNSEEN))
    data["layouts"].update(file="tiny.layouts.npz", **LAYOUTS)
    data["dataset"] = {"small": dict(DATASET)}
    return write_suite(tmp_path_factory.mktemp("tiny-suite"), data, tiny_layouts())


@pytest.fixture
def edit_suite(tiny_suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make an edited copy of the tiny suite: `edit_suite(change)`, where `change` alters the TOML's nested dict.

    With `layouts=change_layouts` the layout file is edited too (a dict of arrays by `task/set`), and its hash in the
    TOML is right again.
    """

    def edit(
        change: SuiteEdit = lambda data: None, layouts: Callable[[dict[str, np.ndarray]], None] | None = None
    ) -> Path:
        folder = tmp_path_factory.mktemp("edited-suite")
        shutil.copy(tiny_suite.parent / "tiny.layouts.npz", folder)
        data = copy.deepcopy(tomllib.loads(tiny_suite.read_text(encoding="utf-8")))
        arrays = None
        if layouts is not None:
            arrays = tiny_layouts()
            layouts(arrays)
        change(data)
        return write_suite(folder, data, arrays)

    return edit


@pytest.fixture(scope="session")
def tiny_protocol() -> Protocol:
    """4 shots, 3 candidates, all of the tiny suite's select (3) and test (4) layouts."""
    return PROTOCOL


def copy_cache(cache: Path, folder: Path, parts: tuple[str, ...] = ("datasets", "fits", "cells")) -> Path:
    """Copy what there is of these parts of a cache folder into a new one."""
    folder.mkdir()
    shutil.copy(cache / "format.json", folder)
    for part in parts:
        if (cache / part).exists():
            shutil.copytree(cache / part, folder / part)
    return folder


@pytest.fixture(scope="session")
def tiny_cache(tiny_suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the tiny suite's small dataset in it, and nothing else at first."""
    cache = Cache(tmp_path_factory.mktemp("tiny-cache"))
    with LocalExecutor(1) as executor:
        ensure_dataset(plan_dataset(load_suite(str(tiny_suite))), cache, Progress(quiet=True), executor)
    return cache.folder


@pytest.fixture
def tiny_cache_copy(tiny_cache: Path, tmp_path: Path) -> Path:
    """A cache folder of the test's own with the tiny suite's dataset, to be damaged or filled."""
    return copy_cache(tiny_cache, tmp_path / "cache", ("datasets",))


@pytest.fixture(scope="session")
def tiny_cache_with_controls(tiny_suite: Path, tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the tiny suite's dataset, and the controls' fits and cells of its protocol's unseen split."""
    folder = copy_cache(tiny_cache, tmp_path_factory.mktemp("warm") / "cache", ("datasets",))
    results = folder.parent / "results"
    options: dict[str, Any] = {"suite": str(tiny_suite), "split": "unseen", "protocol": PROTOCOL, "workers": 1}
    run_methods([CONTROLS[0]], results_dir=results, cache_dir=folder, progress=Progress(quiet=True), **options)
    return folder


@pytest.fixture
def warm_cache_copy(tiny_cache_with_controls: Path, tmp_path: Path) -> Path:
    """A cache folder of the test's own in which the controls are done."""
    return copy_cache(tiny_cache_with_controls, tmp_path / "cache")


@pytest.fixture(scope="session")
def tiny_dataset(tiny_suite: Path, tiny_cache: Path) -> CheckpointDataset:
    """The tiny suite's dataset, opened."""
    (folder,) = (tiny_cache / "datasets").iterdir()
    return CheckpointDataset(folder, load_suite(str(tiny_suite)))
