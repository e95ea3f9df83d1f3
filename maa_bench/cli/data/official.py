"""`maa-bench data export` and `data import official`: the released `.pt` files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maa_bench.cli.options import (
    DEFAULT_SUITE,
    CacheDirOption,
    DatasetOption,
    QuietOption,
    ScaleOption,
    SuiteOption,
    WorkersOption,
    names,
)


def export(
    folder: Annotated[Path, typer.Argument(help="Where the files go, one a task.", show_default=False)],
    dataset: DatasetOption = None,
    file_format: Annotated[
        str, typer.Option("--format", help="official: raw .pt files as Make-An-Agent's release has them.")
    ] = "official",
    tasks: Annotated[
        list[str] | None,
        typer.Option("--tasks", help="Only these tasks: a,b or repeated.", show_default="all of the dataset"),
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(
            "--role",
            help="Whose checkpoints: train, validation or prompt.",
            show_default="train; prompt for unseen tasks",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Files that are there give way.")] = False,
    suite: SuiteOption = DEFAULT_SUITE,
    scale: ScaleOption = "small",
    cache_dir: CacheDirOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write a dataset's checkpoints of success 1 in the released format; prints the files."""
    from maa_bench.cli.data.find import find_dataset
    from maa_bench.dataset.exported import export_official
    from maa_bench.errors import OptionError
    from maa_bench.progress import Progress

    if file_format != "official":
        raise OptionError(f"--format knows no {file_format!r}. Known: official.")
    data = find_dataset(dataset, suite, scale, cache_dir)
    chosen = names(tasks, "--tasks") or ()
    for file in export_official(data, folder, Progress(quiet), tasks=chosen, role=role, overwrite=overwrite):
        print(file)


def official(
    files: Annotated[list[Path], typer.Argument(help="Released .pt files, raw or processed.", show_default=False)],
    task: Annotated[
        str | None, typer.Option("--task", help="Task of the file.", show_default="what each file's name tells")
    ] = None,
    autoencoder: Annotated[
        Path | None,
        typer.Option("--autoencoder", help="The released autoencoder's weights, for processed files."),
    ] = None,
    episodes: Annotated[int, typer.Option("--episodes", help="Verification episodes a row.")] = 5,
    suite: SuiteOption = DEFAULT_SUITE,
    cache_dir: CacheDirOption = None,
    workers: WorkersOption = None,
    quiet: QuietOption = False,
) -> None:
    """Make a dataset of released files; every row is rolled out, so that it has a success of its own."""
    from maa_bench.cache import Cache, default_cache_dir
    from maa_bench.cli.output import stdout_reserved
    from maa_bench.dataset.imported import import_official
    from maa_bench.execution.local import LocalExecutor
    from maa_bench.main_job import Execution
    from maa_bench.progress import Progress
    from maa_bench.suite import load_suite

    loaded, how, progress = load_suite(suite), Execution(workers), Progress(quiet)
    cache = Cache(cache_dir or default_cache_dir())
    with stdout_reserved(), LocalExecutor(how.workers) as executor:
        data = import_official(
            files, loaded, cache, executor, progress, task=task, autoencoder=autoencoder, episodes=episodes
        )
    progress.note(
        f"{data.folder}\nlook at it with `maa-bench data info {data.id}`; `run --dataset` needs all tasks that "
        "its split trains on"
    )
    print(data.id)
