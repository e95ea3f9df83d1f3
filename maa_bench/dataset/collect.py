"""From a run's snapshots to a run's rows: which are kept, how good they are, what they do."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from maa_bench.dataset.config import DatasetPlan
from maa_bench.dataset.measure import first_success_steps, no_behavior, record_behavior
from maa_bench.dataset.producers import Snapshot, TrainingRun
from maa_bench.dataset.schema import row_hash
from maa_bench.dataset.transitions import Recorder, Transitions, no_transitions
from maa_bench.forward import PackedPolicy
from maa_bench.policy import Float32
from maa_bench.simulators import EpisodeError, TaskSimulator

KINDS = ("verified", "partial", "failing")
"""By measured success: 1, between 0 and 1, 0."""


def kind_of(success: float) -> str:
    """Which of `KINDS` a checkpoint is."""
    return "verified" if success == 1.0 else "partial" if success > 0.0 else "failing"


@dataclass
class RunRows:
    """Collects the rows of one run.

    Attributes:
        run: the run.
        plan: the dataset.
        simulator: the run's task.
        number: the run's index among the task's, which decides where its walk over the layouts begins.
        measured: snapshots that were rolled out so far, which decides how far that walk has come.
        rows: kept ones so far, with the columns of `schema.COLUMNS`.
        kept: their number by kind.
        duplicates: snapshots that were dropped because they hardly differ from the row kept last.
        surplus: snapshots that were rolled out and dropped because the run had enough of their kind.
        diverged: snapshots that were dropped because the simulation diverged after their success.
        env_steps: steps that measuring took.
    """

    run: TrainingRun
    plan: DatasetPlan
    simulator: TaskSimulator
    number: int
    measured: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    duplicates: int = 0
    surplus: int = 0
    diverged: int = 0
    env_steps: int = 0

    def __post_init__(self) -> None:
        suite, task = self.plan.suite, self.run.task
        self._layouts = suite.layouts(task, "train")
        episodes = min(self.plan.config.episodes, len(self._layouts))
        # Coprime to the number of layouts, so that in time every layout comes first, which is the one that is shown.
        self._stride = next(s for s in itertools.count(episodes) if math.gcd(s, len(self._layouts)) == 1)
        self._versions = json.dumps({**dict(suite.versions), "maa-bench": version("maa-bench")}, sort_keys=True)
        self._episodes = episodes

    def wants(self, kind: str) -> bool:
        """Whether the run still lacks checkpoints of that kind."""
        return self.kept[kind] < int(getattr(self.run, kind))

    def take(self, snapshot: Snapshot) -> None:
        """Roll a snapshot out and keep it, if it is one that the run lacks."""
        if self._is_duplicate(snapshot.params):
            self.duplicates += 1
            return
        suite, task = self.plan.suite, self.run.task
        policy = PackedPolicy(suite.policy, snapshot.params)
        start = (self.number * self._episodes + self.measured * self._stride) % len(self._layouts)
        self.measured += 1
        chosen = [(start + i) % len(self._layouts) for i in range(self._episodes)]
        firsts, steps = first_success_steps(self.simulator, policy, self._layouts[chosen], suite.horizon)
        self.env_steps += steps
        success = float(np.mean([first > 0 for first in firsts]))
        kind = kind_of(success)
        if not self.wants(kind):
            self.surplus += 1
            return
        shown = next((i for i, first in zip(chosen, firsts, strict=True) if first > 0), None)
        if shown is None:
            behavior = no_behavior(suite.policy)
        else:
            try:
                behavior, steps = record_behavior(self.simulator, policy, self._layouts[shown], suite.horizon)
            except EpisodeError:  # after its success: there is no whole behaviour to keep
                self.diverged += 1
                return
            self.env_steps += steps
        row = {
            "row_id": f"{task}/{self.run.name}/{snapshot.step}",
            "suite": suite.name,
            "task": task,
            "role": self.run.role,
            "producer": self.plan.producer,
            "run": self.run.name,
            "seed": self.run.seed,
            "step": snapshot.step,
            "env_step": snapshot.env_step,
            "success": success,
            "episodes": len(firsts),
            "layouts": chosen,
            "first_success_steps": firsts,
            "spec_id": suite.policy.id,
            "params": snapshot.params,
            "behavior_layout": -1 if shown is None else shown,
            "observations": behavior.observations.ravel(),
            "actions": behavior.actions.ravel(),
            "outcome": behavior.outcome.ravel(),
            "versions": self._versions,
        }
        row["row_hash"] = row_hash(row)
        self.rows.append(row)
        self.kept[kind] += 1

    def _is_duplicate(self, params: Float32) -> bool:
        """Along a training path the row kept last is the nearest."""
        if not self.rows:
            return False
        last = self.rows[-1]["params"]
        least = self.plan.config.near_duplicate * float(np.linalg.norm(last))
        return float(np.linalg.norm(params - last)) < least

    def act(self) -> Transitions:
        """Let some of the run's checkpoints, spread over its training, act one more episode each, with rewards.

        Each ends some steps after its first success, as an expert's, or at the horizon.
        """
        config, horizon = self.plan.config, self.plan.suite.horizon
        count = min(config.run_episodes, len(self.rows))
        if not count:
            return no_transitions(self.plan.suite.policy)
        recorder = Recorder(self.simulator)
        for index in np.unique(np.linspace(0, len(self.rows) - 1, count).round().astype(int)):
            row = self.rows[index]
            policy = PackedPolicy(self.plan.suite.policy, row["params"])
            layout = row["layouts"][-1]
            obs = recorder.begin(layout, self._layouts[layout], 0.0, row["row_id"])
            end, step = horizon, 0
            while step < end:
                recorder.label()
                try:
                    obs, success = recorder.step(policy.act(obs))
                except EpisodeError:
                    break
                step += 1
                if success:
                    end = min(end, step + config.experts.tail)
            self.env_steps += step
        return recorder.recorded()
