"""Runs jobs on this machine: one process a core, or in this very process for one worker.

A job is a picklable callable without arguments. What it computes may not depend on where or beside what it runs, so
every job has one BLAS thread and one torch thread, in a worker and here alike.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from maa_bench.errors import MaaBenchError

Job = Callable[[], Any]


class WorkerLostError(MaaBenchError):
    """A worker process died."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Give BLAS, OpenMP and torch `count` threads, and put things back as they were."""
    from threadpoolctl import threadpool_limits

    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    with threadpool_limits(limits=count):
        if torch:
            torch.set_num_threads(count)
        try:
            yield
        finally:
            if torch and before:
                torch.set_num_threads(before)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # Set before numpy and torch are imported by the first job.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def _run(job: Job) -> Any:
    with warnings.catch_warnings():
        # Meta-World's experts warn that their actions get clipped; the user can do nothing about it.
        warnings.filterwarnings("ignore", message="Constant\\(s\\) may be too high")
        if "torch" not in sys.modules and getattr(job, "needs_torch", False):
            import torch  # noqa: F401
        with threads(1):
            return job()


class LocalExecutor:
    """Runs lists of jobs; keeps its worker processes between lists. Use as a context manager."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or available_cores()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is None:
            return
        if kind is not None:  # interrupted or failed: do not wait for jobs that nobody wants
            self._pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
        else:
            self._pool.shutdown()
        self._pool = None

    def run(self, jobs: Sequence[Job], finished: Callable[[int, Any], None]) -> None:
        """Run every job; `finished(index, result)` is called here, in order of completion.

        Raises:
            WorkerLostError: a worker process was killed.
            Whatever a job raises.
        """
        if self.workers == 1 or len(jobs) == 1:
            for index, job in enumerate(jobs):
                finished(index, _run(job))
            return
        try:
            self._run_in_pool(jobs, finished)
        except BrokenProcessPool:
            raise WorkerLostError(
                "a worker process died (killed, or out of memory?); run the same command again: finished work is kept"
            ) from None

    def _run_in_pool(self, jobs: Sequence[Job], finished: Callable[[int, Any], None]) -> None:
        if self._pool is None:
            # spawn: a forked child would inherit torch's and numba's threads in an unknown state.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start_worker)
        pool = self._pool
        waiting = list(enumerate(jobs))[::-1]
        running: dict[Future[Any], int] = {}
        while waiting or running:
            while waiting and len(running) < 2 * self.workers:
                index, job = waiting.pop()
                running[pool.submit(_run, job)] = index
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                finished(running.pop(future), future.result())
