"""Run records: what is written is read back, and whatever was broken in between is named in one line."""

from __future__ import annotations

import dataclasses
import errno
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from record_samples import CANDIDATES, LAYOUTS, TASKS, episode_rows, episode_table, make_record, sample

from maa_bench import files, results
from maa_bench.environment import environment_info
from maa_bench.episodes import EPISODE_COLUMNS, EPISODE_SCHEMA
from maa_bench.errors import RecordError
from maa_bench.method import USES, MethodCard
from maa_bench.metrics import METRICS
from maa_bench.record import MethodInfo, RunRecord, record_schema
from maa_bench.record_metrics import MetricValue
from maa_bench.report.record_docs import record_markdown, schema_json
from maa_bench.results import (
    load_episodes,
    load_record,
    metrics_of_episodes,
    validate_record,
    write_record,
)

REPOSITORY = Path(__file__).resolve().parents[2]
Rows = list[dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a written record."""
    record, table = sample()
    write_record(tmp_path / "make_an_agent" / "run-1", record, table)
    return tmp_path / "make_an_agent" / "run-1"


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change `record.json` as a careless hand would."""
    path = folder / "record.json"
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


# Metrics of an episode table


def test_metrics_are_those_of_the_rows() -> None:
    rows = episode_rows(seeds=(5,), tasks=("a",))
    test = np.array([r["success"] for r in rows if r["layout_set"] == "test"]).reshape(CANDIDATES, LAYOUTS)
    metrics = metrics_of_episodes(episode_table(rows))
    assert metrics.tasks["a"].mean.value == pytest.approx(test.mean(), abs=1e-6)
    assert metrics.tasks["a"].qualified_rate.value == pytest.approx(test.all(axis=1).mean(), abs=1e-6)
    assert metrics.aggregate == metrics.tasks["a"]


def test_row_order_does_not_matter() -> None:
    rows = episode_rows()
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert metrics_of_episodes(episode_table(shuffled)) == metrics_of_episodes(episode_table(rows))


def test_a_single_candidate_needs_no_select_rows() -> None:
    table = episode_table(episode_rows(candidates=1))
    metrics = metrics_of_episodes(table)
    assert metrics.aggregate.best_selected == metrics.aggregate.mean


def _drop(index: int) -> Callable[[Rows], Rows]:
    return lambda rows: rows[:index] + rows[index + 1 :]


def _set(index: int, **values: Any) -> Callable[[Rows], Rows]:
    return lambda rows: [{**row, **values} if i == index else row for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [], "no rows"),
        (_drop(0), "no row for training seed 0, candidate 0, select layout 0"),
        (_drop(len(episode_rows()) - 1), "'door-lock' has no row for training seed 1, candidate 3, test layout 2"),
        (lambda rows: [*rows, rows[3]], "has 2 rows for training seed 0, candidate 0, test layout 1"),
        (lambda rows: [r for r in rows if r["layout_set"] == "test"], "no rows of layout_set 'select'"),
        (lambda rows: [r for r in rows if r["layout_set"] == "select"], "no rows of layout_set 'test'"),
        (
            lambda rows: [r for r in rows if r["layout_set"] == "test" or r["candidate"] < 2],
            "other training seeds or candidates in 'select'",
        ),
        (
            lambda rows: [r for r in rows if r["task"] == TASKS[0] or r["train_seed"] == 1],
            r"'door-lock' has training seeds \[1\], but 'window-close' has \[0, 1\]",
        ),
        (_set(0, layout_set="train"), "'train' must be one of select, test"),
        (_set(0, method="other"), "'method' must hold one name"),
        (_set(0, success=True, first_success_step=-1), "success=True but first_success_step=-1"),
        (_set(0, success=False, first_success_step=3), "success=False but first_success_step=3"),
        (_set(0, success=True, first_success_step=0), "first_success_step=0"),
    ],
)
def test_tables_that_are_not_whole_are_refused(change: Callable[[Rows], Rows], message: str) -> None:
    with pytest.raises(RecordError, match=message) as error:
        metrics_of_episodes(episode_table(change(episode_rows())))
    assert "\n" not in str(error.value)


def test_wrong_columns_are_refused() -> None:
    table = episode_table(episode_rows())
    with pytest.raises(RecordError, match="no column success"):
        metrics_of_episodes(table.drop_columns(["success"]))
    with pytest.raises(RecordError, match=r"unknown column 'sucess'\. Did you mean 'success'"):
        metrics_of_episodes(table.append_column("sucess", table.column("success")))
    steps = table.schema.get_field_index("first_success_step")
    with pytest.raises(RecordError, match="column types do not fit"):
        metrics_of_episodes(table.set_column(steps, "first_success_step", pa.array([0.5] * len(table))))
    with pytest.raises(RecordError, match="'candidate' has empty cells"):
        metrics_of_episodes(table.set_column(5, "candidate", pa.array([None] * len(table), type=pa.int64())))


def test_narrower_integers_and_dictionary_strings_are_taken() -> None:
    table = episode_table(episode_rows())
    narrow = table.set_column(5, "candidate", table.column("candidate").cast(pa.int8()))
    narrow = narrow.set_column(3, "task", table.column("task").dictionary_encode())
    assert metrics_of_episodes(narrow) == metrics_of_episodes(table)


# Writing and reading


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    record, table = sample()
    weights = {"0/window-close": np.arange(12, dtype=np.float32).reshape(4, 3)}
    written = write_record(tmp_path / "run-1", record, table, weights)
    assert load_record(tmp_path / "run-1") == validate_record(tmp_path / "run-1") == written
    assert written.model_copy(update={"files": {}}) == record
    assert set(written.files) == {"episodes.parquet", "candidates.parquet", "candidates.safetensors"}
    assert written.files["episodes.parquet"].rows == table.num_rows
    assert load_episodes(tmp_path / "run-1").equals(table)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run-1"]
    from safetensors.numpy import load_file

    loaded = load_file(tmp_path / "run-1" / "candidates.safetensors")
    np.testing.assert_array_equal(loaded["0/window-close"], weights["0/window-close"])


def test_same_run_same_bytes_whatever_the_row_order(tmp_path: Path) -> None:
    record, table = sample()
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    shuffled = shuffled.replace_schema_metadata({"pandas": "some index"})
    for name, rows in (("a", table), ("b", shuffled)):
        write_record(tmp_path / name, record, rows)
    for file in ("record.json", "episodes.parquet"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_rows_are_sorted_in_the_splits_task_order(folder: Path) -> None:
    rows = load_episodes(folder).to_pylist()
    order = [(TASKS.index(r["task"]), r["train_seed"], r["candidate"], r["layout_set"], r["layout"]) for r in rows]
    assert order == sorted(order)
    assert order[0][0] == 0  # window-close first: the split's order, not the alphabet's


def test_json_is_sorted_rounded_and_ends_with_a_newline(folder: Path) -> None:
    text = (folder / "record.json").read_text()
    raw = json.loads(text)
    assert text == json.dumps(raw, indent=1, sort_keys=True) + "\n"
    numbers = [n for m in raw["metrics"]["aggregate"].values() for n in (m["value"], *m["ci"])]
    assert all(number == round(number, 6) for number in numbers)


def test_parquet_has_the_documented_schema(folder: Path) -> None:
    assert pq.read_schema(folder / "episodes.parquet").equals(EPISODE_SCHEMA)
    assert pq.read_schema(folder / "episodes.parquet").metadata is None
    assert [(f.name, str(f.type)) for f in EPISODE_SCHEMA] == [(c.name, c.type) for c in EPISODE_COLUMNS]


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record, table = sample()

    def fail_at_the_record(path: Path, data: bytes) -> None:
        if path.name == "record.json":
            raise OSError(errno.ENOSPC, "disk full")
        files.write_bytes(path, data)

    monkeypatch.setattr(results, "write_bytes", fail_at_the_record)
    with pytest.raises(OSError, match="disk full"):
        write_record(tmp_path / "run-1", record, table)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_rewrite_leaves_the_old_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_record(folder)
    record, table = sample(success=0.9)
    monkeypatch.setattr(results, "sha256_of", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_record(folder, record, table)
    monkeypatch.undo()
    assert load_record(folder) == before
    write_record(folder, record, table)
    assert load_record(folder).metrics == record.metrics != before.metrics


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method__name": "other"}, "method: the episodes have make_an_agent, the record says other"),
        ({"suite__name": "toy-v2"}, "suite: the episodes have toy-v1"),
        ({"split__name": "seen"}, "split: the episodes have unseen"),
        ({"seeds__train": (0, 2)}, r"training seeds: the episodes have \[0, 1\], the record says \[0, 2\]"),
        ({"protocol__candidates": 5}, "candidates of task 'window-close': the episodes have 4"),
        ({"protocol__episodes": 50}, "test layouts of task 'window-close': the episodes have 3"),
        ({"protocol__select_episodes": 1}, "select layouts of task 'window-close': the episodes have 2"),
        ({"protocol__horizon": 8}, "9 is beyond the horizon of 8"),
    ],
)
def test_episodes_of_another_run_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    table = episode_table(episode_rows())
    record = make_record(table, **changes)
    with pytest.raises(RecordError, match=message):
        write_record(tmp_path / "run-1", record, table)
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_task_is_refused(tmp_path: Path) -> None:
    record, table = sample()
    rows = [{**r, "task": r["task"].replace("door-lock", "door-lok")} for r in table.to_pylist()]
    with pytest.raises(RecordError, match=r"'door-lok' is no test task of the split\. Did you mean 'door-lock'"):
        write_record(tmp_path / "run-1", record, episode_table(rows))


def test_a_method_of_equal_candidates_has_one_evaluated(tmp_path: Path) -> None:
    table = episode_table(episode_rows("expert", candidates=1))
    record = make_record(table, method__deterministic_candidates=True)
    assert record.candidates_evaluated == 1
    write_record(tmp_path / "run-1", record, table)
    assert validate_record(tmp_path / "run-1").protocol.candidates == CANDIDATES


# Broken records


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(metricks=1), "unknown key 'metricks'. Did you mean 'metrics'"),
        (lambda raw: raw["protocol"].update(shot=1), "unknown key 'protocol.shot'. Did you mean 'shots'"),
        (
            lambda raw: raw["metrics"]["tasks"]["door-lock"].update(top5_select={}),
            "unknown key 'metrics.tasks.door-lock.top5_select'. Did you mean 'top5_selected'",
        ),
        (lambda raw: raw["metrics"]["aggregate"]["mean"].update(se=0.1), "unknown key .* Known: ci, value"),
        (lambda raw: raw["cost"]["seconds"].pop("fit"), "key 'cost.seconds.fit' is missing"),
        (lambda raw: raw.update(schema_version=3), "schema_version is 3; this version of maa-bench reads 1, 2"),
        (lambda raw: raw.pop("schema_version"), "schema_version is None"),
        (lambda raw: raw["protocol"].update(shots="4"), "protocol.shots: .*integer"),
        (lambda raw: raw["protocol"].update(shots=0), "protocol.shots: .*greater than or equal to 1"),
        (lambda raw: raw["method"].update(uses="magic"), "method.uses: "),
        (lambda raw: raw["metrics"]["aggregate"]["mean"].update(value=2), "less than or equal to 1"),
        (lambda raw: raw["metrics"]["aggregate"]["mean"].update(ci=[0, 0.1]), "outside its interval"),
        (lambda raw: raw["metrics"]["aggregate"]["mean"].update(value=float("nan")), "NaN is not allowed"),
        (lambda raw: raw["cost"].update(peak_mb=float("inf")), "Infinity is not allowed"),
        (lambda raw: raw["metrics"]["tasks"].pop("door-lock"), "metrics.tasks and split.test differ in door-lock"),
        (lambda raw: raw["files"].clear(), "'files' does not list episodes.parquet"),
        (lambda raw: raw["files"].update({"../x": {"sha256": "0" * 64, "bytes": 1}}), "no plain file name"),
        (lambda raw: raw.update(run_id="../x"), "run_id: "),
    ],
)
def test_broken_json_is_named_in_one_line(folder: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    edit(folder, change)
    with pytest.raises(RecordError, match=message) as error:
        load_record(folder)
    assert str(error.value).startswith(str(folder / "record.json"))
    assert "\n" not in str(error.value)


def test_every_truncation_is_named(folder: Path) -> None:
    path = folder / "record.json"
    text = path.read_text()
    for length in range(0, len(text) - 2, 97):
        path.write_text(text[:length])
        with pytest.raises(RecordError, match="truncated or no JSON"):
            load_record(folder)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(RecordError, match="not UTF-8"):
        load_record(folder)
    path.write_text("[1, 2]")
    with pytest.raises(RecordError, match="not a list"):
        load_record(folder)
    path.unlink()
    with pytest.raises(RecordError, match="the file is missing"):
        load_record(folder)


def test_altered_or_missing_episodes_are_named(folder: Path) -> None:
    path = folder / "episodes.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(RecordError, match=r"episodes\.parquet: the file was altered"):
        load_record(folder)
    path.unlink()
    with pytest.raises(RecordError, match=r"episodes\.parquet: the file is missing"):
        load_record(folder)


def test_candidates_may_be_absent_but_not_altered(tmp_path: Path) -> None:
    record, table = sample()
    write_record(tmp_path / "run-1", record, table, {"w": np.ones((1, 2), dtype=np.float32)})
    path = tmp_path / "run-1" / "candidates.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecordError, match="altered"):
        load_record(tmp_path / "run-1")
    path.unlink()
    load_record(tmp_path / "run-1")


def test_validation_makes_the_metrics_again(folder: Path) -> None:
    def polish(raw: dict[str, Any]) -> None:
        mean = raw["metrics"]["aggregate"]["mean"]
        mean["value"] = mean["ci"][1]

    edit(folder, polish)
    load_record(folder)  # Well-formed ...
    with pytest.raises(RecordError, match=r"mean of 'aggregate' is .* but its episodes give"):
        validate_record(folder)  # ... but not what the episodes say.


def test_models_refuse_nan_and_unknown_keys() -> None:
    with pytest.raises(ValidationError):
        MetricValue(value=float("nan"), ci=(0.0, 1.0))
    with pytest.raises(ValidationError):
        MetricValue(value=0.5, ci=(0.0, 1.0), se=0.1)  # type: ignore[call-arg]


# The rest of the record


def test_method_info_has_the_cards_fields() -> None:
    """A field added to the card must be added to the record (with a new schema version once released)."""
    fields = {field.name for field in dataclasses.fields(MethodCard)}
    assert set(MethodInfo.model_fields) == fields | {"source"}
    assert tuple(record_schema()["$defs"]["MethodInfo"]["properties"]["uses"]["enum"]) == USES
    card = MethodCard(name="x", family="control", summary="X.", uses="nothing")
    assert MethodInfo.of(card, "somewhere 1.0").model_dump() == {
        **dataclasses.asdict(card),
        "source": "somewhere 1.0",
    }


def test_every_key_is_described() -> None:
    schema = record_schema()
    for definition in (schema, *schema["$defs"].values()):
        assert definition["additionalProperties"] is False
        for name, prop in definition["properties"].items():
            assert prop.get("description"), name


def test_docs_equal_the_schema() -> None:
    path = REPOSITORY / "docs" / "record.md"
    made = record_markdown()
    assert path.read_text(encoding="utf-8") == made, "run: python -m maa_bench.report.record_docs docs"
    assert path.with_name("record.schema.json").read_text(encoding="utf-8") == schema_json()
    for name in (*RunRecord.model_fields, *METRICS, *EPISODE_SCHEMA.names):
        assert f"| `{name}` |" in made


def test_environment_describes_this_process() -> None:
    environment = environment_info(threads=3)
    assert environment.python == ".".join(map(str, sys.version_info[:3]))
    assert environment.packages["numpy"] == np.__version__
    assert environment.threads == 3
    assert environment.gpu is None
    assert "robotsuite" not in environment.packages


def test_git_is_null_outside_a_checkout(tmp_path: Path) -> None:
    from maa_bench.environment import _git_info

    package = tmp_path / "venv" / "maa_bench"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    assert _git_info(package) is None
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert _git_info(package) is None  # A package inside somebody else's repository is no checkout of ours.


def test_git_tells_a_dirty_checkout(tmp_path: Path) -> None:
    from maa_bench.environment import _git_info

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    package = tmp_path / "maa_bench"
    package.mkdir()
    (package / "__init__.py").touch()
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    info = _git_info(package)
    assert info is not None
    assert not info.dirty
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "x").touch()
    assert _git_info(package) == info  # The run's own output does not make the code dirty.
    (package / "new.py").touch()
    assert _git_info(package) == info.model_copy(update={"dirty": True})


def test_to_pandas_has_a_row_for_each_task_and_metric() -> None:
    record, _ = sample()
    frame = record.to_pandas()
    assert list(frame.columns) == ["method", "suite", "split", "task", "metric", "value", "lo", "hi"]
    assert list(frame["task"].unique()) == [*TASKS, "aggregate"]
    assert len(frame) == 3 * len(METRICS)
    row = frame[(frame["task"] == "aggregate") & (frame["metric"] == "mean")].iloc[0]
    mean = record.metrics.aggregate.mean
    assert (row["value"], row["lo"], row["hi"]) == (mean.value, *mean.ci)


def test_import_is_light() -> None:
    """Neither pandas, torch nor pyarrow; a CLI that prints help must not wait for them."""
    code = (
        "import sys, maa_bench.results, maa_bench.report.tables, maa_bench.report.leaderboard;"
        "print([m for m in ('pandas', 'torch', 'pyarrow', 'scipy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
