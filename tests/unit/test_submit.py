"""Preparing a pull request: all records or none, checked, without weights, with a text that cannot be abused."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from submitted import edit, rolled, write

from maa_bench import submission
from maa_bench.cli import main
from maa_bench.files import hashes
from maa_bench.results import CANDIDATES, RECORD, load_record, validate_record
from maa_bench.submission import STATEMENT, prepare, pull_request_text
from maa_bench.validation.judge import Ways
from maa_bench.validation.weights import hub_path

TEMPLATE = Path(__file__).parents[2] / ".github" / "PULL_REQUEST_TEMPLATE.md"
Made = tuple[Any, Any, dict[str, Any]]


@pytest.fixture(scope="module")
def made() -> Made:
    return rolled()


@pytest.fixture
def folder(tmp_path: Path, made: Made) -> Path:
    """A true record with its weights, as a run leaves it."""
    return write(tmp_path / "runs", *made)


def test_a_record_is_copied_without_its_weights_and_told_of(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = hashes(folder)
    assert main(["submit", str(folder), "--to", "checkout/results", "--weights-id", "user/weights"]) == 0
    out = capfd.readouterr().out
    there = tmp_path / "checkout" / "results" / "stranger" / folder.name
    assert sorted(path.name for path in there.iterdir()) == ["candidates.parquet", "episodes.parquet", RECORD]
    assert validate_record(there) == load_record(folder).model_copy(update={"weights": "user/weights"})
    assert hashes(folder) == before
    text = (tmp_path / "pull-request.md").read_text()
    for part in ("Draws weights.", "user/weights", "20 episodes rolled out again, all the same", *STATEMENT):
        assert part in text
    (command,) = (shlex.split(line) for line in out.splitlines() if line.startswith("  hf upload"))
    assert command[2:] == [
        "user/weights",
        str(folder / CANDIDATES),
        hub_path(load_record(there)),
        "--repo-type",
        "dataset",
    ]
    assert main(["submit", str(folder), "--to", "checkout/results", "--weights-id", "user/weights", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["records"][0]["copied_to"] == str(
        Path("checkout/results/stranger") / folder.name
    )


def test_a_record_that_does_not_hold_takes_the_others_with_it(
    folder: Path, tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    record, table, candidates = made
    wrong = write(tmp_path / "runs", record.model_copy(update={"run_id": "wrong"}), table, candidates)
    edit(wrong, lambda raw: raw["method"].update(citation=""))
    assert main(["submit", str(folder), str(wrong), "--to", "results"]) == 1
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err == f"WRONG {wrong}: method.citation is empty: name a paper or a repository\n"
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "pull-request.md").exists()


def test_a_disk_that_fills_up_leaves_nothing(
    folder: Path, tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, table, candidates = made
    other = write(tmp_path / "runs", record.model_copy(update={"run_id": "other"}), table, candidates)
    to = tmp_path / "results"
    copies = []

    def full(source: Path, target: Path) -> None:
        copies.append(target)
        if target.is_relative_to(to) and len([c for c in copies if c.is_relative_to(to)]) == 5:
            raise OSError(28, "No space left on device", str(target))
        Path(target).write_bytes(Path(source).read_bytes())

    monkeypatch.setattr(submission.shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        prepare([folder, other], to, None, Ways(sample=0))
    assert [path for path in to.rglob("*") if path.is_file()] == []
    assert list(to.glob("*/*")) == []


def test_what_is_there_is_never_replaced(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["submit", str(folder), "--to", "results", "--sample", "0"]) == 0
    assert main(["submit", str(folder), "--to", "results", "--sample", "0"]) == 0, "the same again"
    edit(folder, lambda raw: raw["cost"].update(peak_mb=1.0))
    capfd.readouterr()
    assert main(["submit", str(folder), "--to", "results", "--sample", "0"]) == 2
    assert "there is another record of that name" in capfd.readouterr().err
    twice = shutil.copytree(folder, tmp_path / "twice")
    assert main(["submit", str(folder), str(twice), "--to", "elsewhere", "--sample", "0"]) == 2
    assert "is named twice" in capfd.readouterr().err


@pytest.mark.parametrize("weights", ["../x", "user", "https://host/x", "user/name@", "user/name x", "-x/y"])
def test_what_is_no_hub_id_is_refused(
    folder: Path, tmp_path: Path, weights: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["submit", str(folder), "--to", "results", f"--weights-id={weights}", "--sample", "0"]) == 2
    assert "weights: " in capfd.readouterr().err
    assert not (tmp_path / "results").exists()


def test_words_of_a_card_stay_words(folder: Path, tmp_path: Path) -> None:
    bad = "</td><script>alert(1)</script> | [x](http://host) `code` # **b**"
    edit(folder, lambda raw: raw["method"].update(summary=bad, citation=bad, pretrained_on=[bad]))
    prepared, wrong = prepare([folder], tmp_path / "results", None, Ways(sample=0))
    assert not wrong
    text = pull_request_text(prepared)
    for part in ("<script", "</td>", " | [x]", "[x](", "`code`", "**b**"):
        assert part not in text
    assert text.count("\n|") == 3, "one row of a table, whatever the words"


def test_the_template_asks_for_the_same_statements() -> None:
    template = TEMPLATE.read_text(encoding="utf-8")
    for line in STATEMENT:
        if line.startswith("- [ ]"):
            assert line in template
