"""`maa-bench doctor`: what works on this machine, and how to mend what does not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maa_bench.cli.options import DEFAULT_RESULTS, CacheDirOption, JsonOption, ResultsDirOption, examples


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("maa-bench doctor", "check everything"),
            ("maa-bench doctor --suite toy-v1", "only that suite's simulator"),
            ("maa-bench doctor --json", "for a bug report"),
        )
    )(doctor)


def doctor(
    suite: Annotated[
        list[str] | None,
        typer.Option("--suite", help="Suite to check; may be repeated.", show_default="all that are installed"),
    ] = None,
    cache_dir: CacheDirOption = None,
    results_dir: ResultsDirOption = DEFAULT_RESULTS,
    as_json: JsonOption = False,
) -> None:
    """Check packages, simulators, off-screen rendering and folders. Exit code 1 if something failed."""
    from dataclasses import asdict

    from maa_bench.cli.output import console, print_json, stdout_reserved
    from maa_bench.doctor import FAILED, checks

    out = console()
    found = []
    todo = checks(suite or None, cache_dir, Path(results_dir))
    while True:
        with stdout_reserved():
            check = next(todo, None)
        if check is None:
            break
        found.append(check)
        if not as_json:
            out.print(f"{check.status:8} {check.name}: {check.detail}", soft_wrap=True)
            if check.fix:
                out.print(f"{'':8} fix: {check.fix}", soft_wrap=True)
    if as_json:
        print_json([asdict(check) for check in found])
    if any(check.status == FAILED for check in found):
        raise typer.Exit(1)
