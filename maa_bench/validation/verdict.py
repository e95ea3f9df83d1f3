"""What became of one record: what does not hold, and what was not looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maa_bench.errors import one_line


@dataclass
class Verdict:
    """The findings on one record.

    Attributes:
        folder: the record's.
        problems: what does not hold, a line each.
        notes: what a reader must know though it holds, first of all what was not checked and why.
        candidates, episodes: how many were rolled out again.
    """

    folder: Path
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    candidates: int = 0
    episodes: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "folder": str(self.folder),
            "holds": self.holds,
            "problems": [self.line(problem) for problem in self.problems],
            "notes": [self.line(note) for note in self.notes],
            "rolled_out_again": {"candidates": self.candidates, "episodes": self.episodes},
        }

    def line(self, text: str) -> str:
        """A finding in one line that begins with the folder and is safe to show in a terminal."""
        where = str(self.folder)
        return printable(text if text.startswith(where) else f"{where}: {text}")


def printable(text: str) -> str:
    """Strangers' words in one line, without the characters that command a terminal."""
    return "".join(c if c.isprintable() else "?" for c in one_line(text))
