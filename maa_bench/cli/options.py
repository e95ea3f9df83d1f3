"""Options that several verbs take, worded once, and the examples below a verb's help."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

SuiteOption = Annotated[str, typer.Option("--suite", help="Name of a suite, or path of its TOML file.")]
ScaleOption = Annotated[str, typer.Option("--scale", help="Size of dataset and methods: small or paper.")]
CacheDirOption = Annotated[
    Path | None,
    typer.Option("--cache-dir", help="Where finished work is kept.", show_default="the platform's cache folder"),
]
ResultsDirOption = Annotated[Path, typer.Option("--results-dir", help="Folder of the run records.")]
WorkersOption = Annotated[int | None, typer.Option("--workers", help="Processes.", show_default="one a core")]
BackendOption = Annotated[
    str, typer.Option("--backend", help="Where work runs: local (this machine's cores) or ray (a Ray cluster).")
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="A running Ray cluster: host:port, or auto for the one on this machine.",
        show_default="one is started here",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]

DatasetOption = Annotated[
    str | None,
    typer.Argument(help="A dataset's folder, or the id of one in the cache.", show_default="the suite's own"),
]

DEFAULT_SUITE = "metaworld-v2"
"""`maa_bench.suite.DEFAULT_SUITE`, said again: help must not import numpy."""
DEFAULT_RESULTS = Path("results")


def names(given: Sequence[str] | None, flag: str, what: str = "task") -> list[str] | None:
    """The names in an option that takes `a,b` and may be repeated; None if it was not given.

    Raises:
        OptionError: it was given, and names nothing.
    """
    if not given:
        return None
    found = [name.strip() for part in given for name in part.split(",") if name.strip()]
    if not found:
        from maa_bench.errors import OptionError

        raise OptionError(f"{flag} names no {what}")
    return found


def examples(*lines: tuple[str, str]) -> str:
    """The epilog of a help page: (command, what it does); the command stands in a line of its own, to be copied."""
    return "Examples:\n" + "\n".join(f"# {what}\n$ {command}" for command, what in lines)
