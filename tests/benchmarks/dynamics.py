"""How strong perturbed dynamics are: scripted experts on every task of a suite, under each setting and range.

python tests/benchmarks/dynamics.py [--suite metaworld-v1] [--layouts 5] [--tasks reach,push] [--levels mass=2,gain=1.5]

Printed as Markdown, a row a task: success without perturbation and, for each range, success and the mean change of the
first-success step over the layouts that succeed both ways. The factors are those of the protocols.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt

from maa_bench.conditions import STANDARD, Conditions
from maa_bench.simulators import EpisodeError, opened_task, step_until_success, under
from maa_bench.simulators.dynamics import Dynamics
from maa_bench.suite import Suite, load_suite

LEVELS = "mass=2,mass=4,friction=4,friction=8,damping=4,damping=8,gain=1.5,gain=2"


def first_successes(suite: Suite, task: str, conditions: Conditions, count: int) -> npt.NDArray[np.int64]:
    """Of the expert on the first test layouts; -1 for none."""
    found = []
    with under(opened_task(suite, task)) as simulator:
        for i in range(count):
            start = conditions.start(suite, task, "test", i)
            simulator.set_dynamics(start.dynamics)
            try:
                found.append(step_until_success(simulator, simulator.expert(), start.layout, suite.horizon)[0])
            except EpisodeError:
                found.append(-1)
    return np.array(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="metaworld-v1")
    parser.add_argument("--layouts", type=int, default=5)
    parser.add_argument("--tasks")
    parser.add_argument("--levels", default=LEVELS)
    given = parser.parse_args()
    suite = load_suite(given.suite)
    levels = [(name, float(value)) for name, value in (level.split("=") for level in given.levels.split(","))]
    print("| task | unperturbed |", *(f"{name} {value:g} |" for name, value in levels))
    print("|---|" + "---|" * (len(levels) + 1))
    for task in given.tasks.split(",") if given.tasks else suite.tasks:
        usual = first_successes(suite, task, STANDARD, given.layouts)
        cells = [f"{(usual > 0).mean():.2f}"]
        for name, value in levels:
            moved = first_successes(suite, task, Conditions(ranges=Dynamics(**{name: value})), given.layouts)
            both = (moved > 0) & (usual > 0)
            shift = f" ({np.abs(moved - usual)[both].mean():.0f})" if both.any() else ""
            cells.append(f"{(moved > 0).mean():.2f}{shift}")
        print(f"| {task} |", *(f"{cell} |" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
