"""Runs jobs on this machine: one process a core, or in this very process for one worker.

A job is a picklable callable that is given a way to report progress. What it computes may not depend on where or
beside what it runs, so every job has one BLAS thread and one torch thread, in a worker and here alike.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from maa_bench.errors import MaaBenchError

Report = Callable[[str, int, int], None]
"""Called by a job with (stage, done, total)."""

Job = Callable[[Report], Any]

Finished = Callable[[int, Any], Iterable[Job]]
"""Called with a job's index and result; what it returns is run too, numbered on from the last job."""

JOB_THREADS = 1
"""Threads of linear algebra in a job, on every machine: another number sums in another order."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerLostError(MaaBenchError):
    """A worker process died."""


REPORT_EVERY = 0.25
"""Seconds between two looks at what running jobs report."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Give BLAS, OpenMP and torch `count` threads, and put things back as they were."""
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else available_cores()
    with threadpool_limits(limits=count), _thread_variables(count):
        if torch:
            torch.set_num_threads(count)
        try:
            yield
        finally:
            torch = sys.modules.get("torch")
            if torch:
                torch.set_num_threads(before)


@contextmanager
def _thread_variables(count: int) -> Iterator[None]:
    """Libraries that are loaded meanwhile (torch is loaded by the first job that needs it) get `count` threads too."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_reports: Any = None
"""In a worker process: the queue to the parent."""


def _start_worker(reports: Any) -> None:
    global _reports
    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # Set before numpy and torch are imported by the first job.
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(JOB_THREADS)))


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Workers are started whole or not at all, and never see Ctrl-C; ours is delivered afterwards.

    A child inherits the blocked signal, so it is deaf even while it still imports. Here the mask alone would not do:
    it holds for this thread only, and the kernel may hand the signal to another one, for which Python then raises
    KeyboardInterrupt here, between the start of a worker and the message that tells it what to be.
    """
    if threading.current_thread() is not threading.main_thread():  # Ctrl-C is raised in the main thread only
        yield
        return
    caught: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if caught:
            signal.raise_signal(signal.SIGINT)


def _run_in_worker(index: int, job: Job) -> Any:
    return _run(job, lambda stage, done, total: _reports.put((index, stage, done, total)))


def _run(job: Job, report: Report) -> Any:
    with warnings.catch_warnings(), threads(JOB_THREADS):
        # Meta-World's experts warn that their actions get clipped; the user can do nothing about it.
        warnings.filterwarnings("ignore", message="Constant\\(s\\) may be too high")
        return job(report)


class LocalExecutor:
    """Runs lists of jobs; keeps its worker processes between lists. Use as a context manager.

    Args:
        workers: number of processes; default: one a core. One worker runs the jobs in this process.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or available_cores()
        self._pool: ProcessPoolExecutor | None = None
        self._reports: Any = None
        self._others: set[multiprocessing.process.BaseProcess] = set()  # children that are not ours to end

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        if kind is not None:  # interrupted or failed: do not wait for jobs that nobody wants
            self._pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - self._others:
                child.terminate()
        else:
            self._pool.shutdown()
        self._pool = None

    def run(
        self,
        jobs: Sequence[Job],
        finished: Finished,
        reported: Callable[[int, str, int, int], None] = lambda *_: None,
    ) -> None:
        """Run every job, and those that `finished` adds, in order as far as workers are free.

        Args:
            jobs: the jobs.
            finished: called here, in order of completion.
            reported: called here with (job index, stage, done, total).

        Raises:
            WorkerLostError: a worker process was killed.
            Whatever a job raises.
        """
        waiting = deque(enumerate(jobs))
        count = len(jobs)

        def finish(index: int, result: Any) -> None:
            nonlocal count
            for job in finished(index, result):
                waiting.append((count, job))
                count += 1

        if self.workers == 1:
            while waiting:
                index, job = waiting.popleft()
                finish(index, _run(job, lambda *args, index=index: reported(index, *args)))
            return
        try:
            self._run_in_pool(waiting, finish, reported)
        except BrokenProcessPool:
            raise WorkerLostError(
                "a worker process died (killed, or out of memory?); run the same command again: finished work is kept"
            ) from None

    def _run_in_pool(
        self,
        waiting: deque[tuple[int, Job]],
        finish: Callable[[int, Any], None],
        reported: Callable[[int, str, int, int], None],
    ) -> None:
        if self._pool is None:
            # spawn: a forked child would inherit torch's and numba's threads in an unknown state.
            context = multiprocessing.get_context("spawn")
            self._others = set(multiprocessing.active_children())
            self._reports = context.SimpleQueue()  # starts multiprocessing's tracker, which would undo our mask later
            self._pool = ProcessPoolExecutor(self.workers, context, _start_worker, (self._reports,))
        running: dict[Future[Any], int] = {}
        while waiting or running:
            # One job more than workers: the next is at hand when one ends, and long ones still go first.
            while waiting and len(running) <= self.workers:
                index, job = waiting.popleft()
                with _ctrl_c_later():
                    running[self._pool.submit(_run_in_worker, index, job)] = index
            done, _ = wait(running, timeout=REPORT_EVERY, return_when=FIRST_COMPLETED)
            while not self._reports.empty():
                reported(*self._reports.get())
            for future in done:
                finish(running.pop(future), future.result())
