"""What there is to show: the test episodes of a finished cell, and the agents that acted in them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maa_bench.cache import Cache, CellFailure, CellResult, default_cache_dir
from maa_bench.conditions import Start
from maa_bench.errors import CacheError, DrawingError, ProtocolError
from maa_bench.method import Agent, FlatPolicies, MethodCard
from maa_bench.named_protocol import OWN_TO_A_RUN, list_protocols
from maa_bench.plan import Plan, make_plan
from maa_bench.protocol import Protocol, flag
from maa_bench.simulators import TaskSimulator
from maa_bench.suite import load_suite


@dataclass(frozen=True)
class Episode:
    """One candidate on one test layout.

    Attributes:
        first_success: a step, or -1.
        horizon: the suite's.
        broke_off: why the episode ended without success before the horizon; empty if it did not.
    """

    candidate: int
    layout: int
    first_success: int
    horizon: int
    broke_off: str = ""

    @property
    def steps(self) -> int:
        """How many steps there are, at most: an episode ends at its first success."""
        return self.first_success if self.first_success > 0 else self.horizon


@dataclass(frozen=True)
class FinishedCell:
    """One method, training seed and task of a run, with what was measured."""

    plan: Plan
    card: MethodCard
    task: str
    result: CellResult

    def first(self, success: bool) -> Episode | None:
        """The first test episode, by candidate and then layout, that succeeded or failed; None if none did."""
        found = np.argwhere((self._test() > 0) == success)
        return self._episode(*found[0].tolist()) if len(found) else None

    def grid(self, count: int) -> list[Episode]:
        """The first candidates (at most `count`) on the first test layout."""
        return [self._episode(candidate, 0) for candidate in range(min(count, len(self._test())))]

    def start(self, layout: int) -> Start:
        """How the test episodes of that layout started."""
        return self.plan.conditions.start(self.plan.suite, self.task, "test", layout)

    def agent(self, candidate: int, simulator: TaskSimulator) -> Agent:
        """The agent that acted.

        Raises:
            DrawingError: it was not kept.
        """
        if self.result.params is not None:
            return FlatPolicies(self.plan.suite.policy, self.result.params).agent(candidate)
        if self.card.uses == "scripted_expert":
            return simulator.expert()
        raise DrawingError(
            f"method {self.card.name!r} makes agents of its own kind, which the cache does not keep: "
            "only flat policies and the scripted expert can be shown"
        )

    def _test(self) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return self.result.first_success[:, self.plan.protocol.select_episodes :]

    def _episode(self, candidate: int, layout: int) -> Episode:
        broke_off = {(f.candidate, f.layout): f.reason for f in self.result.failures if f.layout_set == "test"}
        first = int(self._test()[candidate, layout])
        return Episode(candidate, layout, first, self.plan.suite.horizon, broke_off.get((candidate, layout), ""))


def find_cell(
    method: str, suite: str, split: str, task: str | None, protocol: Protocol, seed: int, cache_dir: Path | None
) -> FinishedCell:
    """The cell of one method, task and training seed, as `run` with the same settings left it in the cache.

    Raises:
        ProtocolError: no task, or one that the split does not test.
        CacheError: the cell is not there, or failed.
    """
    if not task:
        raise ProtocolError(f"name one --task; split {split!r} tests {', '.join(load_suite(suite).split(split).test)}")
    plan = make_plan([method], suite, split, [task], protocol, seed=seed)
    cell = plan.cells[0]  # the method's; those of the controls follow
    folder = cache_dir or default_cache_dir()
    if not (folder / "format.json").exists() or not Cache(folder).has_cell(cell.key):  # looking makes no folder
        command = run_command(method, suite, split, task, protocol, seed, cache_dir)
        raise CacheError(f"cache {folder} has no finished episodes of it; make them first: {command}")
    result = Cache(folder).load_cell(cell.key)
    if isinstance(result, CellFailure):
        raise CacheError(f"there is nothing to show, as the run of it failed: {result.reason}")
    return FinishedCell(plan, cell.method.card, task, result)


def run_command(
    method: str, suite: str, split: str, task: str, protocol: Protocol, seed: int, cache_dir: Path | None
) -> str:
    """The command line that makes a cell."""
    words = ["maa-bench", "run", "--method", method, "--suite", suite, "--split", split, "--tasks", task]
    settings = protocol.changed
    if protocol.name in list_protocols():
        words += ["--protocol", protocol.name, "--conditions", protocol.condition.split("=")[0]]
        settings = {name: value for name, value in settings.items() if name in OWN_TO_A_RUN}
    for name, value in settings.items():
        words += [flag(name), f"{value:g}" if isinstance(value, float) else str(value)]
    if seed:
        words += ["--seed", str(seed)]
    if cache_dir:
        words += ["--cache-dir", str(cache_dir)]
    return shlex.join(words)
