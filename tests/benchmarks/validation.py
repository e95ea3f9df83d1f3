"""How hyperparameters are chosen: success on validation runs of *seen* tasks, which no table shows.

python tests/benchmarks/validation.py METHOD DATASET [--seeds 2] [--hold-out reach,faucet-close]

The last train run of every seen task is taken out of the training set, and prompts come from its behaviours; policies
act on train layouts. Printed apart: `kept`, tasks that the method was fitted on, and `held out`, seen tasks whose
checkpoints were all taken out: how it does on a task that it never saw. Test tasks, test and select layouts, and prompt
runs are not touched. METHOD is a registered name or package.module:Class.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench.dataset.shown import replayed_rewards
from maa_bench.dataset.store import CheckpointDataset, suite_of
from maa_bench.forward import PackedPolicy
from maa_bench.method import Agents, Context, TrainingSet
from maa_bench.prompts import PromptSet, RewardedPromptSet
from maa_bench.registry import load_method
from maa_bench.simulators import EpisodeError, opened_task, step_until_success
from maa_bench.suite import Suite, load_suite

HELD_OUT = "reach,faucet-close,handle-press"


def fitting_part(data: TrainingSet, held_out: list[str]) -> TrainingSet:
    """The training set without the last run of each task, and without the held-out tasks."""
    last = {task: max(data.run[data.task == task]) for task in data.train_tasks}
    rows = np.array([t not in held_out and run != last[t] for t, run in zip(data.task, data.run, strict=True)])
    columns: dict[str, Any] = {name: getattr(data, name)[rows].copy() for name in ("task", "role", "run", "step")}
    kept = tuple(task for task in data.train_tasks if task not in held_out)
    return dataclasses.replace(
        data,
        train_tasks=kept,
        success=data.success[rows].copy(),
        params=data.params[rows].copy(),
        behaviors=data.behaviors.take(np.flatnonzero(rows)),
        transitions={task: _without(data, task, last[task]) for task in kept},
        **columns,
    )


def _without(data: TrainingSet, task: str, run: str) -> Any:
    steps = data.transitions[task]
    return steps.take(np.array([f"/{run}/" not in source for source in steps.source]))


def prompts_of(data: TrainingSet, task: str, shots: int, seed: int) -> PromptSet:
    """Prompts of a task's last run."""
    last = max(data.run[data.task == task])
    rows = np.random.default_rng(seed).permutation(np.flatnonzero((data.task == task) & (data.run == last)))[:shots]
    return PromptSet(data.suite, task, data.behaviors.take(rows), tuple(f"{task}/{last}/{data.step[i]}" for i in rows))


def first_successes(suite: Suite, task: str, agents: Agents, count: int) -> npt.NDArray[np.int64]:
    """First-success steps on the last train layouts, which the small dataset's behaviours hardly show.

    (len(agents), count), -1 where there is none.
    """
    simulator, layouts = opened_task(suite, task), suite.layouts(task, "train")[-count:]
    first = np.full((len(agents), count), -1)
    for i in range(len(agents)):
        agent = agents.agent(i)
        run = simulator.first_success if isinstance(agent, PackedPolicy) else partial(step_until_success, simulator)
        for column, layout in enumerate(layouts):
            try:
                first[i, column], _ = run(agent, layout, suite.horizon)
            except EpisodeError:
                continue
    return first


def shown_to(data: CheckpointDataset, prompts: PromptSet, uses: str) -> PromptSet:
    """What a method with that card may see of a validation task."""
    if uses == "prompts+rewards":
        told = prompts.suite, prompts.task, prompts.behaviors, prompts.sources
        return RewardedPromptSet(*told, rewards=replayed_rewards(data, prompts, "train"))
    if uses == "test_checkpoints":
        raise SystemExit("a method that uses the test task's checkpoints has nothing to validate")
    return prompts


def main() -> None:
    """Fit, generate, roll out; a line a task and seed, then means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--layouts", type=int, default=4)
    parser.add_argument("--hold-out", default=HELD_OUT, help="seen tasks; empty: none")
    parser.add_argument("--kept", default="", help="of the fitted tasks only these are tried; default: all")
    given = parser.parse_args()
    suite = load_suite(suite_of(given.dataset, "metaworld-v1"))
    dataset = CheckpointDataset(given.dataset, suite)
    data = dataset.training_set("unseen")
    held_out = [task for task in given.hold_out.split(",") if task]
    training_set = fitting_part(data, held_out)
    loaded, totals = load_method(given.method), {"kept": [], "held out": []}
    tried = given.kept.split(",") if given.kept else list(training_set.train_tasks)
    if odd := set(tried) - set(training_set.train_tasks):
        raise SystemExit(f"--kept names what is held out or unknown: {', '.join(sorted(odd))}")
    for seed in range(given.seeds):
        method, context = loaded.make(scale="small"), Context(seed)
        started = time.monotonic()
        method.fit(training_set, context)
        print(f"seed {seed}: fit {time.monotonic() - started:.1f} s", flush=True)
        for task in [*tried, *held_out]:
            n = 1 if loaded.card.deterministic_candidates else given.candidates
            prompts = shown_to(dataset, prompts_of(data, task, given.shots, seed), loaded.card.uses)
            started = time.monotonic()
            agents = method.generate(prompts, n, context)
            adapted = time.monotonic() - started
            first = first_successes(suite, task, agents, given.layouts)
            kind = "held out" if task in held_out else "kept"
            totals[kind].append(float((first > 0).mean()))
            print(f"  {kind:8} {task:20} {totals[kind][-1]:.2f}  adapt {adapted:.1f} s", flush=True)
    for kind, values in totals.items():
        if values:
            print(f"{given.method} {kind}: {np.mean(values):.3f} ({len(values)} task fits)")


if __name__ == "__main__":
    main()
