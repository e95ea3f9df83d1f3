"""`maa-bench submit`: make records ready for a pull request."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from maa_bench.cli.options import DEFAULT_RESULTS, JsonOption, examples
from maa_bench.cli.validate import SAMPLE


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("maa-bench submit runs/my_method/RUN --to maa-bench/results", "into a checkout; see docs/submitting.md"),
            ("maa-bench submit RUN --to FOLDER --weights-id user/name", "with the weights published on the Hub"),
        )
    )(submit)


def submit(
    folders: Annotated[list[Path], typer.Argument(help="Folders of the records.", exists=True, file_okay=False)],
    to: Annotated[Path, typer.Option("--to", help="Folder of results in a checkout.")] = DEFAULT_RESULTS,
    weights_id: Annotated[
        str | None,
        typer.Option("--weights-id", help="Hub dataset for the candidates' weights: user/name or user/name@revision."),
    ] = None,
    text: Annotated[Path, typer.Option("--text", help="File for the pull request's text.")] = Path("pull-request.md"),
    sample: Annotated[int, typer.Option("--sample", min=0, help="Candidates to roll out again; 0: none.")] = SAMPLE,
    as_json: JsonOption = False,
) -> None:
    """Check records and copy them, without weights, to where a pull request wants them; and write its text.

    All or none: if anything does not hold, nothing is copied.
    """
    from maa_bench.cli.output import print_json, stdout_reserved
    from maa_bench.files import write_bytes
    from maa_bench.submission import prepare, publishing, pull_request_text
    from maa_bench.validation.judge import Ways

    with stdout_reserved():
        prepared, wrong = prepare(folders, to, weights_id, Ways(sample=sample, hub=False))
    if wrong:
        print("\n".join(f"WRONG {line}" for line in wrong), file=sys.stderr)
        raise typer.Exit(1)
    write_bytes(text, pull_request_text(prepared).encode())
    commands = publishing(prepared)
    if as_json:
        records = [one.verdict.as_dict() | {"copied_to": str(one.folder)} for one in prepared]
        print_json({"records": records, "text": str(text), "publish": commands})
        return
    for one in prepared:
        for note in one.verdict.notes:
            print(f"note  {one.verdict.line(note)}")
        print(one.folder)
    print(text)
    if commands:
        print("publish the weights before the pull request, which checks them:")
        for command in commands:
            print(f"  {command}")
    elif any(one.record.weights is None for one in prepared):
        print("weights: none published; --weights-id user/name says where they will be, and how to put them there")
