"""What verified checkpoints are worth on layouts that did not verify them: their success of 1 was selected.

python tests/benchmarks/verified_elsewhere.py DATASET [--policies 10] [--layouts 8]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from maa_bench.dataset.measure import first_success_steps
from maa_bench.dataset.store import CheckpointDataset, suite_of
from maa_bench.forward import PackedPolicy
from maa_bench.simulators import opened_task
from maa_bench.suite import load_suite


def main() -> None:
    """Roll out, and print a line a task and the mean."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset", type=Path, help="a dataset's folder")
    parser.add_argument("--policies", type=int, default=10)
    parser.add_argument("--layouts", type=int, default=8)
    given = parser.parse_args()
    suite = load_suite(suite_of(given.dataset, "metaworld-v1"))
    data = CheckpointDataset(given.dataset, suite)
    rng, means = np.random.default_rng(0), []
    for task in data.tasks:
        simulator, layouts = opened_task(suite, task), suite.layouts(task, "train")
        successes: list[bool] = []
        for shard in rng.choice(sorted(data.entries("checkpoints", task)), given.policies):
            table = data.table(str(shard), ["success", "layouts", "params"])
            rows = np.flatnonzero(table["success"].to_numpy() == 1.0)
            row = table.slice(int(rng.choice(rows)), 1).to_pylist()[0]
            others = np.setdiff1d(np.arange(len(layouts)), row["layouts"])
            chosen = rng.choice(others, given.layouts, replace=False)
            policy = PackedPolicy(suite.policy, np.array(row["params"], np.float32))
            firsts, _ = first_success_steps(simulator, policy, layouts[chosen], suite.horizon)
            successes += [first > 0 for first in firsts]
        means.append(float(np.mean(successes)))
        print(f"{task}: {means[-1]:.2f}", flush=True)
    print(f"mean of tasks: {np.mean(means):.3f}")


if __name__ == "__main__":
    main()
