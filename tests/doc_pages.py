"""The fenced blocks of README, docs and the methods' pages, and what the comment before each says of running it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]

PAGES = sorted(
    str(path.relative_to(ROOT))
    for folder, pattern in ((ROOT, "*.md"), (ROOT / "docs", "**/*.md"), (ROOT / "baselines", "*/README.md"))
    for path in folder.glob(pattern)
)
"""Paths in the repository of all pages that people write, or that lie beside these."""

_FENCE = re.compile(
    r"(?:^ *<!-- (?P<mark>[^\n]+?) -->\n)?^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    flags=re.DOTALL | re.MULTILINE,
)
_MARK = re.compile(r"(?P<how>(?:dry |heavy )?run in tests|not run)(?:: (?P<what>.+))?")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        page: path of the page in the repository.
        line: of the fence, from 1.
        language: what the fence says, or nothing.
        text: what is inside, without the fence's indentation.
        mark: the whole comment before it; empty if there is none.
        how: `run in tests`, `dry run in tests` (each command with `--dry-run`), `heavy run in tests` (by the heavy
            tests only), `not run`, or nothing.
        what: after the colon: the name of the file to write, or why it is not run.
    """

    page: str
    line: int
    language: str
    text: str
    mark: str
    how: str
    what: str

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, each with those that a backslash joins to it."""
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()]


def text_of(page: str) -> str:
    """A page, by its path in the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return blocks_in(text_of(page), page)


def blocks_in(text: str, page: str) -> list[Block]:
    """The fenced blocks of a text, in order."""
    found = []
    for match in _FENCE.finditer(text):
        mark = _MARK.fullmatch(match["mark"] or "")
        how, what = (mark["how"], mark["what"] or "") if mark else ("", "")
        inside = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        line = text.count("\n", 0, match.start("indent")) + 1
        found.append(Block(page, line, match["language"], inside, match["mark"] or "", how, what))
    return found


def environment(folder: Path, cache: Path) -> dict[str, str]:
    """A reader's environment: a home and a cache, and this Python first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    code = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PATH": path, "PYTHONPATH": code, "XDG_CACHE_HOME": str(cache), "HOME": str(folder)}


LOOKS = re.compile(r"maa-bench (list|doctor|compare|validate|data info)\b|maa-bench .*--(help|dry-run)\b")
"""Commands that only look; a reader may give them in any order, or at once."""


def follow(block: Block, folder: Path, surroundings: dict[str, str]) -> list[str]:
    """Write a block's file and run what it says, as a reader would; what each command printed.

    Commands beside one another that only look are run two at a time, as much of their time is Python's start.

    Raises:
        AssertionError: a command that fails, or shows a traceback.
    """
    if block.what:
        (folder / block.what).write_text(block.text, encoding="utf-8")
    if block.language == "python":
        (folder / "block.py").write_text(block.text, encoding="utf-8")
        commands = [[sys.executable, block.what or "block.py"]]
    elif block.language == "bash":
        more = " --dry-run" if block.how.startswith("dry") else ""
        commands = [["bash", "-euc", line.partition("  #")[0] + more] for line in block.commands]
    else:
        commands = []

    def give(command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=600, check=False
        )
        where = f"{block.page}, line {block.line}: {command[-1]}"
        assert done.returncode == 0, f"{where}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, f"{where}\n{done.stderr}"
        return done.stdout

    printed: list[str] = []
    for looks, those in groupby(commands, lambda command: bool(LOOKS.match(command[-1]))):
        with ThreadPoolExecutor(2 if looks else 1) as readers:
            printed += readers.map(give, those)
    return printed
