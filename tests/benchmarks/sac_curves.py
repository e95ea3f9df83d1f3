"""Learning curves of a `sac` dataset as a figure: measured success of every snapshot by environment steps.

python tests/benchmarks/sac_curves.py DATASET OUT.svg

A `sac` dataset keeps every snapshot, with its measured success.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from maa_bench.dataset.store import CheckpointDataset, suite_of
from maa_bench.suite import load_suite

SMOOTHED_OVER = 10
"""Snapshots; the line is their running mean."""

ACROSS = 4
"""Tasks beside each other."""


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="a dataset's folder")
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "sac", "svg.fonttype": "none"})  # the same bytes for the same numbers
    data = CheckpointDataset(given.dataset, load_suite(suite_of(given.dataset, "metaworld-v1")))
    columns = ["task", "run", "env_step", "success"]
    table = pd.concat(data.table(shard, columns).to_pandas() for shard in data.entries("checkpoints"))
    tasks = sorted(table["task"].unique())
    lines = -(-len(tasks) // ACROSS)
    figure, axes = plt.subplots(lines, ACROSS, figsize=(3 * ACROSS, 2.4 * lines), sharey=True, squeeze=False)
    for axis in axes.flat[len(tasks) :]:
        axis.set_axis_off()
    for axis, task in zip(axes.flat, tasks, strict=False):
        for _, rows in table[table["task"] == task].groupby("run"):
            rows = rows.sort_values("env_step")
            thousands = rows["env_step"] / 1000
            axis.plot(thousands, rows["success"].rolling(SMOOTHED_OVER, min_periods=1).mean(), color="tab:blue")
        axis.set(title=task, xlabel="environment steps (thousands)", ylim=(-0.03, 1.03))
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("success")
    figure.tight_layout()
    figure.savefig(given.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
