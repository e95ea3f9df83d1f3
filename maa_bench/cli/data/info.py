"""`maa-bench data info`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maa_bench.cli.options import DEFAULT_SUITE, CacheDirOption, DatasetOption, JsonOption, ScaleOption, SuiteOption

if TYPE_CHECKING:
    from maa_bench.dataset.store import CheckpointDataset


def info(
    dataset: DatasetOption = None,
    suite: SuiteOption = DEFAULT_SUITE,
    scale: ScaleOption = "small",
    cache_dir: CacheDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Describe a dataset: rows by task, role and run, mean success, prompts, size."""
    from maa_bench.cli.data.find import find_dataset
    from maa_bench.cli.output import print_json, print_table

    data = find_dataset(dataset, suite, scale, cache_dir)
    tasks = [_task_info(data, task) for task in data.tasks]
    total = sum(entry["bytes"] for entry in data.shards.values())
    if as_json:
        print_json({"id": data.id, "folder": str(data.folder), "bytes": total, "tasks": tasks})
        return
    print(f"dataset {data.id}, {total / 1e6:.1f} MB\n{data.folder}\n")
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


def _task_info(data: CheckpointDataset, task: str) -> dict[str, Any]:
    """One task's runs, as they stand in its shard; `prompts` are trajectories of prompt runs that succeeded."""
    columns = ["role", "run", "success", "behavior_layout"]
    rows = data.hf(task, columns).data.table.to_pylist()
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
