"""Judging a record: a true one holds, and each way of cheating that the package can see is named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hostile import parquet, put
from submitted import LAYOUTS, edit, rolled, write

from maa_bench import agreement
from maa_bench.cli import main
from maa_bench.conditions import Conditions
from maa_bench.named_protocol import load_protocol
from maa_bench.record import Seeds
from maa_bench.results import CANDIDATE_ROWS, CANDIDATES, EPISODES, RECORD, load_episodes, metrics_of_episodes
from maa_bench.software import software
from maa_bench.validation.contents import record_folders
from maa_bench.validation.judge import Ways, judge
from maa_bench.validation.reroll import draw, own_seed

Made = tuple[Any, Any, dict[str, Any]]


@pytest.fixture(scope="module")
def made() -> Made:
    return rolled()


@pytest.fixture
def folder(tmp_path: Path, made: Made) -> Path:
    """A true record."""
    return write(tmp_path / "results", *made)


def problems(folder: Path, **ways: Any) -> list[str]:
    return judge(folder, Ways(**{"sample": 0, **ways})).problems


def test_a_true_record_holds_to_the_last_episode(folder: Path) -> None:
    verdict = judge(folder, Ways(sample=10**6))
    assert verdict.problems == []
    layouts = sum(count for _, count in LAYOUTS)
    every = json.loads((folder / RECORD).read_text())["files"][EPISODES]["rows"]
    assert (verdict.episodes, verdict.candidates) == (every, every // layouts)
    assert not any("NOT CHECKED" in note for note in verdict.notes)


def test_a_record_without_weights_holds_and_says_what_was_not_checked(folder: Path) -> None:
    (folder / CANDIDATES).unlink()
    verdict = judge(folder, Ways())
    assert verdict.holds
    assert verdict.episodes == 0
    (note,) = (note for note in verdict.notes if "NOT CHECKED" in note)
    assert "--regenerate" in note


def record(path: str, value: Any) -> Callable[[Path], None]:
    """Set one value of the record."""

    def change(folder: Path) -> None:
        def put(raw: dict[str, Any]) -> None:
            *parents, last = path.split(".")
            for key in parents:
                raw = raw[key]
            raw[last] = value

        edit(folder, put)

    return change


def _cut_task(raw: dict[str, Any]) -> None:
    raw["split"]["train"] = raw["split"]["train"][:-1]


CLAIMS = [
    (record("suite.name", "toy-v9"), "suite 'toy-v9' is none of the package's"),
    (record("suite.layouts_sha256", "0" * 64), "layouts_sha256"),
    (record("suite.simulator_versions", {"mujoco": "1.0"}), "simulator_versions"),
    (record("environment.packages", {"numpy": "1.0"}), None),
    (record("protocol.horizon", 5_000), "horizon is 5000"),
    (record("protocol.success_rule", "at the end"), "success_rule"),
    (record("protocol.episodes", 10**6), "--episodes 1000000"),
    (record("protocol.name", "noisy-v9"), "protocol 'noisy-v9' is none"),
    (record("protocol.name", "standard-v1"), "has no condition ''"),
    (lambda folder: edit(folder, _cut_task), "split.train is not that of"),
    (record("split.name", "all"), "has no split 'all'"),
    (record("method.summary", " "), "summary is empty"),
    (record("method.citation", ""), "citation is empty"),
    (record("method.family", "magic"), "family 'magic' must be"),
    (record("method.trained_on", "everything"), "trained_on 'everything'"),
    (record("method.pretrained_on", ["goal-999"]), None),
    (record("metrics.aggregate.mean", {"value": 1.0, "ci": [1.0, 1.0]}), "mean of 'aggregate' is 1.0"),
    (lambda folder: edit(folder, lambda raw: raw["files"].pop(CANDIDATE_ROWS)), f"does not list {CANDIDATE_ROWS}"),
    (record("failures", [{"task": "x", "train_seed": 0, "candidate": 0, "episodes": 1, "reason": ""}]), "no such"),
    (record("run_id", "another"), "its place is stranger/another/"),
    (record("environment.git", {"commit": "0" * 40, "dirty": True}), None),
    (record("suite.name", "metaworld-v2"), "suite.layouts_sha256 is"),
    (record("suite.name", "metaworld-v2"), "environment.packages lacks mujoco"),
    (record("method.family", "control"), "family 'control' is for the package's own"),
    (record("method.family", "ceiling"), "family 'ceiling' is for the package's own"),
    (record("protocol.condition", "base"), "condition is 'base', but the protocol has no name"),
    (record("seeds.train", [0, 5]), "seeds.train [0, 5] are not those of a run"),
    (record("seeds.base", 1), "which are 1, 2, ..."),
]


@pytest.mark.parametrize(("change", "says"), CLAIMS, ids=range(len(CLAIMS)))
def test_claims_are_held_against_the_package(folder: Path, change: Callable[[Path], None], says: str | None) -> None:
    change(folder)
    found = problems(folder)
    if says is None:
        assert found == []
    else:
        assert [line for line in found if says in line], found


def test_all_problems_are_told(folder: Path) -> None:
    edit(folder, lambda raw: raw["method"].update(citation="", summary="", family="x"))
    assert len(problems(folder)) == 3


def test_test_tasks_that_were_trained_on_elsewhere_are_found_by_any_spelling(folder: Path) -> None:
    task = json.loads((folder / RECORD).read_text())["split"]["test"][0]
    simulators_own = (
        f"{task.replace('-', '_')}-v3",
        f"{task}-V2-goal-observable",
        f"Meta-World/{task}",
        f"MT1: {task}-v1",
    )
    for name in (task, task.upper(), f" {task} ", *simulators_own):
        edit(folder, lambda raw, name=name: raw["method"].update(pretrained_on=[name]))
        (found,) = problems(folder)
        assert f"pretrained_on names {task}" in found


@pytest.mark.parametrize("name", ["Make-An-Agent", "make.an.agent", "RANDOM_SEEN"])
def test_names_like_ours_are_refused(tmp_path: Path, made: Made, name: str) -> None:
    true, table, candidates = made
    renamed = table.set_column(0, "method", [[name] * table.num_rows])
    record = true.model_copy(update={"method": true.method.model_copy(update={"name": name})})
    (found,) = problems(write(tmp_path, record, renamed, candidates))
    assert "is too like" in found


def test_our_methods_have_our_cards(tmp_path: Path, made: Made) -> None:
    true, table, candidates = made
    named = table.set_column(0, "method", [["make_an_agent"] * table.num_rows])
    record = true.model_copy(update={"method": true.method.model_copy(update={"name": "make_an_agent"})})
    found = problems(write(tmp_path, record, named, candidates))
    assert [line for line in found if line.startswith("method.summary is 'Draws weights.', but the card of")]
    assert [line for line in found if "method.source is 'stranger 1.0', but 'make_an_agent' is of maa-bench" in line]


def test_a_named_protocol_has_its_own_numbers(folder: Path) -> None:
    base = load_protocol("noisy-v1").conditions(["prompt_noise"])[1]

    def claim(raw: dict[str, Any]) -> None:
        raw["protocol"].update(name="noisy-v1", condition=base.condition, prompt_noise=0.4)

    edit(folder, claim)
    found = problems(folder)
    for setting in ("prompt_noise is 0.4, not 0.05", "protocol.shots is 4", "protocol.candidates is 3"):
        assert [line for line in found if setting in line], found


def test_episodes_that_did_not_happen_are_found(tmp_path: Path, made: Made) -> None:
    record, table, candidates = made
    rows = table.to_pylist()
    lost = next(row for row in rows if not row["success"])
    lost.update(success=True, first_success_step=3)
    forged = table.from_pylist(rows, schema=table.schema)
    folder = write(tmp_path, record.model_copy(update={"metrics": metrics_of_episodes(forged)}), forged, candidates)
    assert problems(folder) == [], "it hangs together"
    (found,) = problems(folder, sample=10**6)
    assert "rolled out again" in found
    assert found.endswith(f"layout {lost['layout']}: first success in step 3, but no success")


@pytest.mark.parametrize(
    ("cpu", "told"),
    [
        ("Abacus", ["the processor Abacus (here Loom(R) X (family 1, model 2))"]),
        ("Loom(R) X (family 1, model 1)", ["the processor Loom(R) X (family 1, model 1) (here "]),
        ("Loom(R) X (family 1, model 2)", []),
        ("Loom(R) X", []),
        ("Loom(R)", ["the processor Loom(R) (here "]),
    ],
)
def test_another_processor_is_named_where_rollouts_differ(
    tmp_path: Path, made: Made, cpu: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loom = "cpu family: 1\nmodel: 2\nmodel name: Loom(R) X\n"
    monkeypatch.setattr("maa_bench.environment._cpuinfo", lambda: loom)
    record, table, candidates = made
    rows = table.to_pylist()
    next(row for row in rows if not row["success"]).update(success=True, first_success_step=3)
    forged = table.from_pylist(rows, schema=table.schema)
    claims = {
        "metrics": metrics_of_episodes(forged),
        "environment": record.environment.model_copy(update={"cpu": cpu, "packages": software()}),
    }
    folder = write(tmp_path, record.model_copy(update=claims), forged, candidates)
    notes = [note for note in judge(folder, Ways(sample=10**6)).notes if "may be why" in note]
    assert [note.partition("which may be why: ")[2][: len(say)] for note, say in zip(notes, told, strict=True)] == told


def test_the_first_step_of_success_must_be_the_same(tmp_path: Path, made: Made) -> None:
    record, table, candidates = made
    rows = table.to_pylist()
    won = next(row for row in rows if row["success"])
    won["first_success_step"] += 1
    forged = table.from_pylist(rows, schema=table.schema)
    folder = write(tmp_path, record.model_copy(update={"metrics": metrics_of_episodes(forged)}), forged, candidates)
    (found,) = problems(folder, sample=10**6)
    assert f"first success in step {won['first_success_step']}, but first success in step" in found


def test_conditions_are_those_of_the_record(tmp_path: Path) -> None:
    made = rolled(test_layouts="train")
    folder = write(tmp_path, *made)
    assert Conditions.of(made[0].protocol).test_layouts == "train"
    assert problems(folder, sample=10**6) == []
    edit(folder, lambda raw: raw["protocol"].update(test_layouts="test"))
    assert problems(folder, sample=10**6), "other layouts, other episodes"


def test_candidates_that_broke_off_are_held_to_their_successes_only(tmp_path: Path, made: Made) -> None:
    record, table, candidates = made
    rows = table.to_pylist()
    for row in rows:
        if (row["task"], row["train_seed"], row["candidate"]) == (record.split.test[0], 0, 0):
            row.update(success=False, first_success_step=-1)
    broken = table.from_pylist(rows, schema=table.schema)
    failure = {"task": record.split.test[0], "train_seed": 0, "candidate": 0, "episodes": 5, "reason": "too long"}
    folder = write(tmp_path, record.model_copy(update={"metrics": metrics_of_episodes(broken)}), broken, candidates)
    edit(folder, lambda raw: raw.update(failures=[failure]))
    verdict = judge(folder, Ways(sample=10**6))
    assert verdict.problems == []
    assert any(note.startswith("episodes of 1 candidates broke off") for note in verdict.notes)


def test_a_sample_is_the_records_own_spread_over_tasks_and_differs_by_seed(folder: Path, made: Made) -> None:
    record = made[0]
    seed = own_seed(folder)
    assert draw(record, 4, seed) == draw(record, 4, seed)
    assert len({tuple(draw(record, 4, seed)) for seed in range(20)}) > 10
    drawn = draw(record, len(record.split.test), seed)
    assert {which.task for which in drawn} == set(record.split.test)
    every = draw(record, 10**9, seed)
    assert len(set(every)) == len(every) == len(record.split.test) * 2 * 3
    edit(folder, lambda raw: raw["cost"].update(peak_mb=1.0))
    assert own_seed(folder) != seed


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[::-1], "rows are not in order"),
        (lambda rows: [rows[1], rows[0], *rows[2:]], "rows are not in order"),
        (lambda rows: [*rows, rows[-1]], "has 2 rows for"),
        (lambda rows: rows[:-1], "has no row for"),
        (
            lambda rows: [*rows, *({**row, "task": "goal-000"} for row in rows if row["task"] == rows[0]["task"])],
            "tasks",
        ),
        (lambda rows: [{**row, "candidate": row["candidate"] + 1} for row in rows], None),
        (lambda rows: [{**row, "layout": row["layout"] + 7} for row in rows], None),
        (lambda rows: [{**row, "suite": "metaworld-v2"} for row in rows], "suite: the episodes have metaworld-v2"),
    ],
    ids=["reversed", "swapped", "doubled", "cut", "another task", "other candidates", "other layouts", "another suite"],
)
def test_episodes_are_those_of_the_run(folder: Path, change: Callable[[Any], Any], says: str | None) -> None:
    table = load_episodes(folder)
    put(folder, EPISODES, parquet(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema)))
    found = problems(folder, sample=10**6)
    assert found
    assert says is None or any(says in line for line in found), found


def test_more_than_intervals_can_be_made_of_is_refused_before_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "MAX_DRAWN", 5)
    (found,) = problems(folder)
    assert "has 6 policies or layouts, at most 5 are allowed" in found


def test_what_may_have_been_picked_is_noted(tmp_path: Path, made: Made) -> None:
    true, table, _ = made
    later = table.set_column(4, table.schema.field(4), [[seed + 3 for seed in table["train_seed"].to_pylist()]])
    record = true.model_copy(update={"seeds": Seeds(train=(3, 4), base=3)})
    verdict = judge(write(tmp_path, record, later, {}), Ways(sample=0))
    assert verdict.problems == []
    assert any("begin at 3, not at 0" in note for note in verdict.notes)


def _link(folder: Path) -> None:
    (folder / EPISODES).rename(folder.parent / "elsewhere")
    (folder / EPISODES).symlink_to(folder.parent / "elsewhere")


def _big(folder: Path) -> None:
    with (folder / EPISODES).open("r+b") as file:
        file.truncate(6_000_000)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "notes.txt").write_text("x"), "'notes.txt' is no file of a record"),
        (lambda folder: (folder / "more").mkdir(), "'more' is no file"),
        (lambda folder: os.mkfifo(folder / "pipe"), "'pipe' is no file"),
        (_link, f"'{EPISODES}' is a link"),
        (_big, "bytes together, more than"),
        (lambda folder: (folder / RECORD).unlink(), "the file is missing"),
        (lambda folder: (folder / EPISODES).write_bytes(b"x"), "was altered"),
    ],
)
def test_folders_hold_a_record_and_nothing_else(folder: Path, change: Callable[[Path], None], says: str) -> None:
    change(folder)
    (found,) = problems(folder)
    assert says in found


def test_records_are_found_at_any_height_and_strays_are_told(folder: Path) -> None:
    results = folder.parents[1]
    for path in (folder, folder.parent, results, results.parent):
        assert record_folders([path]) == ([folder], [])
    assert record_folders([results, folder]) == ([folder], [])
    (results / "notes.txt").write_text("x")
    (results / "empty").mkdir()
    (results / "link").symlink_to(folder.parent)
    folders, strays = record_folders([results])
    assert folders == [folder]
    assert [stray.partition(": ")[2] for stray in strays] == ["holds no record", *["belongs to no record"] * 2]
    assert record_folders([results / "link"])[0] == []


def test_the_verb_tells_and_ends_as_it_should(folder: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["validate", str(folder), "--quiet"]) == 0
    out = capfd.readouterr().out
    assert f"holds {folder}: 4 candidates, 20 episodes rolled out again, all the same" in out
    edit(folder, lambda raw: raw["method"].update(summary="", citation=""))
    assert main(["validate", str(folder.parents[1]), "--sample", "0"]) == 1
    out = capfd.readouterr().out
    assert out.count("WRONG ") == 2
    assert "1 records, 1 with something wrong" in out
    assert main(["validate", str(folder), "--sample", "0", "--json"]) == 1
    told = json.loads(capfd.readouterr().out)
    assert not told["holds"]
    assert len(told["records"][0]["problems"]) == 2
    (tmp_path / "empty").mkdir()
    for usage in ([str(tmp_path / "none")], [str(folder), "--sample", "-1"], [], [str(folder), "--base", "-x"]):
        assert main(["validate", *usage]) == 2
        assert capfd.readouterr().err.startswith("error: ")


def test_nothing_is_changed_by_looking(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    judge(folder, Ways(sample=2))
    for path in (tmp_path / "copy").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert np.array_equal(
        sorted(p.name for p in folder.iterdir()), sorted(p.name for p in (tmp_path / "copy").iterdir())
    )
