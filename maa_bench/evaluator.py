"""Rolling candidates out: every candidate on every layout asked for, a fixed allotment of episodes, early stop.

An episode ends at its first success, which leaves any-step success untouched. Nothing here draws random numbers, and
a job's result does not depend on how candidates are cut into jobs or where the jobs run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from maa_bench.errors import MaaBenchError, MethodError
from maa_bench.execution.local import Report
from maa_bench.forward import PackedPolicy
from maa_bench.method import Agent, Agents, FlatPolicies
from maa_bench.resources import peak_mb
from maa_bench.simulators import TaskSimulator, simulator_of, step_until_success
from maa_bench.suite import load_suite

VERSION = 1
"""Part of every cell's identity; raise it when an episode could come out differently."""

CHUNK = 4
"""Candidates a job."""


@dataclass(frozen=True)
class Episodes:
    """What a job measured: first-success steps (n_candidates, n_layouts) int64, -1 for none; steps taken; seconds;
    peak memory of the process in MB."""

    first_success: npt.NDArray[np.int64]
    steps: int
    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class EpisodeJob:
    """Some candidates of one task on all its layouts; picklable, runs anywhere.

    Attributes:
        suite: name of the suite, or path of its TOML file.
        task: task name.
        agents: candidates; those at `indices` are run.
        indices: which of `agents`.
        layouts: (layout set, number of its first layouts) in order.
    """

    suite: str
    task: str
    agents: Agents
    indices: tuple[int, ...]
    layouts: tuple[tuple[str, int], ...]

    def __call__(self, report: Report) -> Episodes:
        started = time.monotonic()
        suite = load_suite(self.suite)
        simulator = _open(self.suite, self.task, suite.layouts_sha256, repr(suite.task(self.task)))
        layouts = [layout for name, count in self.layouts for layout in suite.layouts(self.task, name)[:count]]
        first = np.empty((len(self.indices), len(layouts)), np.int64)
        total = 0
        for row, index in enumerate(self.indices):
            agent = self._agent(index, suite.policy.action_dim)
            for column, layout in enumerate(layouts):
                if isinstance(agent, PackedPolicy):
                    first[row, column], steps = simulator.first_success(agent, layout, suite.horizon)
                else:
                    first[row, column], steps = step_until_success(simulator, agent, layout, suite.horizon)
                total += steps
        return Episodes(first, total, time.monotonic() - started, peak_mb())

    def _agent(self, index: int, action_dim: int) -> Agent:
        where = f"task {self.task!r}, candidate {index}"
        try:
            agent = self.agents.agent(index)
        except MaaBenchError:
            raise
        except Exception as error:
            raise MethodError(f"{where}: making the agent raised {type(error).__name__}: {error}") from error
        return agent if isinstance(agent, PackedPolicy) else _Checked(agent, action_dim, where)


@dataclass(frozen=True)
class _Checked:
    """An agent of a method's own, whose mistakes are named."""

    agent: Agent
    action_dim: int
    where: str

    def reset(self) -> None:
        try:
            self.agent.reset()
        except Exception as error:
            raise MethodError(f"{self.where}: `reset` raised {type(error).__name__}: {error}") from error

    def act(self, obs: npt.NDArray[np.float64]) -> npt.NDArray[np.floating]:
        try:
            action = np.asarray(self.agent.act(obs))  # its own dtype: Meta-World computes with float32 as such
        except Exception as error:
            raise MethodError(f"{self.where}: `act` raised {type(error).__name__}: {error}") from error
        if action.shape != (self.action_dim,) or action.dtype.kind not in "fiu" or not np.isfinite(action).all():
            raise MethodError(f"{self.where}: `act` must return {self.action_dim} finite numbers, not {action}")
        return action


@lru_cache(maxsize=10)
def _open(suite: str, task: str, *identity: str) -> TaskSimulator:
    """Simulators stay open between jobs of one process (about 40 MB each); another `identity` opens another."""
    loaded = load_suite(suite)
    return simulator_of(loaded).open_task(loaded.task(task))


def episode_jobs(suite: str, task: str, agents: Agents, layouts: tuple[tuple[str, int], ...]) -> list[EpisodeJob]:
    """Cut one task's candidates into jobs, in order."""
    jobs = []
    for start in range(0, len(agents), CHUNK):
        indices = tuple(range(start, min(start + CHUNK, len(agents))))
        if isinstance(agents, FlatPolicies):  # send only the parameters that the job needs
            part = FlatPolicies(agents.spec, agents.params[list(indices)])
            jobs.append(EpisodeJob(suite, task, part, tuple(range(len(indices))), layouts))
        else:
            jobs.append(EpisodeJob(suite, task, agents, indices, layouts))
    return jobs
