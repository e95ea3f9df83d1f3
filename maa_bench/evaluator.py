"""Rolling candidates out: every candidate on every layout asked for, a fixed allotment of episodes, early stop.

An episode ends at its first success, which leaves any-step success untouched. Nothing here draws random numbers, and
a job's result does not depend on how candidates are cut into jobs or where the jobs run.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from maa_bench.conditions import STANDARD, Conditions, Start
from maa_bench.episodes import FailedEpisode
from maa_bench.errors import one_line
from maa_bench.execution import Report
from maa_bench.forward import PackedPolicy
from maa_bench.method import Agent, Agents, FlatPolicies
from maa_bench.novelty import PATH_STEPS
from maa_bench.policy import Float32, PolicySpec
from maa_bench.resources import peak_mb, restart_peak
from maa_bench.simulators import EpisodeError, Float64, TaskSimulator, opened_task, step_until_success, under
from maa_bench.suite import load_suite

VERSION = 3
"""Part of every cell's identity; raise it when an episode could come out differently."""

CHUNK = 4
"""Candidates a job."""

_PATH_START = ("test", 0)
"""From where the paths of flat policies are recorded, by jobs that go there."""


@dataclass(frozen=True)
class Episodes:
    """What a job measured.

    Attributes:
        first_success: (n_candidates, n_layouts) int64, first-success steps, -1 for none.
        failures: episodes that broke off.
        steps: environment steps taken.
        seconds: wall clock.
        peak_mb: peak memory of the process meanwhile, in MB (10^6 bytes).
        paths: (n_candidates, steps, obs_dim) float32, what flat policies saw first on the first test layout, see
            `maa_bench.novelty`; NaN where an episode broke off; None for other agents and in jobs without that layout.
            Its steps are not counted.
    """

    first_success: npt.NDArray[np.int64]
    failures: tuple[FailedEpisode, ...]
    steps: int
    seconds: float
    peak_mb: float
    paths: Float32 | None = None


@dataclass(frozen=True)
class EpisodeJob:
    """Some candidates of one task on all its layouts; picklable, runs anywhere.

    Attributes:
        suite: name of the suite, or path of its TOML file.
        task: task name.
        agents: candidates; those at `indices` are run.
        indices: which of `agents`.
        layouts: (layout set, number of its first layouts) in order.
        candidates: their numbers in the cell; default: `indices`.
        conditions: which frozen layouts are "test", and the dynamics of every layout.
    """

    suite: str
    task: str
    agents: Agents
    indices: tuple[int, ...]
    layouts: tuple[tuple[str, int], ...]
    candidates: tuple[int, ...] = ()
    conditions: Conditions = STANDARD

    def __post_init__(self) -> None:
        if not self.candidates:
            object.__setattr__(self, "candidates", self.indices)

    def __call__(self, report: Report) -> Episodes:
        restart_peak()
        started = time.monotonic()
        suite = load_suite(self.suite)
        names = layout_names(self.layouts)
        starts = [self.conditions.start(suite, self.task, *name) for name in names]
        first = np.full((len(self.indices), len(names)), -1, np.int64)
        failures: list[FailedEpisode] = []
        total = 0
        paths = None
        if isinstance(self.agents, FlatPolicies) and _PATH_START in names:
            steps = min(PATH_STEPS, suite.horizon)
            paths = np.full((len(self.indices), steps, suite.policy.obs_dim), np.nan, np.float32)
        with under(opened_task(suite, self.task)) as simulator:
            for row, (index, candidate) in enumerate(zip(self.indices, self.candidates, strict=True)):
                report(step_name(candidate), 0, 0)
                agent = _agent(self.agents, index, suite.policy)
                for column, (name, start) in enumerate(zip(names, starts, strict=True)):
                    simulator.set_dynamics(start.dynamics)
                    try:
                        first[row, column], steps = _episode(simulator, agent, start.layout, suite.horizon)
                    except EpisodeError as error:
                        failures.append(FailedEpisode(candidate, *name, one_line(error.reason)))
                        steps = error.steps
                    total += steps
                if paths is not None and isinstance(agent, PackedPolicy):
                    _record_path(simulator, agent, starts[names.index(_PATH_START)], paths[row])
        return Episodes(first, tuple(failures), total, time.monotonic() - started, peak_mb(), paths)

    def without(self, candidates: set[int]) -> EpisodeJob | None:
        """The same job but for some candidates; None if nothing is left."""
        kept = [i for i, number in enumerate(self.candidates) if number not in candidates]
        if not kept:
            return None
        indices, numbers = tuple(self.indices[i] for i in kept), tuple(self.candidates[i] for i in kept)
        return replace(self, indices=indices, candidates=numbers)


def layout_names(layouts: tuple[tuple[str, int], ...]) -> list[tuple[str, int]]:
    """(layout set, index) of every column of a cell."""
    return [(name, i) for name, count in layouts for i in range(count)]


def step_name(candidate: int) -> str:
    """How an `EpisodeJob` reports which candidate it is busy with."""
    return f"candidate {candidate}"


def _episode(simulator: TaskSimulator, agent: Agent, layout: Float64, horizon: int) -> tuple[int, int]:
    if isinstance(agent, PackedPolicy):
        return simulator.first_success(agent, layout, horizon)
    return step_until_success(simulator, agent, layout, horizon)


def _record_path(simulator: TaskSimulator, policy: PackedPolicy, start: Start, path: Float32) -> None:
    """Write the first observations of an episode: (steps, obs_dim); leave them alone if it breaks off."""
    simulator.set_dynamics(start.dynamics)
    with contextlib.suppress(EpisodeError):
        path[:] = simulator.trajectory(policy, start.layout, len(path), 0, len(path)).observations[: len(path)]


def _agent(agents: Agents, index: int, spec: PolicySpec) -> Agent:
    try:
        agent = agents.agent(index)
    except (Exception, SystemExit) as error:
        return _Unmade(f"making the agent raised {type(error).__name__}: {error}")
    if not isinstance(agent, PackedPolicy):
        return _Checked(agent, spec.action_dim)
    sizes = int(agent.sizes[0]), int(agent.sizes[-1])
    if sizes != (spec.obs_dim, spec.action_dim):  # the compiled loop trusts them
        return _Unmade(f"its policy maps {sizes[0]} to {sizes[1]} numbers, not {spec.obs_dim} to {spec.action_dim}")
    return agent


@dataclass
class _Unmade:
    """In the place of an agent that could not be made."""

    reason: str

    def reset(self) -> None:
        raise EpisodeError(self.reason)

    def act(self, obs: Float64) -> Float64:
        raise EpisodeError(self.reason)


@dataclass
class _Checked:
    """An agent of a method's own, whose mistakes are named and end the episode."""

    agent: Agent
    action_dim: int
    steps: int = field(default=0, init=False)

    def reset(self) -> None:
        self.steps = 0
        try:
            self.agent.reset()
        except (Exception, SystemExit) as error:
            raise EpisodeError(f"`reset` raised {type(error).__name__}: {error}") from error

    def act(self, obs: Float64) -> npt.NDArray[np.floating]:
        try:
            action = np.asarray(self.agent.act(obs))  # its own dtype: Meta-World computes with float32 as such
        except (Exception, SystemExit) as error:
            raise EpisodeError(
                f"`act` raised {type(error).__name__} in step {self.steps + 1}: {error}", self.steps
            ) from error
        if action.shape != (self.action_dim,) or action.dtype.kind not in "fiu":
            got = f"shape {action.shape}" if action.dtype.kind in "fiu" else repr(action)[:80]
            raise EpisodeError(f"`act` must return {self.action_dim} numbers, not {got}", self.steps)
        self.steps += 1
        return action


def episode_jobs(
    suite: str, task: str, agents: Agents, layouts: tuple[tuple[str, int], ...], conditions: Conditions = STANDARD
) -> list[EpisodeJob]:
    """Cut one task's candidates into jobs, in order."""
    jobs = []
    for start in range(0, len(agents), CHUNK):
        numbers = tuple(range(start, min(start + CHUNK, len(agents))))
        if isinstance(agents, FlatPolicies):  # send only the parameters that the job needs
            part = FlatPolicies(agents.spec, agents.params[list(numbers)])
            jobs.append(EpisodeJob(suite, task, part, tuple(range(len(numbers))), layouts, numbers, conditions))
        else:
            jobs.append(EpisodeJob(suite, task, agents, numbers, layouts, numbers, conditions))
    return jobs
