"""`data export` and `data import official`: released files there and back, measured anew, and nothing in them run."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from refusals import refused

from maa_bench.cache import Cache
from maa_bench.cli import main
from maa_bench.dataset import share
from maa_bench.dataset.imported import ChunkJob, import_official
from maa_bench.dataset.measure import first_success_steps, record_behavior
from maa_bench.dataset.official import ProcessedFile, RawFile, read_raw, write_processed, write_raw
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.dataset.torch_files import save_tensors
from maa_bench.execution.local import LocalExecutor
from maa_bench.files import hashes, sha256_of
from maa_bench.forward import PackedPolicy
from maa_bench.policy import initial_params
from maa_bench.progress import Progress
from maa_bench.prompts import Behaviors
from maa_bench.simulators import EpisodeError, simulator_of
from maa_bench.suite import load_suite

TASK, UNSEEN = "goal-090", "goal-030"

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def released(tiny_suite: Path, tiny_dataset: CheckpointDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny dataset in the released format."""
    folder = tmp_path_factory.mktemp("released")
    options = ["--suite", str(tiny_suite), "--quiet"]
    assert main(["data", "export", "--format", "official", str(folder), str(tiny_dataset.folder), *options]) == 0
    return folder


@pytest.fixture(scope="module")
def imported(tiny_suite: Path, released: Path, tmp_path_factory: pytest.TempPathFactory) -> CheckpointDataset:
    """All of these files, imported again into a cache of their own."""
    cache = Cache(tmp_path_factory.mktemp("import-cache"))
    with LocalExecutor(1) as executor:
        files = sorted(released.glob("*.pt"))
        return import_official(files, load_suite(str(tiny_suite)), cache, executor, Progress(quiet=True))


@pytest.fixture
def cli(tiny_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run `data <verb> ...` in this process, in an empty folder, with a cache of its own: code, out, err."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*args: object, cache: Path = tmp_path / "cache") -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["data", *map(str, args), "--suite", str(tiny_suite), "--cache-dir", str(cache), "--quiet"])
        return (code, *capfd.readouterr())

    return run


def datasets_in(tmp_path: Path) -> list[str]:
    folder = tmp_path / "cache" / "datasets"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# Export


def test_an_export_has_the_checkpoints_of_success_1(tiny_dataset: CheckpointDataset, released: Path) -> None:
    suite = tiny_dataset.suite
    assert sorted(path.name for path in released.iterdir()) == sorted(f"{task}.pt" for task in suite.tasks)
    rows = tiny_dataset.training_set("seen")
    mine = rows.task == TASK
    raw = read_raw(released / f"{TASK}.pt", suite.policy)
    np.testing.assert_array_equal(raw.params, rows.params[mine])
    np.testing.assert_array_equal(raw.traj, rows.behaviors.take(mine).trajectory_vectors())
    np.testing.assert_array_equal(raw.task, rows.behaviors.take(mine).outcome_vectors())
    prompts = tiny_dataset.prompts(UNSEEN, 12, 0).behaviors.trajectory_vectors()
    assert {row.tobytes() for row in read_raw(released / f"{UNSEEN}.pt", suite.policy).traj.astype(np.float32)} == {
        row.tobytes() for row in prompts
    }


def test_an_export_of_one_role_and_task(cli: Cli, tiny_dataset: CheckpointDataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = cli("export", out, tiny_dataset.folder, "--role", "prompt", "--tasks", TASK)
    assert ended == (0, f"{out / TASK}.pt\n", "")
    raw = read_raw(out / f"{TASK}.pt", tiny_dataset.suite.policy)
    verified = [entry["verified"] for entry in tiny_dataset.entries("checkpoints", TASK, "prompt").values()]
    assert len(raw.params) == sum(verified)
    before = sha256_of(out / f"{TASK}.pt")
    refused(cli("export", out, tiny_dataset.folder, "--tasks", TASK), f"{TASK}.pt is there already: --overwrite")
    assert sha256_of(out / f"{TASK}.pt") == before
    assert cli("export", out, tiny_dataset.folder, "--tasks", TASK, "--overwrite")[0] == 0
    assert sha256_of(out / f"{TASK}.pt") != before


def test_an_export_that_cannot_be(
    cli: Cli, tiny_dataset: CheckpointDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    refused(cli("export", out, tiny_dataset.folder, "--format", "zip"), "--format knows no 'zip'")
    refused(cli("export", out, tiny_dataset.folder, "--role", "test"), "unknown role 'test'")
    refused(cli("export", out, tiny_dataset.folder, "--tasks", "goal-09"), "has no task 'goal-09'", "'goal-090'")
    refused(cli("export", out, tiny_dataset.folder, "--role", "validation"), "no validation checkpoint of success 1")
    monkeypatch.setattr(share.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 9}))
    refused(cli("export", out, tiny_dataset.folder), "are free: make room")
    assert not out.exists()


# Import


def test_imported_rows_have_measurements_of_their_own(
    tiny_dataset: CheckpointDataset, imported: CheckpointDataset, released: Path
) -> None:
    suite = tiny_dataset.suite
    for task, role in ((TASK, "train"), (UNSEEN, "prompt")):
        file = released / f"{task}.pt"
        (shard,) = imported.entries("checkpoints", task)
        run = f"imported-{sha256_of(file)[:8]}"
        assert shard == f"checkpoints/{task}/{run}.parquet"
        rows = pq.read_table(imported.folder / shard).to_pylist()
        raw = read_raw(file, suite.policy)
        assert [row["step"] for row in rows] == list(range(len(raw.params)))
        simulator, layouts = simulator_of(suite).open_task(suite.task(task)), suite.layouts(task, "train")
        for row, params in zip(rows, raw.params, strict=True):
            assert np.array(row["params"], np.float32).tobytes() == params.tobytes()
            known = {name: row[name] for name in ("role", "run", "producer", "seed", "env_step", "episodes")}
            assert known == {
                "role": role, "run": run, "producer": "official", "seed": -1, "env_step": -1, "episodes": 5
            }  # fmt: skip
            policy = PackedPolicy(suite.policy, params)
            firsts, _ = first_success_steps(simulator, policy, layouts[row["layouts"]], suite.horizon)
            assert row["first_success_steps"] == firsts
            assert len(set(row["layouts"])) == 5
            if max(firsts) > 0:
                shown, _ = record_behavior(simulator, policy, layouts[row["behavior_layout"]], suite.horizon)
                np.testing.assert_array_equal(np.array(row["observations"], np.float32), shown.observations.ravel())


def test_an_imported_dataset_is_one_like_others(cli: Cli, imported: CheckpointDataset, tmp_path: Path) -> None:
    code, out, err = cli("verify", imported.folder, "--sample", "12", "--workers", "1")
    assert (code, err) == (0, "")
    assert "is sound" in out
    code, out, err = cli("verify", imported.folder, "--sample", "0", "--json", "--workers", "1")
    assert json.loads(out)["sound"]
    assert imported.tasks == tuple(imported.suite.tasks)
    assert cli("export", tmp_path / "again", imported.folder, "--tasks", TASK)[0] == 0
    assert imported.n_prompts(TASK, "expert") > 0, "experts are recorded, too"


def test_a_method_runs_on_an_imported_dataset(
    imported: CheckpointDataset, tiny_suite: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cache = imported.folder.parents[1]
    numbers = ["--shots", "2", "--candidates", "3", "--episodes", "4", "--select-episodes", "3"]
    where = ["--cache-dir", str(cache), "--results-dir", str(tmp_path), "--workers", "1", "--quiet"]
    command = ["run", "--suite", str(tiny_suite), "--method", "random_seen", "--dataset", imported.id]
    assert main([*command, *numbers, *where]) == 0
    assert "goal-030" in capfd.readouterr().out


def test_an_import_gives_the_same_bytes_again_and_is_not_done_twice(
    cli: Cli, imported: CheckpointDataset, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(released.glob("*.pt"))
    assert cli("import", "official", *files, "--workers", "2") == (0, f"{imported.id}\n", "")
    folder = tmp_path / "cache" / "datasets" / imported.id
    assert {n: s for n, s in hashes(folder).items() if not n.startswith("build/")} == {
        n: s for n, s in hashes(imported.folder).items() if not n.startswith("build/")
    }
    assert not (folder / ".build" / "import").exists()
    monkeypatch.setattr(ChunkJob, "__call__", lambda *_: pytest.fail("rolled out again"))
    assert cli("import", "official", *files, "--workers", "1")[1] == f"{imported.id}\n"


def test_the_task_may_be_named_and_episodes_counted(cli: Cli, released: Path, tmp_path: Path) -> None:
    file = tmp_path / "whatever.pt"
    file.write_bytes((released / f"{TASK}.pt").read_bytes())
    refused(cli("import", "official", file), "'whatever' is no task of suite tiny: say which it is with --task")
    code, out, _ = cli("import", "official", file, "--task", TASK, "--episodes", "2", "--workers", "1")
    assert code == 0
    shards = (tmp_path / "cache" / "datasets" / out.strip() / "checkpoints" / TASK).iterdir()
    assert set(pq.read_table(next(shards))["episodes"].to_pylist()) == {2}


def processed(raw: RawFile, chunks: tuple[int, int]) -> tuple[ProcessedFile, dict[str, Any]]:
    """A file of latents, and weights of an autoencoder that gives exactly `raw`'s policies back."""
    width = max(chunks)
    latents = np.zeros((len(raw.params), 2, width), np.float32)
    latents[:, 0, : chunks[0]] = raw.params[:, : chunks[0]]
    latents[:, 1, : chunks[1]] = raw.params[:, chunks[0] :]
    embedded = np.zeros((len(latents), 8), np.float32)
    weights = {
        f"output_parameter_projections.{i}.0.weight": np.eye(size, width, dtype=np.float32)
        for i, size in enumerate(chunks)
    }
    return ProcessedFile(latents, embedded, embedded), weights


def test_a_processed_file_is_decoded(cli: Cli, released: Path, tiny_suite: Path, tmp_path: Path) -> None:
    spec = load_suite(str(tiny_suite)).policy
    raw = read_raw(released / f"{TASK}.pt", spec)
    latents, weights = processed(raw, (spec.n_params - 100, 100))
    file, autoencoder = tmp_path / f"{TASK}.pt", tmp_path / "autoencoder.pt"
    write_processed(file, latents)
    save_tensors(autoencoder, weights)
    refused(cli("import", "official", file), "is a processed file", "--autoencoder")
    code, out, err = cli("import", "official", file, "--autoencoder", autoencoder, "--workers", "1")
    assert code == 0, err
    (shard,) = (tmp_path / "cache" / "datasets" / out.strip() / "checkpoints" / TASK).iterdir()
    params = np.array(pq.read_table(shard)["params"].to_pylist(), np.float32)
    np.testing.assert_array_equal(params, raw.params)
    name = "output_parameter_projections.1.0.weight"
    save_tensors(autoencoder, weights | {name: weights[name][:99]})
    refused(cli("import", "official", file, "--autoencoder", autoencoder), "decoded with", "shape")


# Files that are refused


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def malicious(file: Path, mark: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"param": Evil(mark)}, protocol=2))
        archive.writestr("archive/version", "3\n")


def with_params(file: Path, params: Any) -> None:
    raw = {"param": params, "traj": np.zeros((len(params), 200)), "task": np.zeros((len(params), 12))}
    save_tensors(file, raw)


DAMAGES: dict[str, tuple[Callable[[Path, bytes], Any], str]] = {
    "truncated": (lambda file, good: file.write_bytes(good[:-200]), "truncated or altered"),
    "empty": (lambda file, good: file.write_bytes(b""), "is empty"),
    "text": (lambda file, good: file.write_text("hello"), "is no archive as torch.save has written"),
    "malicious": (lambda file, good: malicious(file, file.parent / "mark"), "nothing of it was run"),
    "wrong length": (lambda file, good: with_params(file, np.zeros((2, 7), np.float32)), "rows of 7 numbers"),
    "missing": (lambda file, good: None, "cannot read"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_imported_is_one_line(cli: Cli, released: Path, tmp_path: Path, damage: str) -> None:
    file = tmp_path / f"{TASK}.pt"
    change, words = DAMAGES[damage]
    change(file, (released / file.name).read_bytes())
    good = released / f"{UNSEEN}.pt"
    refused(cli("import", "official", good, file, "--workers", "1"), str(file), words)
    assert datasets_in(tmp_path) == []
    assert not (tmp_path / "mark").exists(), "code of the file was run"


def test_the_malicious_file_would_work_if_it_were_let(tmp_path: Path) -> None:
    """Or the test above proved nothing."""
    file, mark = tmp_path / "evil.pt", tmp_path / "mark"
    malicious(file, mark)
    with zipfile.ZipFile(file) as archive:
        pickle.loads(archive.read("archive/data.pkl"))
    assert mark.exists()


def test_nan_is_refused(cli: Cli, released: Path, tiny_suite: Path, tmp_path: Path) -> None:
    spec = load_suite(str(tiny_suite)).policy
    raw = read_raw(released / f"{TASK}.pt", spec)
    params = raw.params.copy()
    params[1, 2] = np.nan
    file = tmp_path / f"{TASK}.pt"
    save_tensors(file, {"param": params, "traj": raw.traj, "task": raw.task})
    refused(cli("import", "official", file), "row 1 of 'param'", "NaN or infinity")


def random_file(suite_path: Path, file: Path, n: int = 3) -> None:
    suite = load_suite(str(suite_path))
    spec = suite.policy
    params = np.stack([initial_params(spec, np.random.default_rng(i)) for i in range(n)])
    shapes = ((n, 60, spec.obs_dim), (n, 60, spec.action_dim), (n, 3, spec.obs_dim))
    write_raw(file, params, Behaviors(*(np.zeros(shape, np.float32) for shape in shapes)))


def test_a_task_that_never_reaches_success_1_is_said(cli: Cli, tiny_suite: Path, tmp_path: Path) -> None:
    file = tmp_path / f"{TASK}.pt"
    random_file(tiny_suite, file)
    refused(
        cli("import", "official", file, "--workers", "1"),
        f"{file}: none of its 3 rows reaches success 1 on task '{TASK}' of tiny (best: 0.00): is it of another task",
    )
    assert datasets_in(tmp_path) == []


def test_options_that_cannot_be(cli: Cli, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = released / f"{TASK}.pt", released / f"{UNSEEN}.pt"
    refused(cli("import", "official", one, two, "--task", TASK), f"--task {TASK} is of one file, not of 2")
    refused(cli("import", "official", one, one), "the same file of the same task is given twice")
    refused(cli("import", "official", one, "--task", "goal"), "has no task 'goal'")
    refused(cli("import", "official", one, "--episodes", "0"), "--episodes must be at least 1")
    refused(cli("import", "official", one, "--workers", "0"), "--workers must be at least 1")
    refused(cli("import", "official", one, "--autoencoder", tmp_path / "none.pt"), "cannot read", "none.pt")
    monkeypatch.setattr(ChunkJob, "__call__", lambda *_: pytest.fail("work was begun"))
    monkeypatch.setattr(share.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 9}))
    refused(cli("import", "official", one), "are free: make room")
    assert datasets_in(tmp_path) == []


def test_an_interrupted_import_leaves_nothing(
    cli: Cli, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        assert datasets_in(tmp_path)[0].startswith(".tiny-"), "hidden until it is whole"
        raise KeyboardInterrupt

    monkeypatch.setattr(ChunkJob, "__call__", interrupt)
    assert cli("import", "official", released / f"{TASK}.pt", "--workers", "1")[0] == 130
    assert datasets_in(tmp_path) == []


def test_a_row_whose_behaviour_breaks_off_is_left_out(
    cli: Cli, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maa_bench.dataset import collect

    record, seen = collect.record_behavior, []

    def break_first(*args: Any) -> Any:
        seen.append(args)
        if len(seen) == 1:
            raise EpisodeError("the simulation diverged", 3)
        return record(*args)

    monkeypatch.setattr(collect, "record_behavior", break_first)
    file = released / f"{TASK}.pt"
    code, out, _ = cli("import", "official", file, "--workers", "1")
    assert code == 0
    folder = tmp_path / "cache" / "datasets" / out.strip()
    (shard,) = (folder / "checkpoints" / TASK).iterdir()
    steps = pq.read_table(shard)["step"].to_pylist()
    entry = json.loads((folder / "manifest.json").read_text())["shards"][shard.relative_to(folder).as_posix()]
    assert (entry["rows"], entry["diverged"]) == (len(steps), 1)
    assert steps == sorted(set(range(len(steps) + 1)) - {0})
