"""`data verify`: each kind of damage is found, and told in one line; and a dataset as it was built is sound."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maa_bench.cli import main
from maa_bench.dataset import checks
from maa_bench.dataset.reroll import draw_rows
from maa_bench.dataset.schema import FORMAT, VECTORS, row_hash
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.dataset.tables import transitions_of, vectors, write_checkpoints, write_transitions
from maa_bench.errors import SuiteError
from maa_bench.files import digest, sha256_of
from maa_bench.suite import Suite, load_suite

SHARD = "checkpoints/goal-090/train-00.parquet"
OTHER = "checkpoints/goal-090/train-01.parquet"
STEPS = "transitions/goal-090/train-00.parquet"
EXPERTS = "transitions/goal-090/expert-00.parquet"
RENEW = "Delete the shards that are named, and build, pull or import it again"

Row = dict[str, Any]
Verify = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tiny_cache_copy: Path) -> Path:
    """The tiny dataset, to be damaged."""
    (found,) = (tiny_cache_copy / "datasets").iterdir()
    return found


@pytest.fixture
def verify(tiny_suite: Path, folder: Path, capfd: pytest.CaptureFixture[str]) -> Verify:
    """Run `data verify` on it in this process: exit code, standard output, standard error."""

    def run(*options: str) -> tuple[int, str, str]:
        command = ["data", "verify", str(folder), "--suite", str(tiny_suite), "--workers", "1", "--quiet", *options]
        code = main(command)
        return (code, *capfd.readouterr())

    return run


def refused(verify: Verify, *parts: str, sample: int = 0) -> None:
    """Exit code 2, one line that says `parts`, no traceback."""
    code, out, err = verify("--sample", str(sample))
    assert (code, out) == (2, ""), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err, err


def read_rows(path: Path) -> list[Row]:
    table = pq.read_table(path)
    rows = table.to_pylist()
    for name in VECTORS:
        for row, vector in zip(rows, vectors(table[name], (table.schema.field(name).type.list_size,)), strict=True):
            row[name] = vector
    return rows


def renew_manifest(folder: Path, shard: str, **counts: Any) -> None:
    """Who alters a shard may alter its hash, too."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][shard].update(sha256=sha256_of(folder / shard), bytes=(folder / shard).stat().st_size, **counts)
    path.write_text(json.dumps(manifest))


def rewrite(folder: Path, suite: Path, change: Callable[[list[Row]], Any], rehash: bool = True, **counts: Any) -> None:
    """Alter rows of a shard, with all hashes right again."""
    rows = read_rows(folder / SHARD)
    change(rows)
    if rehash:
        for row in rows:
            row["row_hash"] = row_hash(row)
    write_checkpoints(folder / SHARD, rows, load_suite(str(suite)).policy)
    renew_manifest(folder, SHARD, **counts)


def test_a_dataset_as_it_was_built_is_sound(verify: Verify, folder: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    code, out, err = verify("--sample", "20")
    assert (code, err) == (0, "")
    assert f"dataset {folder.name} is sound" in out
    assert "6 tasks: first-success steps and behaviour the same" in out
    code, out, _ = verify("--sample", "0", "--json")
    assert code == 0
    result = json.loads(out)
    manifest = json.loads((folder / "manifest.json").read_text())
    for table in ("checkpoints", "transitions"):
        assert result[table] == sum(e["rows"] for e in manifest["shards"].values() if e["table"] == table)
    assert result["sound"]
    assert (result["shards"], result["rolled_out_again"]) == (len(manifest["shards"]), 0)
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


@pytest.mark.heavy
def test_two_workers_check_what_one_does(verify: Verify) -> None:
    one, two = verify("--sample", "20", "--json"), verify("--sample", "20", "--json", "--workers", "2")
    assert one == two


# Files


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "words"),
    [(truncate, "truncated or altered"), (flip, "SHA-256 is not the manifest's"), (Path.unlink, f"{SHARD}: missing")],
)
def test_files_are_those_of_the_manifest(
    verify: Verify, folder: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(folder / SHARD)
    refused(verify, SHARD, words, RENEW)


def test_a_file_that_is_no_parquet_is_named(verify: Verify, folder: Path) -> None:
    flip_to_text = b"PAR1 this is no table PAR1"
    (folder / SHARD).write_bytes(flip_to_text)
    renew_manifest(folder, SHARD)
    refused(verify, f"{SHARD}: no Parquet file that can be read")


def test_an_unlisted_shard_is_named(verify: Verify, folder: Path) -> None:
    extra = folder / "checkpoints" / "goal-090" / "train-07.parquet"
    extra.write_bytes((folder / SHARD).read_bytes())
    refused(verify, "checkpoints/goal-090/train-07.parquet: not in the manifest")


def test_what_a_killed_build_left_is_no_shard(verify: Verify, folder: Path) -> None:
    (folder / "checkpoints" / "goal-090" / ".train-00.parquet.x1").write_bytes(b"half")
    assert verify("--sample", "0")[0] == 0


# The manifest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["identity"].update(horizon=7), "is not that of the identity"),
        (lambda m: m.update(id="../../../tmp/x"), "the id '../../../tmp/x' is not that of the identity"),
        (lambda m: m["identity"].update(format=1), f"format 1, but this maa-bench reads {FORMAT}"),
        (lambda m: m["identity"]["versions"].update(numpy="0.1"), "but tiny was frozen with"),
        (lambda m: m["shards"].update({"../../evil": m["shards"].pop(SHARD)}), "'../../evil': it is not the path of"),
        (lambda m: m["shards"][SHARD].update(run="../train"), "it is not the path of"),
        (lambda m: m["shards"][SHARD].update(task="goal-999"), "the suite has no task 'goal-999'"),
        (lambda m: m["shards"][SHARD].update(role="test"), "unknown role 'test'"),
        (lambda m: m["shards"][STEPS].update(role="prompt"), "'train' elsewhere"),
        (lambda m: m["shards"][SHARD].pop("partial"), "partial is None"),
    ],
    ids=["identity", "id", "format", "versions", "path", "run", "task", "role", "roles differ", "count"],
)
def test_the_manifest_is_sound(verify: Verify, folder: Path, change: Callable[[Any], Any], words: str) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    if "frozen" in words:
        manifest["id"] = f"tiny-{digest(manifest['identity'])[:10]}"
    path.write_text(json.dumps(manifest))
    refused(verify, "manifest.json: ", words)


# Rows


def first(change: Callable[[Row], Any]) -> Callable[[list[Row]], Any]:
    return lambda rows: change(rows[0])


def poison(row: Row) -> None:
    row["params"][3] = np.nan


def act_wildly(row: Row) -> None:
    row["actions"][5] = 1.5


def show_nothing(row: Row) -> None:
    row["observations"] = np.zeros_like(row["observations"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (first(poison), "params hold NaN or infinity"),
        (first(act_wildly), "actions beyond [-1, 1]"),
        (first(show_nothing), "no behaviour, though it succeeds"),
        (first(lambda row: row.update(suite="other-v1")), "suite is 'other-v1', the dataset's 'tiny'"),
        (first(lambda row: row.update(spec_id="mlp-9")), "spec_id is 'mlp-9', the dataset's"),
        (first(lambda row: row.update(versions='{"maa-bench": "0.0.1"}')), "versions is"),
        (first(lambda row: row.update(producer="sac")), "producer is 'sac', the dataset's 'distill'"),
        (first(lambda row: row.update(role="prompt")), "role is 'prompt', the dataset's 'train'"),
        (first(lambda row: row.update(row_id="goal-090/train-00/x")), "its name is not task/run/step"),
        (first(lambda row: row.update(success=1.0 - row["success"])), "but its first-success steps"),
        (first(lambda row: row.update(episodes=9)), "9 episodes, 2 layouts"),
        (first(lambda row: row.update(layouts=[0, 600])), "but the task has 6 train layouts"),
        (first(lambda row: row.update(first_success_steps=[0, 0])), "are no steps of an episode"),
        (first(lambda row: row.update(behavior_layout=-1)), "behaviour of layout -1, but the first success is on"),
        (lambda rows: rows.append(dict(rows[0])), "it is there twice"),
        (lambda rows: rows.pop(), "the manifest says"),
    ],
)
def test_rows_are_sound_though_every_hash_is_right(
    verify: Verify, folder: Path, tiny_suite: Path, change: Callable[[list[Row]], Any], words: str
) -> None:
    rewrite(folder, tiny_suite, change)
    refused(verify, SHARD, words)


def test_a_row_is_named(verify: Verify, folder: Path, tiny_suite: Path) -> None:
    name = read_rows(folder / SHARD)[0]["row_id"]
    rewrite(folder, tiny_suite, first(poison))
    refused(verify, f"{SHARD}, row {name}: params hold NaN")


def test_the_hash_of_a_row_is_of_its_columns(verify: Verify, folder: Path, tiny_suite: Path) -> None:
    rewrite(folder, tiny_suite, first(lambda row: row.update(seed=99)), rehash=False)
    refused(verify, SHARD, "row_hash is not the hash of its columns")


def test_vectors_have_the_suites_length(verify: Verify, folder: Path) -> None:
    table = pq.read_table(folder / SHARD)
    n = table.schema.field("params").type.list_size
    flat = table["params"].combine_chunks().flatten().to_numpy().reshape(-1, n)[:, 1:].ravel()
    shorter = pa.FixedSizeListArray.from_arrays(pa.array(flat), n - 1)
    pq.write_table(table.set_column(table.schema.get_field_index("params"), "params", shorter), folder / SHARD)
    renew_manifest(folder, SHARD)
    refused(verify, SHARD, f"column 'params' holds fixed_size_list<element: float>[{n - 1}]", f"[{n}]")


def test_columns_are_the_schemas(verify: Verify, folder: Path) -> None:
    pq.write_table(pq.read_table(folder / SHARD).drop_columns(["seed"]), folder / SHARD)
    renew_manifest(folder, SHARD)
    refused(verify, f"{SHARD}: other columns than the schema's: seed")


def test_nulls_are_found(verify: Verify, folder: Path) -> None:
    table = pq.read_table(folder / SHARD)
    nothing = pa.nulls(len(table), pa.int64())
    pq.write_table(table.set_column(table.schema.get_field_index("seed"), "seed", nothing), folder / SHARD)
    renew_manifest(folder, SHARD)
    refused(verify, "column 'seed' holds nulls")


def test_rows_of_two_runs_cannot_change_places(verify: Verify, folder: Path, tiny_suite: Path) -> None:
    spec = load_suite(str(tiny_suite)).policy
    one, two = read_rows(folder / SHARD), read_rows(folder / OTHER)
    one[0], two[0] = two[0], one[0]
    for shard, rows in ((SHARD, one), (OTHER, two)):
        write_checkpoints(folder / shard, rows, spec)
        renew_manifest(folder, shard)
    refused(verify, f"{SHARD}, row {one[0]['row_id']}: run is 'train-01'", f"{OTHER}, row", "run is 'train-00'")


def test_many_problems_are_one_line(verify: Verify, folder: Path, tiny_suite: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in manifest["shards"]:
        truncate(folder / shard)
    refused(verify, f"and {len(manifest['shards']) - checks.SHOWN} more. {RENEW}")
    code, out, _ = verify("--json", "--sample", "0")
    assert code == 2
    result = json.loads(out)
    assert not result["sound"]
    assert (len(result["problems"]), result["n_problems"]) == (checks.SHOWN, len(manifest["shards"]))


# Transitions


@pytest.mark.parametrize(
    ("shard", "column", "row", "value", "words"),
    [
        (STEPS, "rewards", 3, np.nan, "row 3: NaN or infinity"),
        (STEPS, "next_observations", 3, 5.0, "row 4: the state is not the one after the step before"),
        (STEPS, "actions", 3, 1.5, "row 3: actions beyond [-1, 1]"),
        (STEPS, "noise_std", 3, 0.7, "row 3, and 1 more: layout, noise or source changes within an episode"),
        (STEPS, "layout", 0, 600, "row 0: layout that is none of 6 train layouts"),
        (STEPS, "source", slice(None), "goal-090/train-00/7", "its source is no checkpoint of the run"),
        (STEPS, "source", slice(None), "expert", "its source is no checkpoint of the run"),
        (EXPERTS, "source", slice(None), "goal-090/train-00/7", "its source is no checkpoint of the run"),
        (EXPERTS, "episode", slice(None), 5, "row 0: episodes are not numbered on"),
        (EXPERTS, "noise_std", 1, np.inf, "row 1: NaN or infinity"),
    ],
)
def test_transitions_are_sound_though_every_hash_is_right(
    verify: Verify, folder: Path, tiny_suite: Path, shard: str, column: str, row: Any, value: Any, words: str
) -> None:
    spec = load_suite(str(tiny_suite)).policy
    episodes = transitions_of(pq.read_table(folder / shard), spec)
    array = getattr(episodes, column).copy()
    array[row] = value
    write_transitions(folder / shard, "goal-090", "train", replace(episodes, **{column: array}), spec)
    renew_manifest(folder, shard)
    refused(verify, shard, words)


def test_steps_are_numbered_on(verify: Verify, folder: Path) -> None:
    table = pq.read_table(folder / STEPS)
    steps = table["step"].to_numpy().copy()
    steps[2] += 1
    column = pa.array(steps, pa.int32())
    pq.write_table(table.set_column(table.schema.get_field_index("step"), "step", column), folder / STEPS)
    renew_manifest(folder, STEPS)
    refused(verify, STEPS, "row 2, and 1 more: steps are not numbered on")


@pytest.mark.parametrize(("column", "value"), [("task", "goal-000"), ("role", "prompt")])
def test_transitions_are_their_shards(verify: Verify, folder: Path, tiny_suite: Path, column: str, value: str) -> None:
    spec = load_suite(str(tiny_suite)).policy
    episodes = transitions_of(pq.read_table(folder / STEPS), spec)
    about = {"task": "goal-090", "role": "train", column: value}
    write_transitions(folder / STEPS, about["task"], about["role"], episodes, spec)
    renew_manifest(folder, STEPS)
    refused(verify, STEPS, f"another {column} than its shard's")


def test_batches_go_on_where_the_last_one_ended(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    for size in ("ROW_GROUP", "TRANSITIONS_BATCH"):
        monkeypatch.setattr(checks, size, 3)
    assert verify("--sample", "0")[0] == 0


# Rolled out again


def first_success(rows: list[Row]) -> list[int]:
    """Index of a row of success 1."""
    return [i for i, row in enumerate(rows) if row["success"] == 1.0]


def later(rows: list[Row]) -> None:
    row = rows[first_success(rows)[0]]
    row["first_success_steps"] = [row["first_success_steps"][0] + 1, *row["first_success_steps"][1:]]


def nudge_behaviour(rows: list[Row]) -> None:
    row = rows[first_success(rows)[0]]
    row["observations"][0] = np.nextafter(row["observations"][0], np.float32(9), dtype=np.float32)


def other_policy(rows: list[Row]) -> None:
    row = rows[first_success(rows)[0]]
    row["params"] = row["params"] * np.float32(0.9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (later, "but rolled out again"),
        (nudge_behaviour, "its observations are not those of its policy, rolled out again"),
        (other_policy, "rolled out again"),
    ],
)
def test_a_false_measurement_is_found_by_rolling_out(
    verify: Verify, folder: Path, tiny_suite: Path, change: Callable[[list[Row]], None], words: str
) -> None:
    rewrite(folder, tiny_suite, change)
    assert verify("--sample", "0")[0] == 0, "nothing else can tell"
    refused(verify, SHARD, words, sample=100_000)


def test_the_sample_has_every_task_and_its_seed(tiny_dataset: CheckpointDataset) -> None:
    every = sum(entry["rows"] for entry in tiny_dataset.entries("checkpoints").values())
    for sample in (1, 20, 50):
        drawn = draw_rows(tiny_dataset, sample, seed=3)
        assert set(drawn) == set(tiny_dataset.tasks)
        places = [place for own in drawn.values() for place in own]
        assert len(places) == len(set(places)) == max(sample, len(tiny_dataset.tasks))
        assert drawn == draw_rows(tiny_dataset, sample, seed=3)
        assert all(f"/{task}/" in shard for task, own in drawn.items() for shard, _ in own)
    assert draw_rows(tiny_dataset, 20, 4) != draw_rows(tiny_dataset, 20, 3)
    assert sum(map(len, draw_rows(tiny_dataset, 10**6, 0).values())) == every


def test_another_simulator_is_one_line(verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(suite: Suite) -> None:
        raise SuiteError(f"suite {suite.name} was frozen with mujoco 1, but 2 is installed")

    monkeypatch.setattr("maa_bench.dataset.verify.simulator_of", refuse)
    refused(verify, "frozen with mujoco 1, but 2 is installed; --sample 0 checks all that needs no simulator", sample=9)
    assert verify("--sample", "0")[0] == 0


def test_a_sample_below_0_is_refused(verify: Verify) -> None:
    refused(verify, "--sample must be at least 0, not -1", sample=-1)
