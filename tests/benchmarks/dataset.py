"""Building datasets of several sizes from nothing: seconds, rates, memory, disk; as a Markdown table.

python tests/benchmarks/dataset.py [--per-task 150 500 1500] [--keep FOLDER] [maa-bench data build options]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from memory import watched

from maa_bench.dataset.store import CheckpointDataset, suite_of
from maa_bench.environment import environment_info
from maa_bench.suite import load_suite

HEADER = (
    "| per task | seconds | verified | rows | environment steps | verified/s | steps/s | peak MB | disk MB |\n"
    "|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def measure(per_task: int, cache: Path, options: list[str]) -> tuple[CheckpointDataset, str]:
    """Build one dataset in an empty cache; returns it and its line of the table."""
    command = [sys.executable, "-m", "maa_bench.cli", "data", "build", f"--per-task={per_task}"]
    seconds, peak = watched([*command, f"--cache-dir={cache}", *options])
    (folder,) = (cache / "datasets").iterdir()
    data = CheckpointDataset(folder, load_suite(suite_of(folder, "metaworld-v1")))
    checkpoints = data.entries("checkpoints").values()
    verified, rows = (sum(int(entry[key]) for entry in checkpoints) for key in ("verified", "rows"))
    steps = sum(int(entry["environment_steps"]) for entry in data.shards.values())
    size = sum(int(entry["bytes"]) for entry in data.shards.values())
    return data, (
        f"| {per_task:,} | {seconds:,.0f} | {verified:,} | {rows:,} | {steps:,} | {verified / seconds:.1f} | "
        f"{steps / seconds:,.0f} | {peak:,.0f} | {size / 1e6:,.0f} |"
    )


def main() -> None:
    """Measure, print what was measured, and say with what machine."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--per-task", type=int, nargs="+", default=[150, 500, 1500])
    parser.add_argument("--keep", type=Path, help="folder under which the caches stay")
    given, options = parser.parse_known_args()
    lines = []
    with tempfile.TemporaryDirectory() if given.keep is None else nullcontext(given.keep) as folder:
        for per_task in given.per_task:
            data, line = measure(per_task, Path(folder) / str(per_task), options)
            lines.append(line)
            print(f"{data.id}\n{HEADER}\n" + "\n".join(lines), flush=True)
    machine = environment_info()
    print(f"\n{machine.cores} cores, {machine.cpu}")


if __name__ == "__main__":
    main()
