"""What a pull request may do to results: add whole records, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from record_samples import sample

from maa_bench.cli import main
from maa_bench.errors import OptionError
from maa_bench.results import CANDIDATES, EPISODES, RECORD, write_record
from maa_bench.validation.added import added_records

Change = Callable[[Path], object]


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True)


def add(root: Path, run_id: str) -> Path:
    record, table = sample(run_id=run_id)
    folder = root / "results" / "make_an_agent" / run_id
    write_record(folder, record, table)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with one record on `main`, and a branch checked out that has left it."""
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "-q")
    add(root, "old")
    (root / "README.md").write_text("x")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "old")
    git(root, "checkout", "-qb", "submission")
    return root


def commit(root: Path) -> None:
    git(root, "add", "-A", "-f")
    git(root, "commit", "-qm", "new", "--allow-empty")


def test_new_records_are_found_and_old_ones_left_alone(root: Path) -> None:
    new = [add(root, "new-1"), add(root, "new-2")]
    commit(root)
    assert added_records(root / "results", "main") == (new, [])
    (root / "results" / "uncommitted").mkdir()
    git(root, "checkout", "-q", "main")
    add(root, "meanwhile")
    commit(root)
    git(root, "checkout", "-q", "submission")
    assert added_records(root / "results", "main") == (new, []), "what came to the base since is not its doing"


OLD = Path("results/make_an_agent/old")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda root: (root / OLD / RECORD).write_text("{}"), f"{OLD / RECORD}: changes what is there"),
        (lambda root: shutil.rmtree(root / OLD), f"{OLD / EPISODES}: removes what is there"),
        (lambda root: (root / OLD / CANDIDATES).write_text("x"), f"{OLD / CANDIDATES}: belongs to no record"),
        (lambda root: (root / "results" / "x.txt").write_text("x"), "results/x.txt: belongs to no record"),
        (lambda root: (root / "README.md").write_text("y"), "README.md: lies outside results"),
        (lambda root: os.chmod(root / OLD / RECORD, 0o755), f"{OLD / RECORD}: changes what is there"),
        (lambda root: (root / OLD / RECORD).rename(root / OLD / "x.json"), "removes what is there"),
        (lambda root: (root / "a\nb").write_text("x"), "lies outside results"),
    ],
)
def test_anything_else_is_told(root: Path, change: Change, says: str) -> None:
    new = add(root, "new")
    change(root)
    commit(root)
    folders, problems = added_records(root / "results", "main")
    assert folders == [new]
    assert [problem for problem in problems if says in problem], problems


@pytest.mark.parametrize("place", ["results", "results/new", "results/more/make_an_agent/new"])
def test_a_record_lies_where_the_leaderboard_looks_for_it(root: Path, place: str) -> None:
    made = add(root, "new")
    (root / place).mkdir(parents=True, exist_ok=True)
    for path in made.iterdir():
        path.rename(root / place / path.name)
    commit(root)
    (problem,) = added_records(root / "results", "main")[1]
    assert problem == f"{place}/{RECORD}: records lie in results/<method>/<run_id>/, neither higher nor deeper"


def test_a_record_that_is_exchanged_for_another_is_no_addition(root: Path) -> None:
    shutil.rmtree(root / OLD)
    add(root, "new")
    commit(root)
    assert len(added_records(root / "results", "main")[1]) == 3, "each file of the old one is missed, none renamed"


def test_what_git_cannot_tell_is_a_usage_error(root: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="git says"):
        added_records(root / "results", "no-such-branch")
    with pytest.raises(OptionError, match="is no commit"):
        added_records(root / "results", "--output=x")
    (tmp_path / "results").mkdir()
    with pytest.raises(OptionError, match="git says"):
        added_records(tmp_path / "results", "main")
    link = root / "link"
    link.symlink_to(tmp_path / "results")
    with pytest.raises(OptionError, match="link"):
        added_records(link, "main")


def test_the_verb_checks_only_what_is_added(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(root / "results"), "--base", "main"]) == 0
    assert "0 records, 0 with something wrong" in capfd.readouterr().out
    new = add(root, "new")
    (root / "README.md").write_text("y")
    commit(root)
    assert main(["validate", str(root / "results"), "--base", "main", "--sample", "0"]) == 1
    out = capfd.readouterr().out
    assert "WRONG README.md: lies outside results" in out
    assert str(new) in out
    assert str(OLD) not in out
