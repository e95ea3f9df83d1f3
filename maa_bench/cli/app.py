"""The verbs, put together. Nothing heavy is imported here: a verb imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from maa_bench import __version__
from maa_bench.cli import (
    bench,
    compare,
    data,
    doctor,
    leaderboard,
    listing,
    new_method,
    render,
    run,
    submit,
    transfer,
    validate,
)
from maa_bench.cli.options import examples

app = typer.Typer(
    name="maa-bench",
    help="A benchmark for methods that turn a short trajectory into a whole policy.",
    epilog=examples(
        ("maa-bench doctor", "is everything there?"),
        ("maa-bench run --suite toy-v1", "the whole main job in seconds"),
        ("maa-bench run --split unseen", "Make-An-Agent on unseen Meta-World tasks"),
        ("maa-bench list methods", "what can be run"),
        ("maa-bench leaderboard", "a page of all results"),
        ("maa-bench compare make_an_agent random_seen --protocol standard-v1", "is one better than the other?"),
        ("maa-bench new-method my_method", "a package of your own with a method that works"),
    ),
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"maa-bench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and warnings of libraries.")] = False,
) -> None:
    """Options of every verb; `--debug` is read by `maa_bench.cli.main`."""


run.add_to(app)
listing.add_to(app)
data.add_to(app)
leaderboard.add_to(app)
compare.add_to(app)
validate.add_to(app)
submit.add_to(app)
render.add_to(app)
doctor.add_to(app)
bench.add_to(app)
transfer.add_to(app)
new_method.add_to(app)
