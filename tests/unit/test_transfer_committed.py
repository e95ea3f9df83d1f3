"""The transfer matrices that lie in the repository: of the suites as they are, and the ground of `unseen-hard`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maa_bench.report.transfer import read_matrix, to_csv
from maa_bench.suite import load_suite

FOLDER = Path(__file__).parents[2] / "docs" / "transfer"
COMMITTED = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_committed_matrix_is_of_the_suite_as_it_is(path: Path) -> None:
    found, suite = read_matrix(path), load_suite(path.name.split(".")[0])
    assert (found.suite, found.layouts_sha256) == (suite.name, suite.layouts_sha256)
    assert found.tasks == tuple(suite.tasks)
    assert found.train_tasks == suite.split("unseen").train
    assert json.loads(path.read_text(encoding="utf-8"))["layout_set"] == "train"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_the_committed_csv_and_json_say_the_same(path: Path) -> None:
    assert path.with_suffix(".csv").read_text(encoding="utf-8") == to_csv(read_matrix(path))
    assert json.loads(path.read_text(encoding="utf-8")) == read_matrix(path).to_json()


def test_meta_worlds_matrix_gives_its_hard_split() -> None:
    found, split = read_matrix(FOLDER / "metaworld-v2.unseen.json"), load_suite("metaworld-v2").split("unseen-hard")
    assert found.train_tasks == split.train
    columns = [found.tasks.index(task) for task in split.test]
    assert not found.successes[:, columns].any()
    assert (found.expert[columns] >= 0.9).all()
    assert set(split.test) <= set(found.hard)
