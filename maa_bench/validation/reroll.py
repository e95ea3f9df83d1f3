"""Rolling a sample of a record's candidates out again: every episode must come out as the record says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maa_bench.conditions import Conditions
from maa_bench.evaluator import EpisodeJob, layout_names
from maa_bench.files import sha256_of
from maa_bench.method import Agent, Agents, FlatPolicies
from maa_bench.record import RunRecord
from maa_bench.results import RECORD, load_episodes
from maa_bench.suite import load_suite
from maa_bench.validation.weights import read_params

SCRIPTED = "expert"
"""The method of the package whose agents can be made again from nothing."""
TOLD = 10
"""Differences that are told, of one record."""


class Drawn(NamedTuple):
    """A candidate of a record."""

    task: str
    train_seed: int
    candidate: int

    def __str__(self) -> str:
        return f"task {self.task!r}, seed {self.train_seed}, candidate {self.candidate}"


def draw(record: RunRecord, sample: int, seed: int) -> list[Drawn]:
    """A random sample of a record's candidates, spread over its tasks as evenly as may be, sorted.

    Args:
        record: the record.
        sample: how many; all of them if there are fewer.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    seeds, per_seed = record.seeds.train, record.candidates_evaluated
    tasks = [record.split.test[i] for i in rng.permutation(len(record.split.test))]
    each, more = divmod(min(sample, len(tasks) * len(seeds) * per_seed), len(tasks))
    drawn = []
    for place, task in enumerate(tasks):
        for number in rng.choice(len(seeds) * per_seed, each + (place < more), replace=False):
            drawn.append(Drawn(task, seeds[number // per_seed], int(number % per_seed)))
    return sorted(drawn)


def own_seed(folder: Path) -> int:
    """The seed of a draw that is a record's own: of its hash, so that the same record has the same sample."""
    return int(sha256_of(folder / RECORD)[:16], 16)


def layouts_of(record: RunRecord) -> tuple[tuple[str, int], ...]:
    """(layout set, episodes a candidate) in the order of a cell's columns.

    A run of one candidate for each task and seed may have no select episodes in its table.
    """
    return ("select", record.protocol.select_episodes), ("test", record.protocol.episodes)


class Recorded:
    """What a record says of each candidate's episodes."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self._columns = {name: i for i, name in enumerate(layout_names(layouts_of(record)))}
        table = load_episodes(folder)
        names = ("task", "train_seed", "candidate", "layout_set", "layout", "first_success_step")
        self._rows: dict[Drawn, dict[tuple[str, int], int]] = {}
        for task, seed, candidate, *layout, first in zip(*(table[name].to_pylist() for name in names), strict=True):
            self._rows.setdefault(Drawn(task, seed, candidate), {})[layout[0], layout[1]] = first
        self._broken = {Drawn(f.task, f.train_seed, f.candidate) for f in record.failures}

    def differences(self, which: Drawn, again: npt.NDArray[np.int64]) -> tuple[int, list[str]]:
        """How many episodes of a candidate were compared, and a line for each that came out otherwise.

        Of a candidate that the record lists as failed only successes must be the same: what broke off there, for taking
        too long for example, may have gone on here.

        Args:
            which: the candidate.
            again: (n_layouts,) its first-success steps.
        """
        lines = []
        rows = self._rows.get(which, {})
        for (layout_set, layout), was in rows.items():
            column = self._columns.get((layout_set, layout))
            if column is None:
                lines.append(f"{which}: the protocol has no {layout_set} layout {layout}")
            elif again[column] != was and not (was < 0 and which in self._broken):
                lines.append(f"{which}, {layout_set} layout {layout}: {_outcome(was)}, but {_outcome(again[column])}")
        return len(rows), lines


def roll_again(record: RunRecord, agents: Agents, drawn: list[Drawn], indices: list[int]) -> npt.NDArray[np.int64]:
    """First-success steps of some candidates of one task: (n_drawn, n_layouts) int64, -1 for none.

    Raises:
        MaaBenchError: the suite's simulator cannot be used here.
    """
    job = EpisodeJob(
        record.suite.name,
        drawn[0].task,
        agents,
        tuple(indices),
        layouts_of(record),
        tuple(which.candidate for which in drawn),
        conditions=Conditions.of(record.protocol),
    )
    return job(lambda *_: None).first_success


def reroll(folder: Path, record: RunRecord, weights: Path | None, drawn: list[Drawn]) -> tuple[int, list[str]]:
    """Roll candidates out again.

    Args:
        folder, record: the record; of a suite that comes with the package.
        weights: its parameters; None for the scripted expert, which has none.
        drawn: which candidates.

    Returns:
        How many episodes were compared, and a line for each that came out otherwise, up to `TOLD`.

    Raises:
        MaaBenchError: the parameters cannot be read, or the suite's simulator not be used here.
    """
    suite = load_suite(record.suite.name)
    recorded = Recorded(folder, record)
    episodes, lines = 0, []
    for task, seed in dict.fromkeys((which.task, which.train_seed) for which in drawn):
        own = [which for which in drawn if (which.task, which.train_seed) == (task, seed)]
        agents: Agents
        if weights is None:
            agents = Scripted(record.suite.name, task, record.candidates_evaluated)
        else:
            agents = FlatPolicies(suite.policy, read_params(weights, record, suite.policy, task, seed))
        again = roll_again(record, agents, own, [which.candidate for which in own])
        for which, row in zip(own, again, strict=True):
            compared, found = recorded.differences(which, row)
            episodes += compared
            lines += found
    return episodes, shortened(lines)


def shortened(lines: list[str]) -> list[str]:
    """The first ones, and how many there are more."""
    return lines if len(lines) <= TOLD else [*lines[:TOLD], f"{len(lines) - TOLD} more episodes came out otherwise"]


@dataclass(frozen=True)
class Scripted:
    """The simulator's scripted expert, as often as asked for."""

    suite: str
    task: str
    n: int

    def __len__(self) -> int:
        return self.n

    def agent(self, index: int) -> Agent:
        from maa_bench.simulators import simulator_of

        suite = load_suite(self.suite)
        return simulator_of(suite).open_task(suite.task(self.task)).expert()


def _outcome(first: int) -> str:
    return f"first success in step {first}" if first > 0 else "no success"
