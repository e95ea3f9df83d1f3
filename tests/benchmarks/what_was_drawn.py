"""What `random_seen` or `nearest_checkpoint` took: the seen task of each candidate, and its success.

python tests/benchmarks/what_was_drawn.py RECORD_FOLDER DATASET
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pyarrow.parquet as pq

from maa_bench.candidate_rows import sha256_of_params
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.results import CANDIDATE_ROWS, load_episodes, load_record
from maa_bench.suite import load_suite


def main() -> None:
    """Print a row a test task and seen task, of the episodes on test layouts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("record", type=Path, help="a folder of results")
    parser.add_argument("dataset", type=Path, help="the dataset's folder")
    given = parser.parse_args()
    record = load_record(given.record)
    data = CheckpointDataset(given.dataset, load_suite(record.suite.name))
    sources = {}
    for task in record.split.train:
        for shard in data.entries("checkpoints", task):
            for params in data.table(str(shard), ["params"])["params"].to_numpy():
                sources[sha256_of_params(params)] = task
    key = ["task", "train_seed", "candidate"]
    candidates = pq.read_table(given.record / CANDIDATE_ROWS).to_pandas()
    candidates["took"] = candidates["sha256"].map(sources)
    rows = load_episodes(given.record).to_pandas().query("layout_set == 'test'").merge(candidates, on=key)
    of_task = rows.groupby("task", sort=False)["success"].size()
    for (task, took), part in rows.groupby(["task", "took"], sort=False)["success"]:
        share = len(part) / of_task[task]
        print(f"{task}: {share:.2f} of the episodes by a checkpoint of {took}, success {part.mean():.2f}")


if __name__ == "__main__":
    main()
