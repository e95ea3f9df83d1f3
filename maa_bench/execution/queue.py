"""Jobs that wait, numbered, and what becomes of them: what every executor keeps in the same way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from maa_bench.execution import Finished, Job, JobLostError, Lost


@dataclass
class Task:
    """A job on its way.

    Attributes:
        index: its number.
        job: the job.
        attempts: how often it was started.
        step: the step that it is in, as it reported; "" before the first.
        since: when that step began, on this process's monotonic clock; infinity before the first.
    """

    index: int
    job: Job
    attempts: int = 0
    step: str = ""
    since: float = inf

    def start(self) -> None:
        """It is given to a worker."""
        self.attempts, self.step, self.since = self.attempts + 1, "", inf

    def enter(self, step: str) -> None:
        """It says that it is in this step now."""
        self.step, self.since = step, time.monotonic()


class JobQueue:
    """The jobs of one `Executor.run` that are not started; see there for the arguments."""

    def __init__(self, jobs: Sequence[Job], finished: Finished, lost: Lost) -> None:
        self.waiting = deque(Task(index, job) for index, job in enumerate(jobs))
        self._count = len(jobs)
        self._finished, self._lost = finished, lost

    def finish(self, task: Task, result: Any) -> None:
        """A job has a result."""
        self._add(self._finished(task.index, result))

    def lose(self, task: Task, error: JobLostError) -> None:
        """A job will have none."""
        self._add(self._lost(task.index, error))

    def _add(self, jobs: Iterable[Job]) -> None:
        """To the front, in order: what a result leads to is done before what has not begun, and its memory freed."""
        new = [Task(self._count + i, job) for i, job in enumerate(jobs)]
        self._count += len(new)
        self.waiting.extendleft(reversed(new))
