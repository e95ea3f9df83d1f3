"""How a command ended that was run in this process, and that it ended with one clear line."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

CONTROLS = ["random_seen", "nearest_checkpoint", "random_weights", "expert"]


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ended]
"""Of the fixture `cli`: `cli("list", "methods")`."""


def one_line(ended: Ended, *parts: str, code: int = 2) -> None:
    """The command ended with one line of error that says `parts`, and no traceback."""
    assert ended.code == code, ended
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, ended.err
    assert ended.err.splitlines()[-1] == lines[0]
    assert "Traceback" not in ended.err
    for part in parts:
        assert part in lines[0]
