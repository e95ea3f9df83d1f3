"""`maa-bench validate`: what is wrong with somebody's records; the check of every pull request to `results/`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maa_bench.cli.options import CacheDirOption, JsonOption, QuietOption, WorkersOption, examples

if TYPE_CHECKING:
    from maa_bench.validation.verdict import Verdict

SAMPLE = 4


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("maa-bench validate results", "every record of a folder"),
            ("maa-bench validate results/my_method/RUN", "one; its candidates.safetensors lie in it"),
            ("maa-bench validate results --base origin/main", "as the check of a pull request does"),
            ("maa-bench validate RUN --weights FILE --sample 16", "with the weights from elsewhere, and more of them"),
            ("maa-bench validate RUN --regenerate", "fit the method again and compare everything"),
        )
    )(validate)


def validate(
    paths: Annotated[
        list[Path], typer.Argument(help="Record folders, or folders of results.", exists=True, file_okay=False)
    ],
    sample: Annotated[
        int, typer.Option("--sample", min=0, help="Candidates of each record to roll out again; 0: none.")
    ] = SAMPLE,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the sample.", show_default="the record's hash")
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="File or folder of the candidates.safetensors, where a record lacks it."),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Download no weights from the Hub.")] = False,
    regenerate: Annotated[
        bool, typer.Option("--regenerate", help="Fit the methods again, from the seeds, and compare all candidates.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", help="Dataset for --regenerate: folder, or id in the cache.", show_default="the suite's own"
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base", help="Check only the records added since this git commit, and that nothing else was changed."
        ),
    ] = None,
    workers: WorkersOption = None,
    cache_dir: CacheDirOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check run records: files, schema, versions, cards, metrics made again, a sample of candidates rolled out again.

    Exit code 1 if anything does not hold, with a line for everything. Changes nothing.
    """
    from maa_bench.cache import dataset_folder, default_cache_dir
    from maa_bench.cli.output import print_json, stdout_reserved
    from maa_bench.errors import OptionError
    from maa_bench.main_job import Execution
    from maa_bench.progress import Progress
    from maa_bench.validation.added import added_records
    from maa_bench.validation.contents import record_folders
    from maa_bench.validation.judge import Ways, judge
    from maa_bench.validation.verdict import printable

    if base is None:
        folders, strays = record_folders(paths)
        if not folders and not strays:
            raise OptionError(f"{', '.join(map(str, paths))}: holds no records")
    else:
        if len(paths) > 1:
            raise OptionError("--base takes one folder of results")
        folders, strays = added_records(paths[0], base)
    given = None if dataset is None else dataset_folder(dataset, cache_dir or default_cache_dir())
    how = Execution(workers)
    ways = Ways(sample, seed, weights, not offline, regenerate, given, cache_dir, how, Progress(quiet))
    with stdout_reserved():
        verdicts = [judge(folder, ways) for folder in folders]
    strays = [printable(stray) for stray in strays]
    holds = not strays and all(verdict.holds for verdict in verdicts)
    if as_json:
        print_json({"holds": holds, "problems": strays, "records": [verdict.as_dict() for verdict in verdicts]})
    else:
        _print(verdicts, strays)
    if not holds:
        raise typer.Exit(1)


def _print(verdicts: list[Verdict], strays: list[str]) -> None:
    for stray in strays:
        print(f"WRONG {stray}")
    for verdict in verdicts:
        for problem in verdict.problems:
            print(f"WRONG {verdict.line(problem)}")
        for note in verdict.notes:
            print(f"note  {verdict.line(note)}")
        if verdict.holds:
            again = f"{verdict.candidates} candidates, {verdict.episodes} episodes rolled out again, all the same"
            print(f"holds {verdict.line(again if verdict.episodes else 'metrics made again, all the same')}")
    wrong = sum(not verdict.holds for verdict in verdicts)
    print(f"{len(verdicts)} records, {wrong} with something wrong; {len(strays)} other things wrong")
