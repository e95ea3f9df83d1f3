"""What verbs print on standard output: JSON, tables; and nothing that others print meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 100
"""Columns where standard output is no terminal."""


def print_json(value: Any) -> None:
    """One JSON document."""
    print(json.dumps(value, indent=1, sort_keys=True, allow_nan=False))


def console() -> Console:
    """Standard output, as wide as the terminal."""
    from rich.console import Console

    return Console(width=shutil.get_terminal_size((PIPED_WIDTH, 24)).columns, highlight=False, markup=False)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
    """A plain table; the last column is folded where the terminal is narrow.

    Args:
        header: names of the columns. rows: cells, no markup. right: columns of numbers.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in header:
        last = name == header[-1]
        table.add_column(name, justify="right" if name in right else "left", no_wrap=not last, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)


@contextmanager
def stdout_reserved() -> Iterator[None]:
    """While this is open, whatever anybody prints, in this process or a worker, goes to standard error.

    Standard output is the user's result: a method that prints as it trains must not spoil `--json`.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)  # workers inherit the descriptor
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
