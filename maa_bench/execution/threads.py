"""One thread of linear algebra in every job, on every machine: another number sums in another order."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from maa_bench.execution import Job, Report

JOB_THREADS = 1
"""Threads of BLAS, OpenMP and torch in a job."""

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
    before = {name: os.environ.get(name) for name in _VARIABLES}
    limit_libraries_to_come(count)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def limit_libraries_to_come(count: int) -> None:
    """Libraries that this process loads from now on get `count` threads."""
    os.environ.update(dict.fromkeys(_VARIABLES, str(count)))


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_job(job: Job, report: Report) -> Any:
    """Call a job as every executor must: with `JOB_THREADS` threads."""
    with warnings.catch_warnings(), threads(JOB_THREADS):
        # Meta-World's experts warn that their actions get clipped; the user can do nothing about it.
        warnings.filterwarnings("ignore", message="Constant\\(s\\) may be too high")
        return job(report)
