"""`maa-bench bench`: how fast evaluation is on this machine, and how fast it could be."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from maa_bench.bench import Settings
from maa_bench.cli.options import DEFAULT_SUITE, JsonOption, QuietOption, SuiteOption, examples


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("maa-bench bench", "all Meta-World tasks, some minutes; leave the machine alone meanwhile"),
            ("maa-bench bench --quick --tasks reach,door-lock", "a first impression, under a minute"),
            ("maa-bench bench --suite toy-v1", "no physics limit there"),
            ("maa-bench bench --markdown > speed.md", "to be pasted"),
            ("maa-bench bench --json > speed.json", "for programs"),
        )
    )(bench)


def bench(
    suite: SuiteOption = DEFAULT_SUITE,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--tasks", help="Only these tasks: a,b or repeated.", show_default="all of the suite"),
    ] = None,
    policies: Annotated[int, typer.Option("--policies", help="Random policies a task.")] = Settings.policies,
    layouts: Annotated[int, typer.Option("--layouts", help="Test layouts, one episode each, a policy.")] = (
        Settings.layouts
    ),
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds", help="How often every way runs all episodes.", show_default=f"{Settings.rounds}; 1 with --quick"
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", help="Processes of the ways that have several.")] = (
        Settings.workers
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Short rounds, no long evaluation.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Time the same episodes in every way: a naive loop, vector environments, ours, the physics alone.

    The ways: naive (gym.make and torch), stock + numpy (the plain step loop), gymnasium's sync and async vector
    environments, ours with 1 and with all workers, and the limit: the recorded physics of the same episodes and
    nothing else.
    """
    from maa_bench.cli.output import console, print_json, stdout_reserved
    from maa_bench.errors import ProtocolError
    from maa_bench.progress import Progress
    from maa_bench.suite import load_suite

    settings = Settings(policies=policies, layouts=layouts, workers=workers)
    if quick:
        settings = replace(settings, rounds=1, laps=2, sweep=None)
    if rounds is not None:
        settings = replace(settings, rounds=rounds)
    if markdown and as_json:
        raise ProtocolError("--markdown and --json exclude each other")
    loaded = load_suite(suite)
    wanted = [name.strip() for part in tasks or [] for name in part.split(",") if name.strip()]
    if tasks and not wanted:
        raise ProtocolError("--tasks names no task")
    with stdout_reserved():
        from maa_bench.bench import measure

        report = measure(loaded, list(dict.fromkeys(wanted)) or list(loaded.tasks), settings, Progress(quiet))
    if as_json:
        print_json(report.to_json())
        return
    from maa_bench.report.bench import as_markdown, notes, tables
    from maa_bench.report.render import to_rich

    if markdown:
        print(as_markdown(report), end="")
        return
    out = console()
    for line in notes(report):
        out.print(line)
    for table in tables(report):
        out.print()
        out.print(to_rich(table, out.width))
