"""`maa-bench data push` and `data pull`."""

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
)

PLACE = "A folder (./name, /name, ~/name, or one that is there), or a Hugging Face Hub id: user/name."
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Another dataset that is there gives way.")]


def push(
    destination: Annotated[str, typer.Argument(help=PLACE, show_default=False)],
    dataset: DatasetOption = None,
    private: Annotated[bool, typer.Option("--private", help="A Hub repository that is made is private.")] = False,
    overwrite: OverwriteOption = False,
    suite: SuiteOption = DEFAULT_SUITE,
    scale: ScaleOption = "small",
    cache_dir: CacheDirOption = None,
    quiet: QuietOption = False,
) -> None:
    """Copy a dataset to a folder or to the Hugging Face Hub: shards, manifest and card, whole or not at all."""
    from maa_bench.cli.data.find import find_dataset
    from maa_bench.cli.output import stdout_reserved
    from maa_bench.dataset.hub import push_to_hub
    from maa_bench.dataset.share import hub_id, push_to_folder
    from maa_bench.progress import Progress

    repo = hub_id(destination)
    data = find_dataset(dataset, suite, scale, cache_dir)
    where = destination
    with stdout_reserved():
        if repo is None:
            folder = Path(destination).expanduser()
            push_to_folder(data, folder, overwrite, Progress(quiet))
            where = str(folder)
        else:
            _quiet_hub(quiet)
            where = push_to_hub(data, repo, private, overwrite)
    print(where)


def pull(
    source: Annotated[str, typer.Argument(help=PLACE, show_default=False)],
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit on the Hub.", show_default="main")
    ] = None,
    suite: SuiteOption = DEFAULT_SUITE,
    cache_dir: CacheDirOption = None,
    quiet: QuietOption = False,
) -> None:
    """Copy a dataset from a folder or the Hugging Face Hub into the cache, whole or not at all; prints its id."""
    from maa_bench.cache import Cache, default_cache_dir
    from maa_bench.cli.output import stdout_reserved
    from maa_bench.dataset.hub import pull_from_hub
    from maa_bench.dataset.share import hub_id, pull_from_folder
    from maa_bench.errors import OptionError
    from maa_bench.progress import Progress

    repo = hub_id(source)
    if repo is None and revision is not None:
        raise OptionError("--revision is of a Hub repository; a folder has none")
    cache, progress = Cache(cache_dir or default_cache_dir()), Progress(quiet)
    with stdout_reserved():
        if repo is None:
            data, there = pull_from_folder(Path(source).expanduser(), cache, suite, progress)
        else:
            _quiet_hub(quiet)
            data, there = pull_from_hub(repo, revision, cache, suite)
    progress.note(
        f"{'was there already' if there else 'pulled'}: {data.folder}\n"
        f"use it with `maa-bench run --suite {data.suite.source} --dataset {data.folder.name}`"
    )
    print(data.folder.name)


def _quiet_hub(quiet: bool) -> None:
    """The Hub's library shows bars of its own."""
    if quiet:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
