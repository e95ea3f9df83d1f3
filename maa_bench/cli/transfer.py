"""`maa-bench transfer`: what seen checkpoints achieve on every task of a suite, and which tasks none of them solves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from maa_bench.cli.options import (
    DEFAULT_SUITE,
    AddressOption,
    BackendOption,
    CacheDirOption,
    JsonOption,
    QuietOption,
    SuiteOption,
    WorkersOption,
    examples,
)

DEFAULT_OUT = Path("transfer")


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            ("maa-bench transfer --suite toy-v1", "in seconds: transfer/toy-v1.unseen.csv, .json, .png and .svg"),
            ("maa-bench transfer --out docs/transfer", "metaworld-v2 as it is committed; half an hour on 2 cores"),
            ("maa-bench transfer --checkpoints 1 --layouts 1", "a first impression"),
        )
    )(transfer)


def transfer(
    suite: SuiteOption = DEFAULT_SUITE,
    split: Annotated[str, typer.Option("--split", help="Whose training tasks give the checkpoints.")] = "unseen",
    checkpoints: Annotated[
        int, typer.Option("--checkpoints", help="Checkpoints of success 1 of every train run, evenly along it.")
    ] = 2,
    layouts: Annotated[
        int, typer.Option("--layouts", help="Train layouts of every task; the expert gets all of them.")
    ] = 4,
    out: Annotated[Path, typer.Option("--out", help="Folder of the CSV, the JSON and the heat map.")] = DEFAULT_OUT,
    cache_dir: CacheDirOption = None,
    workers: WorkersOption = None,
    backend: BackendOption = "local",
    address: AddressOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Roll checkpoints of a split's training tasks out on all tasks of the suite, and name the tasks that none solves.

    Only train layouts are used. What is finished lies in the cache, so a command that was stopped goes on.
    """
    from maa_bench.cache import Cache, default_cache_dir
    from maa_bench.cli.output import console, print_json, print_table, stdout_reserved
    from maa_bench.dataset.config import plan_dataset
    from maa_bench.main_job import Backend, Execution, open_executor
    from maa_bench.progress import Progress
    from maa_bench.suite import load_suite
    from maa_bench.transfer import RULE, TransferSettings, transfer_matrix
    from maa_bench.work import ensure_dataset

    how = Execution(workers, backend=cast("Backend", backend), address=address)
    settings = TransferSettings(checkpoints, layouts)
    loaded = load_suite(suite)
    chosen = loaded.split(split)
    plan = plan_dataset(loaded, name=chosen.dataset)
    cache, progress = Cache(cache_dir or default_cache_dir()), Progress(quiet)
    with stdout_reserved(), open_executor(how, cache) as executor:
        dataset = ensure_dataset(plan, cache, progress, executor)
        matrix = transfer_matrix(dataset, chosen, settings, cache, executor, progress)
    from maa_bench.report.transfer import SUMMARY_HEADER, summary_rows, write_matrix

    paths = write_matrix(matrix, out)
    if as_json:
        print_json(matrix.to_json())
        return
    print_table(SUMMARY_HEADER, summary_rows(matrix), right=SUMMARY_HEADER[1:4])
    say = console()
    say.print(f"\n{len(matrix.hard)} of {len(matrix.tasks)} tasks are hard ({RULE}):")
    say.print(", ".join(matrix.hard) or "none")
    say.print("\n".join(map(str, paths)))
