"""Where the parameters of a record come from, and that they are the record's whatever that place says."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pyarrow.parquet as pq
import pytest
from hostile import mangled, put, refused_cleanly
from safetensors.numpy import load_file, save
from submitted import edit, rolled, write

from maa_bench.candidate_rows import candidate_table
from maa_bench.results import CANDIDATE_ROWS, CANDIDATES, load_record
from maa_bench.suite import load_suite
from maa_bench.validation import weights as weights_module
from maa_bench.validation.judge import Ways, judge
from maa_bench.validation.verdict import Verdict
from maa_bench.validation.weights import found_weights, hub_path, weights_problems

EVERY = 10**6
Made = tuple[Any, Any, dict[str, Any]]


@pytest.fixture(scope="module")
def made() -> Made:
    return rolled()


@pytest.fixture
def folder(tmp_path: Path, made: Made) -> Path:
    """A true record, with the weights beside it."""
    return write(tmp_path / "results", *made)


class FakeHub:
    """What this package asks of `huggingface_hub` here, with a folder in the place of a repository."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked, self.fetched = root, [], 0

    def hf_hub_url(self, repo: str, name: str, repo_type: str, revision: str | None) -> str:
        assert repo_type == "dataset"
        self.asked.append((repo, name, revision))
        return str(self.root / name)

    def get_hf_file_metadata(self, url: str, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(size=Path(url).stat().st_size)

    def hf_hub_download(self, repo: str, name: str, local_dir: Path, repo_type: str, revision: str | None) -> str:
        self.fetched += 1
        return shutil.copy(self.root / name, local_dir / CANDIDATES)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path / "hub")
    for name in ("hf_hub_url", "get_hf_file_metadata", "hf_hub_download"):
        monkeypatch.setattr(huggingface_hub, name, getattr(fake, name))
    return fake


def published(folder: Path, hub: FakeHub, where: str = "user/weights") -> Path:
    """The weights moved from the record's folder to the Hub that the record names."""
    path = hub.root / hub_path(load_record(folder))
    path.parent.mkdir(parents=True)
    shutil.move(folder / CANDIDATES, path)
    edit(folder, lambda raw: raw.update(weights=where))
    return path


def rolled_again(verdict: Verdict) -> bool:
    assert verdict.holds, verdict.problems
    return verdict.episodes > 0


def test_weights_are_taken_from_the_folder_a_path_or_the_hub(folder: Path, tmp_path: Path, hub: FakeHub) -> None:
    assert rolled_again(judge(folder, Ways()))
    record = load_record(folder)
    elsewhere = tmp_path / "elsewhere" / record.method.name / record.run_id / CANDIDATES
    elsewhere.parent.mkdir(parents=True)
    shutil.copy(folder / CANDIDATES, elsewhere)
    published(folder, hub, "user/weights@v1")
    for given in (elsewhere, elsewhere.parent, tmp_path / "elsewhere"):
        assert rolled_again(judge(folder, Ways(weights=given)))
    assert hub.asked == []
    assert rolled_again(judge(folder, Ways()))
    assert hub.asked == [("user/weights", "stranger/toy-v1-unseen-1/candidates.safetensors", "v1")]
    assert not rolled_again(judge(folder, Ways(hub=False)))
    assert not rolled_again(judge(folder, Ways(sample=0)))
    assert hub.fetched == 1


def test_another_file_is_not_taken_for_the_records(folder: Path, tmp_path: Path, hub: FakeHub) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(mangled((folder / CANDIDATES).read_bytes(), np.random.default_rng(0)))
    path = published(folder, hub)
    (found,) = judge(folder, Ways(weights=other)).problems
    assert "is another file than the record's" in found
    (found,) = judge(folder, Ways(weights=tmp_path)).problems
    assert f"{tmp_path}: holds no {CANDIDATES}" in found
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    (found,) = judge(folder, Ways()).problems
    assert "is another file than the record's" in found
    path.write_bytes(sound + b"\0")
    (found,) = judge(folder, Ways()).problems
    assert "has" in found
    assert hub.fetched == 1, "a file of another size is not downloaded"
    path.unlink()
    (found,) = judge(folder, Ways()).problems
    assert "user/weights on the Hub: cannot be had (FileNotFoundError" in found
    assert "\n" not in found


def test_giants_are_not_downloaded(folder: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    published(folder, hub)
    monkeypatch.setattr(weights_module, "MAX_WEIGHTS", 1000)
    (found,) = judge(folder, Ways()).problems
    assert "more than the 1,000 that are allowed" in found
    assert hub.asked == []


def test_parameters_must_have_the_hashes_of_their_rows(folder: Path, made: Made) -> None:
    arrays = load_file(folder / CANDIDATES)
    key = next(iter(arrays))
    arrays[key] = arrays[key] + np.float32(1e-3)
    put(folder, CANDIDATES, save(arrays))
    (found,) = judge(folder, Ways()).problems
    seed, task = key.split("/")
    assert f"task {task!r}, seed {seed}, candidate 0: its parameters are not those" in found


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda arrays: arrays.pop(next(iter(arrays))), "has no parameters of task"),
        (lambda arrays: arrays.update({k: v[:1] for k, v in arrays.items()}), "not F32 [3, "),
        (lambda arrays: arrays.update({k: v.astype(np.float64) for k, v in arrays.items()}), "is F64"),
        (lambda arrays: arrays.update({k: v * np.nan for k, v in arrays.items()}), "its parameters are not those"),
    ],
)
def test_other_arrays_are_refused(folder: Path, change: Any, says: str) -> None:
    arrays = load_file(folder / CANDIDATES)
    change(arrays)
    put(folder, CANDIDATES, save(arrays))
    (found,) = judge(folder, Ways(sample=EVERY)).problems
    assert says in found


def test_parameters_that_are_no_numbers_are_a_problem_and_no_crash(folder: Path) -> None:
    arrays = {k: v * np.nan for k, v in load_file(folder / CANDIDATES).items()}
    put(folder, CANDIDATES, save(arrays))
    hashed = io.BytesIO()
    pq.write_table(candidate_table(load_record(folder), arrays), hashed)
    put(folder, CANDIDATE_ROWS, hashed.getvalue())
    found = judge(folder, Ways()).problems
    assert len(found) == 1
    assert "NaN" in found[0]


def test_weights_of_which_the_record_knows_nothing_prove_nothing(folder: Path) -> None:
    edit(folder, lambda raw: raw["files"].pop(CANDIDATES))
    (found,) = judge(folder, Ways()).problems
    assert "nothing says that these are its parameters" in found


def test_mangled_weights_are_refused_in_one_line(folder: Path) -> None:
    sound = (folder / CANDIDATES).read_bytes()
    policy = load_suite("toy-v1").policy
    found: list[str] = []
    for run in range(100):
        rng = np.random.default_rng(run)
        header = int.from_bytes(sound[:8], "little") + 8
        data = mangled(sound[:header], rng) + sound[header:] if run % 2 else mangled(sound, rng)
        put(folder, CANDIDATES, data)
        record = load_record(folder)

        def look(record: Any = record) -> None:
            with found_weights(folder, record, None, False) as path:
                assert path is not None
                found.extend(weights_problems(path, folder, record, policy))

        assert not refused_cleanly(f"run {run}", look), "they are what the record says; what they hold is a finding"
    assert len(found) > 90
    assert all("\n" not in line and len(line) < 700 for line in found)
