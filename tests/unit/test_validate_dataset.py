"""Making a record again needs its very dataset: where it cannot be had, one line says so before any work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from submitted import edit, rolled, write

from maa_bench.cli import main
from maa_bench.dataset.schema import FORMAT
from maa_bench.record import MethodInfo
from maa_bench.registry import load_method
from maa_bench.results import CANDIDATES

COMMIT = "5" * 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record that a method of the package might have made, on a dataset of former times."""
    record, table, candidates = rolled("nearest_checkpoint")
    loaded = load_method("nearest_checkpoint")
    record = record.model_copy(update={"method": MethodInfo.of(loaded.card, loaded.source)})
    made = write(tmp_path_factory.mktemp("results"), record, table, candidates)
    (made / CANDIDATES).unlink()
    edit(made, lambda raw: raw["environment"].update(git={"commit": COMMIT, "dirty": False}))
    return made


def line(folder: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path, *options: str) -> str:
    """What `validate --regenerate` finds wrong with the dataset."""
    cache = tmp_path / "cache"
    code = main(["validate", str(folder), "--regenerate", "--quiet", "--cache-dir", str(cache), *options])
    out, err = capfd.readouterr()
    assert (code, err) == (1, "")
    assert not (cache / "datasets").exists(), "nothing was built"
    (found,) = (wrong for wrong in out.splitlines() if wrong.startswith("WRONG"))
    return found


def test_a_dataset_that_this_version_does_not_build(
    folder: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = line(folder, capfd, tmp_path)
    assert "it was fitted on dataset toy-distill-1a2b, but this maa-bench (dataset format" in found
    assert "would build toy-v1-" in found
    assert f"name it as --dataset, or use the maa-bench that made it, 0.1.0, commit {COMMIT[:12]}" in found


@pytest.mark.parametrize("made", [FORMAT - 1, FORMAT + 1, None, "x\ny"])
def test_a_dataset_of_another_format(
    folder: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path, made: Any
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    identity = {"format": made, "suite": "toy-v1", "layouts_sha256": "0" * 64}
    (given / "manifest.json").write_text(json.dumps({"id": "toy-distill-1a2b", "identity": identity, "shards": {}}))
    found = line(folder, capfd, tmp_path, "--dataset", str(given))
    assert f"has format {made!r}, this maa-bench reads {FORMAT}: use the maa-bench that made it, 0.1.0" in found


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"identity": 3}'])
def test_what_is_no_dataset(folder: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path, manifest: str) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "manifest.json").write_text(manifest)
    assert str(given) in line(folder, capfd, tmp_path, "--dataset", str(given))
