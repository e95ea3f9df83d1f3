"""`maa-bench data card`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maa_bench.cli.options import DEFAULT_SUITE, CacheDirOption, DatasetOption, ScaleOption, SuiteOption


def card(
    dataset: DatasetOption = None,
    suite: SuiteOption = DEFAULT_SUITE,
    scale: ScaleOption = "small",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="A file, or - for standard output.", show_default="README.md in the dataset's folder"
        ),
    ] = None,
    cache_dir: CacheDirOption = None,
) -> None:
    """Write a dataset's card again, from its manifest: what it holds, its columns, how it was made, how to cite it."""
    from maa_bench.cli.data.find import find_dataset
    from maa_bench.dataset.card import card_text
    from maa_bench.dataset.store import CARD
    from maa_bench.errors import OptionError
    from maa_bench.files import write_bytes

    data = find_dataset(dataset, suite, scale, cache_dir)
    text = card_text(data)
    if output == Path("-"):
        print(text, end="")
        return
    path = output or data.folder / CARD
    if path.is_dir():
        raise OptionError(f"--output {path} is a folder: name a file in it")
    write_bytes(path, text.encode())
    print(path)
