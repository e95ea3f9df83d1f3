"""`maa-bench data verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from maa_bench.cli.options import (
    DEFAULT_SUITE,
    CacheDirOption,
    DatasetOption,
    JsonOption,
    QuietOption,
    ScaleOption,
    SuiteOption,
    WorkersOption,
)


def verify(
    dataset: DatasetOption = None,
    sample: Annotated[
        int, typer.Option("--sample", help="Checkpoints to roll out again, one of every task at least; 0: none.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the sample.")] = 0,
    suite: SuiteOption = DEFAULT_SUITE,
    scale: ScaleOption = "small",
    cache_dir: CacheDirOption = None,
    workers: WorkersOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a dataset: files, hashes, types, every row, and a random sample rolled out again. Changes nothing."""
    from maa_bench.cli.data.find import find_dataset
    from maa_bench.cli.output import print_json, print_table, stdout_reserved
    from maa_bench.dataset.verify import raise_problems
    from maa_bench.dataset.verify import verify as verify_dataset
    from maa_bench.execution.local import LocalExecutor
    from maa_bench.main_job import Execution
    from maa_bench.progress import Progress

    data = find_dataset(dataset, suite, scale, cache_dir, checked=False)
    how = Execution(workers)
    with stdout_reserved(), LocalExecutor(how.workers) as executor:
        done = verify_dataset(data, sample, seed, executor, Progress(quiet))
    counts = {
        "shards": done.shards,
        "bytes": done.bytes,
        "checkpoints": done.checkpoints,
        "transitions": done.transitions,
        "rolled_out_again": done.rerolled,
    }
    if as_json:
        problems = {"sound": not done.problems.count, "problems": done.problems.told, "n_problems": done.problems.count}
        print_json({"id": data.id, "folder": str(data.folder), **counts, **problems})
    raise_problems(data, done.problems)
    if as_json:
        return
    again = f"{done.tasks} tasks: first-success steps and behaviour the same, to the bit"
    rows = [
        ("shards", f"{done.shards:,}", f"{done.bytes / 1e6:.1f} MB: SHA-256, columns and types; no other files"),
        ("checkpoints", f"{done.checkpoints:,}", "provenance, finite numbers, success, behaviour, hash of every row"),
        ("transitions", f"{done.transitions:,}", "finite numbers, episodes whole, sources known"),
        ("rolled out again", f"{done.rerolled:,}", again if done.rerolled else "not asked for"),
    ]
    print_table(("checked", "count", "what"), rows, right=("count",))
    print(f"dataset {data.id} is sound")
