"""The transfer matrix: its numbers against a plain loop, its rule, its files, its verb."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import refused

from maa_bench.cache import Cache
from maa_bench.cli import main
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import DataError, ProtocolError
from maa_bench.execution.local import LocalExecutor
from maa_bench.files import write_json
from maa_bench.forward import PackedPolicy
from maa_bench.progress import Progress
from maa_bench.report import transfer as report
from maa_bench.report.transfer import read_matrix, summary_rows, to_csv, write_matrix
from maa_bench.simulators import opened_task, step_until_success
from maa_bench.transfer import Source, TransferMatrix, TransferSettings, chosen_checkpoints, transfer_matrix

SETTINGS = TransferSettings(checkpoints=2, layouts=3)


def measured(data: CheckpointDataset, cache: Path, workers: int = 1) -> TransferMatrix:
    with LocalExecutor(workers) as executor:
        split = data.suite.split("unseen")
        return transfer_matrix(data, split, SETTINGS, Cache(cache), executor, Progress(quiet=True))


@pytest.fixture(scope="module")
def matrix(tiny_dataset: CheckpointDataset, tmp_path_factory: pytest.TempPathFactory) -> TransferMatrix:
    return measured(tiny_dataset, tmp_path_factory.mktemp("cache"))


def test_counts_are_those_of_a_plain_loop(matrix: TransferMatrix, tiny_dataset: CheckpointDataset) -> None:
    suite = tiny_dataset.suite
    assert matrix.tasks == tuple(suite.tasks)
    assert len(matrix.sources) == 4 * 2 * SETTINGS.checkpoints  # tasks, runs
    rows = {}
    for task in suite.split("unseen").train:
        for row in tiny_dataset.hf(task, ["run", "step", "success", "params"], "train"):
            rows[task, row["run"], row["step"]] = row["success"], np.array(row["params"], np.float32)
    for i, source in enumerate(matrix.sources):
        success, params = rows[source.task, source.run, source.step]
        assert success == 1.0
        assert source.sha256 == sha256(params.tobytes()).hexdigest()
        policy = PackedPolicy(suite.policy, params)
        for j, task in enumerate(matrix.tasks):
            layouts = suite.layouts(task, "train")[: SETTINGS.layouts]
            firsts = [step_until_success(opened_task(suite, task), policy, x, suite.horizon)[0] for x in layouts]
            assert matrix.successes[i, j] == sum(first > 0 for first in firsts)
    assert matrix.expert.tolist() == [1.0] * len(matrix.tasks)
    own = [matrix.tasks.index(task) for task in matrix.train_tasks]
    assert (matrix.best[range(4), own] == 1.0).all(), "seen checkpoints solve their own task"


def test_checkpoints_are_spread_over_each_run(tiny_dataset: CheckpointDataset) -> None:
    steps: dict[str, list[int]] = {}
    for row in tiny_dataset.hf("goal-000", ["run", "step", "success"], "train"):
        if row["success"] == 1.0:
            steps.setdefault(row["run"], []).append(row["step"])
    sources, params = chosen_checkpoints(tiny_dataset, "goal-000", 3)
    assert len(params) == len(sources) == 6
    for run, own in steps.items():
        chosen = [source.step for source in sources if source.run == run]
        assert chosen == sorted(chosen)
        assert (chosen[0], chosen[-1]) == (min(own), max(own))


def test_same_bytes_for_any_number_of_workers(
    matrix: TransferMatrix, tiny_dataset: CheckpointDataset, tmp_path: Path
) -> None:
    other = measured(tiny_dataset, tmp_path / "cache", workers=2)
    for name, found in (("one", matrix), ("two", other)):
        write_matrix(found, tmp_path / name)
    names = [path.name for path in sorted((tmp_path / "one").iterdir())]
    assert names == [f"tiny.unseen.{suffix}" for suffix in ("csv", "json", "png", "svg")]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_what_is_finished_is_not_rolled_out_again(
    matrix: TransferMatrix, tiny_dataset: CheckpointDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    run = LocalExecutor.run

    def stopping(self: LocalExecutor, jobs: Any, finished: Any, *rest: Any) -> None:
        def until_the_tenth(index: int, result: Any) -> Any:
            if len(ran) == 10:
                raise KeyboardInterrupt
            ran.append(index)
            return finished(index, result)

        run(self, jobs, until_the_tenth, *rest)

    monkeypatch.setattr(LocalExecutor, "run", stopping)
    with pytest.raises(KeyboardInterrupt):
        measured(tiny_dataset, tmp_path / "cache")
    monkeypatch.undo()
    jobs: list[int] = []
    monkeypatch.setattr(
        LocalExecutor, "run", lambda self, given, *rest: (jobs.append(len(given)), run(self, given, *rest))
    )
    again = measured(tiny_dataset, tmp_path / "cache")
    assert measured(tiny_dataset, tmp_path / "cache").to_json() == again.to_json() == matrix.to_json()
    assert jobs == [6 * (4 + 1) - 10, 0]


def hand_made() -> TransferMatrix:
    return TransferMatrix(
        suite="some-v1",
        layouts_sha256="00",
        split="unseen",
        dataset="some",
        versions={},
        settings=TransferSettings(1, 4),
        tasks=("own", "near", "far", "nobody"),
        sources=(Source("own", "a", 1, "0"), Source("own", "b", 2, "1"), Source("near", "a", 1, "2")),
        successes=np.array([[4, 0, 0, 0], [2, 1, 0, 0], [0, 3, 0, 0]]),
        expert=np.array([1.0, 1.0, 0.9, 0.88]),
        expert_layouts=50,
    )


def test_mean_best_and_rule_of_a_matrix_made_by_hand() -> None:
    matrix = hand_made()
    assert matrix.train_tasks == ("own", "near")
    assert matrix.mean.tolist() == [[0.75, 0.125, 0.0, 0.0], [0.0, 0.75, 0.0, 0.0]]
    assert matrix.best.tolist() == [[1.0, 0.25, 0.0, 0.0], [0.0, 0.75, 0.0, 0.0]]
    assert matrix.hard == ("far",), "the expert fails on `nobody` too often"
    one = matrix.successes.copy()
    one[2, 2] = 1
    assert replace(matrix, successes=one).hard == ()
    assert summary_rows(matrix)[1] == ["near", "1.00", "0.44", "0.75", "near", ""]
    assert summary_rows(matrix)[2] == ["far", "0.90", "0.00", "0.00", "", "hard"]
    rows = list(csv.DictReader(to_csv(matrix).splitlines()))
    assert len(rows) == 2 * 4 + 4
    assert rows[1] == {
        "trained_on": "own",
        "task": "near",
        "mean_success": "0.125000",
        "best_checkpoint_success": "0.250000",
        "checkpoints": "2",
        "layouts": "4",
        "hard": "0",
    }
    assert [row["mean_success"] for row in rows if row["trained_on"] == "expert"][-1] == "0.880000"


def test_json_gives_the_matrix_back(tmp_path: Path) -> None:
    matrix, path = hand_made(), tmp_path / "matrix.json"
    write_json(path, matrix.to_json())
    assert read_matrix(path).to_json() == matrix.to_json()
    for damaged in ("", "[]", "{}", json.dumps(matrix.to_json() | {"settings": {"checkpoints": "x"}})):
        path.write_text(damaged, encoding="utf-8")
        with pytest.raises(DataError, match="damaged"):
            read_matrix(path)
    with pytest.raises(DataError, match="cannot read"):
        read_matrix(tmp_path / "none.json")


def command(suite: Path, cache: Path, out: Path, *more: str) -> list[str]:
    given = ["--suite", str(suite), "--cache-dir", str(cache), "--out", str(out), "--workers", "1", "--quiet"]
    return ["transfer", *given, *more]


def test_the_verb(
    tiny_suite: Path,
    tiny_cache: Path,
    tmp_path: Path,
    matrix: TransferMatrix,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "_drawn", lambda matrix: (b"png", b"svg"))  # drawn for real above
    given = command(tiny_suite, tiny_cache, tmp_path, "--layouts", "3")
    assert main(given) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert f"{len(matrix.hard)} of 6 tasks are hard (no checkpoint of a training task succeeds" in out
    assert ", ".join(matrix.hard) or "none" in out
    assert read_matrix(tmp_path / "tiny.unseen.json").to_json() == matrix.to_json()
    assert main([*given, "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == matrix.to_json()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--layouts", "7"], ("--layouts 7", "6 train layouts")),
        (["--layouts", "0"], ("--layouts", "at least 1")),
        (["--checkpoints", "99"], ("--checkpoints 99", "goal-000/train-00")),
        (["--split", "unsen"], ("unsen", "Did you mean 'unseen'")),
    ],
)
def test_what_cannot_be_is_refused(
    more: list[str],
    words: tuple[str, ...],
    tiny_suite: Path,
    tiny_cache: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = main(command(tiny_suite, tiny_cache, tmp_path, *more))
    refused((code, *capfd.readouterr()), *words)
    assert list(tmp_path.iterdir()) == []


def test_settings_below_one_are_refused() -> None:
    with pytest.raises(ProtocolError, match="--checkpoints must be at least 1"):
        TransferSettings(checkpoints=0)
