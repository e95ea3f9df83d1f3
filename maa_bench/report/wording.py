"""What the page and the site say of a group in the same words."""

from __future__ import annotations

from collections.abc import Sequence

from maa_bench.record import DatasetInfo, SuiteInfo


def suite_text(suite: SuiteInfo) -> str:
    """`metaworld-v2 (metaworld 3.1.1, mujoco 3.3.0; layouts 9980c721de11)`."""
    simulators = ", ".join(f"{name} {version}" for name, version in sorted(suite.simulator_versions.items()))
    return f"{suite.name} ({simulators or 'no simulator package'}; layouts {suite.layouts_sha256[:12]})"


def dataset_text(dataset: DatasetInfo) -> str:
    """`metaworld-v2-9450cdfb6f: 960 checkpoints of 48 runs (distill)`."""
    return f"{dataset.id}: {dataset.rows} checkpoints of {dataset.runs} runs ({dataset.producer})"


def tasks_text(tasks: Sequence[str]) -> str:
    """`2 tasks: reach, push`."""
    return f"{len(tasks)} tasks: {', '.join(tasks)}" if tasks else "nothing"
