"""`maa-bench new-method`: a package of one's own with a method that works."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from maa_bench.cli.options import examples


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        name="new-method",
        epilog=examples(
            ("maa-bench new-method my_method", "writes ./my_method"),
            ("maa-bench new-method my_method --folder ../my-method", "writes it elsewhere"),
        ),
    )(new_method)


def new_method(
    name: Annotated[str, typer.Argument(help="Name of the method and of its package, such as my_method.")],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Folder to write; must not exist.", show_default="./NAME")
    ] = None,
) -> None:
    """Write a package with a method that works, its test and its entry point: the start of a method of your own."""
    from maa_bench.templates import write_method

    target = Path(name) if folder is None else folder.expanduser()
    for path in write_method(name, target):
        print(path)
    where = str(target) if target.is_absolute() else f"./{target}"  # pip takes `my_method` for a name on its index
    source = target / "src" / name / "__init__.py"
    print(
        "\nNext:\n"
        f"$ pip install -e {shlex.quote(where + '[test]')}\n"
        f"$ maa-bench run --suite toy-v1 --split unseen --method {name}\n"
        f"$ python -m pytest {shlex.quote(where)}\n"
        f"Then put your own idea into {source}; docs/new-method.md says what it is given."
    )
