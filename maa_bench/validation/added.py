"""What a pull request does to `results/`: whole records are added, and nothing else is touched."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

from maa_bench.errors import OptionError, one_line
from maa_bench.results import RECORD

PLACE = ("<method>", "<run_id>", RECORD)
"""Where the leaderboard looks for records, below the folder of results."""
TIMEOUT = 60
"""Seconds that git may take."""


def added_records(results: Path, base: str) -> tuple[list[Path], list[str]]:
    """The record folders that were committed since a branch left `base`, and what else was done.

    Args:
        results: the folder of results, in a git checkout.
        base: branch, tag or commit that the pull request is against.

    Returns:
        Folders, sorted; and a line for each file that is changed, removed, added to an old record, or lies elsewhere.

    Raises:
        OptionError: no checkout, no such commit, or no common history.
    """
    if results.is_symlink():
        raise OptionError(f"--base: {results} is a link")
    root = Path(_git(results, "rev-parse", "--show-toplevel").strip())
    if base.startswith("-"):
        raise OptionError(f"--base {base!r} is no commit")
    where = PurePosixPath(results.resolve().relative_to(root.resolve()).as_posix())
    told = _git(root, "diff", "--name-status", "--no-renames", "--no-ext-diff", "-z", f"{base}...HEAD")
    words = told.split("\0")[:-1]
    changes = list(zip(words[::2], (PurePosixPath(name) for name in words[1::2]), strict=True))
    new = {path.parent for status, path in changes if status == "A" and path.name == RECORD}
    folders, problems = set(), []
    for status, path in changes:
        if not path.is_relative_to(where):
            problems.append(f"{path}: lies outside {where}; a submission changes nothing else")
        elif status != "A":
            what = "removes" if status == "D" else "changes"
            problems.append(f"{path}: {what} what is there; a submission only adds")
        elif path.name == RECORD and len(path.relative_to(where).parts) != len(PLACE):
            problems.append(f"{path}: records lie in {where.joinpath(*PLACE[:-1])}/, neither higher nor deeper")
        elif path.parent not in new:
            problems.append(f"{path}: belongs to no record that is added")
        else:
            folders.add(results / path.parent.relative_to(where))
    return sorted(folders), problems


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, timeout=TIMEOUT, check=True, encoding="utf-8"
        )
    except subprocess.CalledProcessError as error:
        raise OptionError(f"--base: git says: {one_line(error.stderr)}") from None
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise OptionError(f"--base: git cannot be asked: {one_line(str(error))}") from None
    return done.stdout
