"""`maa-bench data build`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from maa_bench.cli.options import (
    DEFAULT_SUITE,
    AddressOption,
    BackendOption,
    CacheDirOption,
    QuietOption,
    ScaleOption,
    SuiteOption,
    WorkersOption,
    names,
)

if TYPE_CHECKING:
    from maa_bench.suite import Scale


def build(
    suite: SuiteOption = DEFAULT_SUITE,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="The dataset that serves this split.", show_default="the suite's first, see `list splits`"
        ),
    ] = None,
    scale: ScaleOption = "small",
    per_task: Annotated[
        int | None,
        typer.Option(
            "--per-task",
            help="Checkpoints of success 1 a task, divided among ten runs; all else as --scale paper.",
            show_default="as the scale says",
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--tasks", help="Only these tasks: a,b or repeated.", show_default="all of the dataset"),
    ] = None,
    producer: Annotated[
        str,
        typer.Option(
            "--producer", help="How policies are trained: distill, sac, a registered one or package.module:Class."
        ),
    ] = "distill",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the producer: name=value; may be repeated.", show_default=False),
    ] = None,
    prior_data: Annotated[
        bool | None,
        typer.Option(
            "--prior-data/--no-prior-data",
            help="sac: half of each batch from noisy experts.",
            show_default="as the scale says",
        ),
    ] = None,
    save_every: Annotated[
        int | None,
        typer.Option(
            "--save-every", help="sac: environment steps between checkpoints.", show_default="as the scale says"
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Where sac trains: cpu or cuda.")] = "cpu",
    cache_dir: CacheDirOption = None,
    workers: WorkersOption = None,
    backend: BackendOption = "local",
    address: AddressOption = None,
    quiet: QuietOption = False,
) -> None:
    """Build a dataset in the cache; what is there already is kept, so a build that was stopped goes on."""
    from maa_bench.cache import Cache, default_cache_dir
    from maa_bench.cli.output import stdout_reserved
    from maa_bench.dataset.config import plan_dataset
    from maa_bench.main_job import Backend, Execution, open_executor
    from maa_bench.plan import check_device
    from maa_bench.progress import Progress
    from maa_bench.protocol import Protocol
    from maa_bench.suite import load_suite
    from maa_bench.work import ensure_dataset

    how = Execution(workers, backend=cast("Backend", backend), address=address)
    protocol = Protocol(scale=cast("Scale", scale), device=device)
    check_device(device)
    if ":" in producer:
        sys.path.append(str(Path.cwd()))  # a script's own folder is on the path, not the user's
    changes = _changes(settings or [])
    if prior_data is not None:
        changes["prior_data"] = prior_data
    if save_every is not None:
        changes["save_every"] = save_every
    loaded = load_suite(suite)
    plan = plan_dataset(
        loaded,
        protocol.scale,
        name=None if split is None else loaded.split(split).dataset,
        per_task=per_task,
        tasks=tuple(names(tasks, "--tasks") or ()),
        producer=producer,
        changes=changes,
        device=device,
    )
    cache = Cache(cache_dir or default_cache_dir())
    with stdout_reserved(), open_executor(how, cache) as executor:
        dataset = ensure_dataset(plan, cache, Progress(quiet), executor, thorough=True)
    print(dataset.folder)


def _changes(settings: list[str]) -> dict[str, Any]:
    """`name=value` with a TOML value: a number, true or false, a list of numbers, or a bare text."""
    from maa_bench.errors import OptionError

    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip():
            raise OptionError(f"--set takes name=value, not {setting!r}")
        try:
            changes[name.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            changes[name.strip()] = text.strip()
    return changes
