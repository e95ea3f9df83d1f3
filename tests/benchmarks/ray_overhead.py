"""What Ray costs: the same cells, computed afresh with the local backend and with a Ray cluster on this machine.

python tests/benchmarks/ray_overhead.py [--cache-dir FOLDER] [--candidates 32] [--rounds 3]

The two take turns. `run` is from the first job to the last cell; `start` and `end` are the executor's own.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import get_args

from maa_bench.cache import Cache
from maa_bench.environment import environment_info
from maa_bench.execution.local import LocalExecutor
from maa_bench.main_job import Backend, Execution, open_executor
from maa_bench.plan import Plan, make_plan
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.work import Campaign, opened_dataset


def measure(plan: Plan, cache: Cache, dataset: Path, how: Execution) -> dict[str, float]:
    """Seconds of one run."""
    times = [time.monotonic()]
    with open_executor(how, cache) as executor:
        times.append(time.monotonic())
        Campaign(plan, list(plan.cells), dataset, cache, Progress(quiet=True), afresh=True).run(executor)
        times.append(time.monotonic())
    times.append(time.monotonic())
    return {name: times[i + 1] - times[i] for i, name in enumerate(("start", "run", "end"))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache-dir", type=Path, help="holds the dataset already; default: build one")
    parser.add_argument("--suite", default="metaworld-v1")
    parser.add_argument("--tasks", default="drawer-close,window-close")
    parser.add_argument("--candidates", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    load = os.getloadavg()[0]
    protocol = Protocol(candidates=given.candidates)
    plan = make_plan(["random_weights"], given.suite, "unseen", given.tasks.split(","), protocol, 1, 0)
    runs: dict[str, list[dict[str, float]]] = {backend: [] for backend in get_args(Backend)}
    with nullcontext(given.cache_dir) if given.cache_dir else tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        with LocalExecutor(given.workers) as executor:
            dataset = opened_dataset(plan, cache, Progress(), executor).folder
        for _ in range(given.rounds):
            for backend, own in runs.items():
                own.append(measure(plan, cache, dataset, Execution(given.workers, backend=backend)))
                print(backend, {name: round(seconds, 2) for name, seconds in own[-1].items()}, flush=True)
    middle = {
        backend: {name: round(statistics.median(run[name] for run in own), 2) for name in own[0]}
        for backend, own in runs.items()
    }
    machine = environment_info()
    result = {
        "median_seconds": middle,
        "overhead": round(middle["ray"]["run"] / middle["local"]["run"] - 1, 4),
        "overhead_with_start_and_end": round(sum(middle["ray"].values()) / sum(middle["local"].values()) - 1, 4),
        "workers": given.workers,
        "cpu": machine.cpu,
        "cores": machine.cores,
        "load_before": round(load, 2),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
