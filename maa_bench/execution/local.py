"""Runs jobs on this machine: one process a core, or in this very process for one worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait

from maa_bench.execution import (
    ATTEMPTS,
    Finished,
    Job,
    JobTimeoutError,
    Lost,
    Reported,
    WorkerLostError,
    WorkerStartError,
    raise_lost,
)
from maa_bench.execution.queue import JobQueue, Task
from maa_bench.execution.threads import available_cores, run_job
from maa_bench.execution.worker import Worker

LOOK_EVERY = 1.0
"""Seconds between two looks whether workers live."""


class LocalExecutor:
    """Runs lists of jobs; keeps its worker processes between lists. Use as a context manager.

    Args:
        workers: number of processes; default: one a core. One worker runs the jobs in this process, unless they
            have a time limit, which only another process can be held to.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or available_cores()
        self._idle: list[Worker] = []
        self._busy: dict[Connection, tuple[Worker, Task]] = {}

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        workers = [*self._idle, *(worker for worker, _ in self._busy.values())]
        self._idle, self._busy = [], {}
        if kind is not None:  # interrupted or failed: do not wait for jobs that nobody wants
            for worker in workers:
                worker.kill()
            return
        for worker in workers:
            worker.close()
        for worker in workers:
            worker.join()

    def run(
        self,
        jobs: Sequence[Job],
        finished: Finished,
        reported: Reported = lambda *_: None,
        lost: Lost = raise_lost,
        step_timeout: float | None = None,
    ) -> None:
        """See `maa_bench.execution.Executor`."""
        campaign = JobQueue(jobs, finished, lost)
        if self.workers == 1 and step_timeout is None:
            while campaign.waiting:
                task = campaign.waiting.popleft()
                campaign.finish(task, run_job(task.job, lambda *args, index=task.index: reported(index, *args)))
            return
        while campaign.waiting or self._busy:
            self._assign(campaign)
            for pipe in wait(list(self._busy), timeout=self._until_next_look(step_timeout)):
                assert isinstance(pipe, Connection)
                self._receive(pipe, campaign, reported)
            self._bury_dead_ones(campaign)
            self._end_late_ones(campaign, step_timeout)

    def _assign(self, campaign: JobQueue) -> None:
        while campaign.waiting and len(self._busy) < self.workers:
            task = campaign.waiting.popleft()
            worker = self._idle.pop() if self._idle else Worker()
            task.start()
            self._busy[worker.pipe] = worker, task
            try:
                worker.send(task.job)
            except OSError:
                self._died(worker.pipe, campaign)

    def _receive(self, pipe: Connection, campaign: JobQueue, reported: Reported) -> None:
        worker, task = self._busy[pipe]
        try:
            kind, *content = pipe.recv()
        except (EOFError, OSError):
            self._died(pipe, campaign)
            return
        if kind == "ready":
            worker.ready = True
            return
        if kind == "report":
            stage, done, total = content
            if not total:
                task.enter(stage)
            reported(task.index, stage, done, total)
            return
        del self._busy[pipe]
        self._idle.append(worker)
        if kind == "error":
            raise content[0]
        self._assign(campaign)  # before this process does something about the result
        campaign.finish(task, content[0])

    def _died(self, pipe: Connection, campaign: JobQueue) -> None:
        worker, task = self._busy.pop(pipe)
        worker.kill()
        exitcode = worker.exitcode or 0
        if not worker.ready and (exitcode >= 0 or task.attempts == ATTEMPTS):
            raise WorkerStartError.at(worker.exitcode)
        if task.attempts < ATTEMPTS:
            campaign.waiting.appendleft(task)
        else:
            campaign.lose(task, WorkerLostError.at(task.step))

    def _bury_dead_ones(self, campaign: JobQueue) -> None:
        """A pipe does not end with its worker while a process that the job has started holds it, too."""
        for pipe, (worker, _) in list(self._busy.items()):
            if worker.exitcode is not None and not pipe.poll():
                self._died(pipe, campaign)

    def _until_next_look(self, step_timeout: float | None) -> float:
        if step_timeout is None:
            return LOOK_EVERY
        oldest = min((task.since for _, task in self._busy.values()), default=time.monotonic())
        return max(0.0, min(LOOK_EVERY, oldest + step_timeout - time.monotonic()))

    def _end_late_ones(self, campaign: JobQueue, step_timeout: float | None) -> None:
        if step_timeout is None:
            return
        now = time.monotonic()
        for pipe, (worker, task) in list(self._busy.items()):
            if now - task.since >= step_timeout and not pipe.poll():
                del self._busy[pipe]
                worker.kill()
                campaign.lose(task, JobTimeoutError.at(task.step, step_timeout))
