"""The ways to evaluate that `maa_bench.bench` compares: each runs the same episodes and says what came of them.

All but `naive` and `stock_numpy` act through the package's own forward pass, so that their actions, and with them
their episodes, are the same to the last bit; torch and BLAS add in another order, and their episodes are counted with
their own steps.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from maa_bench.evaluator import episode_jobs
from maa_bench.execution import Job
from maa_bench.execution.local import LocalExecutor
from maa_bench.forward import PackedPolicy
from maa_bench.method import FlatPolicies
from maa_bench.policy import Float32, PolicySpec
from maa_bench.simulators import Float64, TaskSimulator, simulator_of, step_until_success
from maa_bench.suite import Suite, load_suite

LAYOUT_SET = "test"


@dataclass(frozen=True)
class Work:
    """Some policies on the first layouts of one task: the episodes that every way runs."""

    suite: Suite
    task: str
    policies: FlatPolicies
    n_layouts: int

    @property
    def layouts(self) -> Float64:
        """(n_layouts, layout_dim)."""
        return self.suite.layouts(self.task, LAYOUT_SET)[: self.n_layouts]

    @cached_property
    def packed(self) -> list[PackedPolicy]:
        """The policies, ready to act."""
        return [PackedPolicy(self.policies.spec, params) for params in self.policies.params]

    @property
    def episodes(self) -> list[tuple[int, int]]:
        """(policy, layout) of every episode, in order."""
        return [(policy, layout) for policy in range(len(self.policies)) for layout in range(self.n_layouts)]


@dataclass(frozen=True)
class Lap:
    """What came of all episodes: (n_policies, n_layouts) int64 first successes, -1 for none; steps; seconds of wall
    time; and of these inside jobs, summed over workers."""

    first_success: npt.NDArray[np.int64]
    steps: int
    seconds: float
    in_jobs: float = 0.0


def _lap(work: Work, roll: Any) -> Lap:
    """Run the episodes one by one: `roll(policy, layout)` returns (first success or -1, steps)."""
    started = time.perf_counter()
    ended = [roll(*episode) for episode in work.episodes]
    seconds = time.perf_counter() - started
    first = np.array([first for first, _ in ended], np.int64).reshape(-1, work.n_layouts)
    return Lap(first, sum(steps for _, steps in ended), seconds)


def stock_simulator(suite: Suite, task: str) -> TaskSimulator:
    """The task without a fast path."""
    simulator = simulator_of(suite)
    opened: TaskSimulator = getattr(simulator, "open_stock", simulator.open_task)(suite.task(task))
    return opened


def part_of(suite: Suite, name: str) -> Any | None:
    """A module of the suite's simulator that only the benchmark of speed uses, by its last name; None without one.

    These are `naive` (a class `NaiveLoop` and a function `torch_policy`) and `physics` (`maa_bench.bench.limit`).
    """
    simulator: Any = simulator_of(suite)
    path = f"{simulator.__name__}.{name}"
    if not hasattr(simulator, "__path__") or find_spec(path) is None:  # a single file has no modules inside
        return None
    return importlib.import_module(path)


class NumpyPolicy:
    """One policy in numpy, one row at a time: the usual light way. An `Agent` without state."""

    def __init__(self, spec: PolicySpec, params: Float32) -> None:
        values = [params[t.start : t.stop].reshape(t.shape) for t in spec.tensors]
        self._layers = list(zip(values[0:-2:2], values[1:-2:2], (*spec.activations, "tanh"), strict=True))

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self, obs: Float64) -> Float32:
        """tanh(mean): (obs_dim,) to (action_dim,) float32."""
        x = obs.astype(np.float32)
        for weight, bias, activation in self._layers:
            x = weight @ x + bias
            if activation == "elu":
                x = np.where(x < 0.0, np.expm1(x), x)
            elif activation == "relu":
                x = np.maximum(x, 0.0)
            else:
                x = np.tanh(x)
        return x


class StockNumpy:
    """The simulator's plain step loop with a numpy policy."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._simulator = stock_simulator(work.suite, work.task)
        self._policies = [NumpyPolicy(work.policies.spec, params) for params in work.policies.params]

    def run(self) -> Lap:
        """All episodes."""
        work = self._work
        return _lap(
            work,
            lambda policy, layout: step_until_success(
                self._simulator, self._policies[policy], work.layouts[layout], work.suite.horizon
            ),
        )

    def close(self) -> None:
        """Nothing is open."""


class Naive:
    """`gym.make` and torch, for simulators with a module `naive`."""

    def __init__(self, work: Work) -> None:
        naive: Any = part_of(work.suite, "naive")
        self._work = work
        self._loop = naive.NaiveLoop(work.suite.task(work.task), work.layouts)
        self._policies = [naive.torch_policy(work.policies.spec, params) for params in work.policies.params]

    def run(self) -> Lap:
        """All episodes."""
        horizon = self._work.suite.horizon
        return _lap(
            self._work,
            lambda policy, layout: self._loop.first_success(self._policies[policy], layout, horizon),
        )

    def close(self) -> None:
        """Close the environment."""
        self._loop.close()


class LayoutEnv(gymnasium.Env[Float64, Float32]):
    """A task's plain simulator as a gymnasium environment that goes through some layouts, one an episode.

    An episode is terminated by success and truncated at the horizon. No rewards, no info: less work than the stock
    environment gives a vector environment to carry.
    """

    def __init__(self, suite: str, task: str, layouts: Float64) -> None:
        loaded = load_suite(suite)
        spec = loaded.policy
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (spec.obs_dim,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (spec.action_dim,), np.float32)
        self._simulator = stock_simulator(loaded, task)
        self._layouts, self._horizon = layouts, loaded.horizon
        self._next, self._steps = 0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float64, dict[str, Any]]:
        """The next layout; the first one again with `options={"again": True}`."""
        if options and options.get("again"):
            self._next = 0
        obs = self._simulator.reset(self._layouts[self._next % len(self._layouts)])
        self._next, self._steps = self._next + 1, 0
        return obs, {}

    def step(self, action: Float32) -> tuple[Float64, float, bool, bool, dict[str, Any]]:
        """One control step."""
        obs, success = self._simulator.step(action)
        self._steps += 1
        return obs, 0.0, success, self._steps == self._horizon, {}


class Vector:
    """A gymnasium vector environment over the plain simulator; every sub-environment has episodes of its own.

    Steps that a sub-environment takes after its last episode, while others are busy, are not counted. To keep them
    few, episodes are dealt out by their known lengths, the longest first.

    Args:
        work: the episodes. kind: `sync` or `async`. n_envs: sub-environments.
        lengths: steps of each episode, in order of `work.episodes`.
    """

    def __init__(self, work: Work, kind: str, n_envs: int, lengths: Sequence[int]) -> None:
        self._work = work
        self._queues = deal(lengths, n_envs)
        layouts = [np.array([work.layouts[work.episodes[i][1]] for i in queue]) for queue in self._queues]
        make = [partial(LayoutEnv, work.suite.source, work.task, own) for own in layouts]
        mode = gymnasium.vector.AutoresetMode.SAME_STEP
        self._envs: gymnasium.vector.VectorEnv[Any, Any, Any] = (
            gymnasium.vector.SyncVectorEnv(make, autoreset_mode=mode)
            if kind == "sync"
            # Spawned, as our own workers are: a fork would take this process's threads along.
            else gymnasium.vector.AsyncVectorEnv(make, autoreset_mode=mode, context="spawn")
        )

    def run(self) -> Lap:
        """All episodes. The policies act row by row in compiled code, which is faster than one batched product."""
        work, queues = self._work, self._queues
        first = np.full((len(work.policies), work.n_layouts), -1, np.int64)
        place, steps, total = [0] * len(queues), [0] * len(queues), 0
        started = time.perf_counter()
        observations, _ = self._envs.reset(options={"again": True})
        actions = np.zeros((len(queues), work.policies.spec.action_dim), np.float32)
        while any(at < len(queue) for at, queue in zip(place, queues, strict=True)):
            for i, queue in enumerate(queues):
                if place[i] < len(queue):
                    actions[i] = work.packed[work.episodes[queue[place[i]]][0]].act(observations[i])
            observations, _, success, truncated, _ = self._envs.step(actions)
            for i, queue in enumerate(queues):
                if place[i] == len(queue):
                    continue
                steps[i] += 1
                total += 1
                if success[i] or truncated[i]:
                    first[work.episodes[queue[place[i]]]] = steps[i] if success[i] else -1
                    place[i], steps[i] = place[i] + 1, 0
        return Lap(first, total, time.perf_counter() - started)

    def close(self) -> None:
        """End the sub-environments."""
        self._envs.close()


def deal(lengths: Sequence[int], n: int) -> list[list[int]]:
    """Indices of jobs in at most n queues, none empty: the longest first, each to the queue that is shortest so far."""
    queues: list[list[int]] = [[] for _ in range(min(n, len(lengths)))]
    for job in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        min(queues, key=lambda queue: sum(lengths[i] for i in queue)).append(job)
    return queues


class Ours:
    """The public path: `episode_jobs` in a `LocalExecutor`, bookkeeping included.

    Args:
        work: the episodes. executor: whose workers run them.
        laps: how often, in one list of jobs, so that there are jobs for all workers; every lap must come out alike.
    """

    def __init__(self, work: Work, executor: LocalExecutor, laps: int) -> None:
        params = np.concatenate([work.policies.params] * laps)
        agents = FlatPolicies(work.policies.spec, params)
        self._jobs = episode_jobs(work.suite.source, work.task, agents, ((LAYOUT_SET, work.n_layouts),))
        self._executor = executor

    def run(self) -> Lap:
        """All episodes of all laps: (laps * n_policies, n_layouts) first successes."""
        results: dict[int, Any] = {}

        def finished(index: int, result: Any) -> Iterable[Job]:
            results[index] = result
            return ()

        started = time.perf_counter()
        self._executor.run(self._jobs, finished)
        seconds = time.perf_counter() - started
        parts = [results[i] for i in range(len(self._jobs))]
        first = np.concatenate([part.first_success for part in parts])
        return Lap(first, sum(part.steps for part in parts), seconds, sum(part.seconds for part in parts))

    def close(self) -> None:
        """The executor is the caller's."""
