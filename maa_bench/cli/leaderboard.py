"""`maa-bench leaderboard`: one page of all results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maa_bench.cli.options import DEFAULT_RESULTS, ResultsDirOption, examples


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("maa-bench leaderboard", "from ./results into ./leaderboard"),
            ("maa-bench leaderboard --results-dir runs --out page", "from and into other folders"),
            ("maa-bench leaderboard --no-figures", "tables alone, in seconds"),
        )
    )(leaderboard)


def leaderboard(
    results_dir: ResultsDirOption = DEFAULT_RESULTS,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("leaderboard"),
    figures: Annotated[
        bool, typer.Option("--figures/--no-figures", help="Draw figures, or leave them as they are.")
    ] = True,
) -> None:
    """Make a page, a site, tables (CSV, LaTeX, JSON) and figures of all run records."""
    from maa_bench.report.leaderboard import build_leaderboard

    for path in build_leaderboard(results_dir, out, figures):
        print(path)
