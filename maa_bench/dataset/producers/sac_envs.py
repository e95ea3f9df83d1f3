"""The environments of n runs, stepped together: in processes of their own, or here.

What comes back does not depend on the number of processes. A process ends when its pipe does, so that none outlives
the one that learns, however that ends.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench.errors import DataError
from maa_bench.execution.threads import JOB_THREADS, threads
from maa_bench.policy import Float32
from maa_bench.simulators import EpisodeError, TaskSimulator, simulator_of
from maa_bench.suite import Suite, load_suite

REWARD, DIVERGED = -2, -1
"""Columns of what a step gives, after the observation."""

Command = tuple[str, Mapping[int, Any]]
"""What to do with which environments: ("reset", layouts) or ("step", actions)."""


class Environments:
    """One environment a run. Use as a context manager.

    Args:
        suite: the suite.
        tasks: of each run.
        workers: processes, at most one a run; 0: none, the environments are stepped in this process.

    Raises:
        DataError: from any call, when a process has died.
    """

    def __init__(self, suite: Suite, tasks: Sequence[str], workers: int) -> None:
        self._suite, self._tasks = suite, tasks
        self._width = suite.policy.obs_dim + 2
        self._here: _Held | None = None
        self._workers: list[tuple[Any, Connection, list[int]]] = []
        self._asked: list[tuple[Connection, Any]] = []
        shares = [[*range(i, len(tasks), workers)] for i in range(min(workers, len(tasks)))]
        if not shares:
            self._here = _Held(suite, dict(enumerate(tasks)))
        context = multiprocessing.get_context("spawn")  # as `maa_bench.execution.worker`
        for share in shares:
            pipe, theirs = context.Pipe()
            held = {run: tasks[run] for run in share}
            process = context.Process(target=_serve, args=(theirs, suite.source, held), daemon=True)
            process.start()
            theirs.close()
            self._workers.append((process, pipe, share))

    def __enter__(self) -> Environments:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, pipe, _ in self._workers:
            pipe.close()
        for process, *_ in self._workers:
            process.join()

    def reset(self, layouts: Mapping[int, int]) -> Float32:
        """Put each run's environment into one of its task's train layouts; observations (len(layouts), obs_dim)."""
        self._send("reset", layouts)
        return self._receive(layouts)[:, :REWARD]

    def send(self, actions: Mapping[int, Float32]) -> None:
        """Begin a step of these runs' environments; `receive` ends it."""
        self._send("step", actions)
        self._stepped = actions

    def receive(self) -> tuple[Float32, Float32, npt.NDArray[np.bool_]]:
        """What the step gave, in the order of `send`'s actions.

        Returns:
            observations (n, obs_dim), rewards (n,), and whether a simulation diverged (n,), which must be reset.
        """
        rows = self._receive(self._stepped)
        return rows[:, :REWARD], rows[:, REWARD], rows[:, DIVERGED] > 0

    def _send(self, what: str, of: Mapping[int, Any]) -> None:
        if self._here is not None:
            self._answer = self._here.do((what, of))
            return
        for process, pipe, share in self._workers:
            mine = {run: of[run] for run in share if run in of}
            if mine:
                with _death_told(process):
                    pipe.send((what, mine))

    def _receive(self, of: Mapping[int, Any]) -> Float32:
        if self._here is not None:
            return self._answer
        rows = np.empty((len(of), self._width), np.float32)
        place = {run: i for i, run in enumerate(of)}
        for process, pipe, share in self._workers:
            mine = [place[run] for run in share if run in place]
            if mine:
                with _death_told(process):
                    answer = pipe.recv()
                if isinstance(answer, Exception):
                    raise answer
                rows[mine] = answer
        return rows


@contextmanager
def _death_told(process: Any) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        process.join(timeout=1)
        raise DataError(
            f"a process that steps environments ended (exit code {process.exitcode}): run the same command again, "
            "training goes on where its state was last saved; if it was out of memory, train fewer runs together"
        ) from error


class _Held:
    """Environments of some runs, in this process."""

    def __init__(self, suite: Suite, tasks: Mapping[int, str]) -> None:
        simulator = simulator_of(suite)
        self._width = suite.policy.obs_dim + 2
        self._layouts = {run: suite.layouts(task, "train") for run, task in tasks.items()}
        self._simulators: dict[int, TaskSimulator] = {
            run: simulator.open_task(suite.task(task)) for run, task in tasks.items()
        }

    def do(self, command: Command) -> Float32:
        """Rows (n, obs_dim + 2): observation, reward, whether the simulation diverged (the rest is then zero)."""
        what, of = command
        rows = np.zeros((len(of), self._width), np.float32)
        for row, (run, value) in zip(rows, of.items(), strict=True):
            simulator = self._simulators[run]
            if what == "reset":
                row[:REWARD] = simulator.reset(self._layouts[run][value])
                continue
            try:
                row[:REWARD], _ = simulator.step(value)
                row[REWARD] = simulator.reward
            except EpisodeError:
                row[DIVERGED] = 1.0
        return rows


def _serve(pipe: Connection, suite: str, tasks: Mapping[int, str]) -> None:
    """Serve commands until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that learns, whose end is ours
    with threads(JOB_THREADS), suppress(OSError):
        try:
            held = _Held(load_suite(suite), tasks)
            while True:
                pipe.send(held.do(pipe.recv()))
        except EOFError:
            return
        except Exception as error:
            pipe.send(error)
