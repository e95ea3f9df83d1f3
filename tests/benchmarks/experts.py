"""The scripted experts on all test layouts: success, and the steps to it.

python tests/benchmarks/experts.py SUITE [TASK ...]
"""

from __future__ import annotations

import argparse

import numpy as np

from maa_bench.simulators import opened_task, step_until_success
from maa_bench.suite import load_suite


def main() -> None:
    """Roll out, and print a line a task."""
    parser = argparse.ArgumentParser()
    parser.add_argument("suite")
    parser.add_argument("tasks", nargs="*", help="default: all")
    given = parser.parse_args()
    suite = load_suite(given.suite)
    for task in given.tasks or suite.tasks:
        simulator, layouts = opened_task(suite, task), suite.layouts(task, "test")
        expert = simulator.expert()
        firsts = np.array([step_until_success(simulator, expert, layout, suite.horizon)[0] for layout in layouts])
        steps = firsts[firsts > 0]
        print(
            f"{task}: {len(steps) / len(firsts):.2f} of {len(firsts)}, "
            f"steps: median {np.median(steps):.0f}, 95th percentile {np.percentile(steps, 95):.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
