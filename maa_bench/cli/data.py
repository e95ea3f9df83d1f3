"""`maa-bench data`: the checkpoint dataset that methods are trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import typer

from maa_bench.cli.options import (
    DEFAULT_SUITE,
    AddressOption,
    BackendOption,
    CacheDirOption,
    JsonOption,
    QuietOption,
    ScaleOption,
    SuiteOption,
    WorkersOption,
    examples,
)

if TYPE_CHECKING:
    from maa_bench.dataset.store import CheckpointDataset
    from maa_bench.suite import Scale

_app = typer.Typer(
    help="Build or describe the dataset of checkpoints.",
    epilog=examples(
        ("maa-bench data build", "build the default dataset (run does so too)"),
        ("maa-bench data info", "what is in it, and where it lies"),
    ),
)


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.add_typer(_app, name="data")


@_app.command(
    epilog=examples(
        ("maa-bench data build", "Meta-World, small"),
        ("maa-bench data build --suite toy-v1 --workers 1", "the toy suite, in this process"),
        ("maa-bench data build --scale paper --backend ray --address auto", "on a Ray cluster, see docs/cluster.md"),
    )
)
def build(
    suite: SuiteOption = DEFAULT_SUITE,
    scale: ScaleOption = "small",
    cache_dir: CacheDirOption = None,
    workers: WorkersOption = None,
    backend: BackendOption = "local",
    address: AddressOption = None,
    quiet: QuietOption = False,
) -> None:
    """Build a suite's dataset in the cache; what is there already is kept."""
    from maa_bench.cache import Cache, default_cache_dir
    from maa_bench.cli.output import stdout_reserved
    from maa_bench.main_job import Backend, Execution, open_executor
    from maa_bench.progress import Progress
    from maa_bench.protocol import Protocol
    from maa_bench.suite import load_suite
    from maa_bench.work import ensure_dataset

    how = Execution(workers, backend=cast("Backend", backend), address=address)
    protocol = Protocol(scale=cast("Scale", scale))
    loaded = load_suite(suite)
    cache = Cache(cache_dir or default_cache_dir())
    with stdout_reserved(), open_executor(how, cache) as executor:
        dataset = ensure_dataset(loaded, protocol.scale, cache, Progress(quiet), executor)
    print(dataset.folder)


@_app.command(
    epilog=examples(
        ("maa-bench data info", "rows, runs and success of every task"),
        ("maa-bench data info --suite toy-v1 --json", "for programs"),
    )
)
def info(
    suite: SuiteOption = DEFAULT_SUITE,
    scale: ScaleOption = "small",
    cache_dir: CacheDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Describe a suite's dataset: rows by task, role and run, mean success, prompts, size."""
    from maa_bench.cache import Cache, default_cache_dir
    from maa_bench.cli.output import print_json, print_table
    from maa_bench.dataset.build import dataset_config, dataset_id
    from maa_bench.dataset.store import CheckpointDataset
    from maa_bench.errors import DataError
    from maa_bench.protocol import Protocol
    from maa_bench.suite import load_suite

    loaded = load_suite(suite)
    protocol = Protocol(scale=cast("Scale", scale))
    name = dataset_id(loaded, dataset_config(loaded, protocol.scale))
    root = cache_dir or default_cache_dir()
    if not (root / "datasets" / name / "manifest.json").exists():  # looking must not make a cache
        raise DataError(
            f"no dataset {name} in {root}: build it with `maa-bench data build --suite {suite} --scale {scale}`"
        )
    dataset = CheckpointDataset(Cache(root).dataset_folder(name), loaded)
    tasks = [_task_info(dataset, task) for task in loaded.tasks]
    total = sum(file.stat().st_size for file in dataset.folder.glob("*.parquet"))
    if as_json:
        print_json({"id": name, "folder": str(dataset.folder), "bytes": total, "tasks": tasks})
        return
    print(f"dataset {name}, {total / 1e6:.1f} MB\n{dataset.folder}\n")
    rows = []
    for task in tasks:
        for role in dict.fromkeys(run["role"] for run in task["runs"]):
            runs = [run for run in task["runs"] if run["role"] == role]
            count = sum(run["rows"] for run in runs)
            success = sum(run["rows"] * run["mean_success"] for run in runs) / count
            rows.append(
                (
                    task["task"],
                    role,
                    str(count),
                    " + ".join(str(run["rows"]) for run in runs),
                    f"{success:.2f}",
                    str(task["prompts"]) if role == "prompt" else "-",
                )
            )
    numbers = ("rows", "mean success", "prompts")
    print_table(("task", "role", "rows", "rows by run", "mean success", "prompts"), rows, right=numbers)


def _task_info(dataset: CheckpointDataset, task: str) -> dict[str, Any]:
    """One task's runs, as they stand in its shard; `prompts` are trajectories of prompt runs that succeeded."""
    columns = ["role", "run", "success", "behavior_layout"]
    rows = dataset.hf(task, columns).data.table.to_pylist()
    runs: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        runs.setdefault(row["run"], []).append(row)
    return {
        "task": task,
        "rows": len(rows),
        "prompts": sum(row["role"] == "prompt" and row["behavior_layout"] >= 0 for row in rows),
        "runs": [
            {
                "run": run,
                "role": own[0]["role"],
                "rows": len(own),
                "mean_success": round(sum(row["success"] for row in own) / len(own), 6),
            }
            for run, own in runs.items()
        ],
    }
