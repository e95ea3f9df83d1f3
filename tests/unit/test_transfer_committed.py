"""The transfer matrix that lies in the repository: of the suite as it is, and the ground of its split `unseen-hard`."""

from __future__ import annotations

import json
from pathlib import Path

from maa_bench.report.transfer import read_matrix, to_csv
from maa_bench.suite import load_suite

COMMITTED = Path(__file__).parents[2] / "docs" / "transfer" / "metaworld-v2.unseen.json"


def test_the_committed_matrix_is_of_the_suite_and_gives_its_hard_split() -> None:
    found, suite = read_matrix(COMMITTED), load_suite("metaworld-v2")
    assert (found.suite, found.layouts_sha256) == (suite.name, suite.layouts_sha256)
    assert found.tasks == tuple(suite.tasks)
    assert found.train_tasks == suite.split("unseen-hard").train
    assert json.loads(COMMITTED.read_text(encoding="utf-8"))["layout_set"] == "train"
    unseen_hard = suite.split("unseen-hard").test
    columns = [found.tasks.index(task) for task in unseen_hard]
    assert not found.successes[:, columns].any()
    assert (found.expert[columns] >= 0.9).all()
    assert set(unseen_hard) <= set(found.hard)


def test_the_committed_csv_and_json_say_the_same() -> None:
    assert COMMITTED.with_suffix(".csv").read_text(encoding="utf-8") == to_csv(read_matrix(COMMITTED))
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == read_matrix(COMMITTED).to_json()
