"""The executor: errors come through, dead workers are noticed, added jobs run, threads are put back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from maa_bench.errors import DataError
from maa_bench.execution.local import JOB_THREADS, Job, LocalExecutor, Report, WorkerLostError, threads


@dataclass(frozen=True)
class Square:
    """n * n, with one report."""

    n: int

    def __call__(self, report: Report) -> int:
        report("squaring", self.n, 10)
        return self.n * self.n


@dataclass(frozen=True)
class Fail:
    error: type[BaseException]

    def __call__(self, report: Report) -> None:
        raise self.error("the job's own words")


class Die:
    """What the kernel does to a process when memory runs out."""

    def __call__(self, report: Report) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Where:
    def __call__(self, report: Report) -> int:
        return os.getpid()


def collect(executor: LocalExecutor, jobs: list[Job]) -> dict[int, Any]:
    results: dict[int, Any] = {}

    def finished(index: int, result: Any) -> Iterable[Job]:
        results[index] = result
        return ()

    executor.run(jobs, finished)
    return results


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_with_their_jobs_numbers_and_reports_reach_the_caller(workers: int) -> None:
    reports: set[tuple[int, str, int, int]] = set()
    results: dict[int, int] = {}

    def finished(index: int, result: int) -> Iterable[Job]:
        results[index] = result
        return ()

    with LocalExecutor(workers) as executor:
        executor.run([Square(n) for n in range(5)], finished, lambda *report: reports.add(report))
    assert results == {n: n * n for n in range(5)}
    assert reports == {(n, "squaring", n, 10) for n in range(5)}


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_added_by_finished_run_and_are_numbered_on(workers: int) -> None:
    results: dict[int, int] = {}

    def finished(index: int, result: int) -> Iterable[Job]:
        results[index] = result
        return [Square(result + 1)] if len(results) <= 2 else ()

    with LocalExecutor(workers) as executor:
        executor.run([Square(2)], finished)
    assert results == {0: 4, 1: 25, 2: 676}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("error", [DataError, RuntimeError])
def test_a_jobs_error_comes_through_with_its_words(workers: int, error: type[Exception]) -> None:
    with pytest.raises(error, match="the job's own words"), LocalExecutor(workers) as executor:
        collect(executor, [Square(1), Fail(error), Square(2)])


def test_a_killed_worker_is_one_clear_error() -> None:
    with pytest.raises(WorkerLostError, match=r"a worker process died .* run the same command again"):  # noqa: SIM117
        with LocalExecutor(2) as executor:
            collect(executor, [Square(1), Die(), Square(2)])


def test_one_worker_runs_in_this_process_and_more_do_not() -> None:
    with LocalExecutor(1) as executor:
        assert set(collect(executor, [Where(), Where()]).values()) == {os.getpid()}
    with LocalExecutor(2) as executor:
        first = set(collect(executor, [Where() for _ in range(4)]).values())
        again = set(collect(executor, [Where() for _ in range(4)]).values())
        assert os.getpid() not in first | again
        assert len(first | again) <= 2, "worker processes are kept between lists of jobs"


def test_no_job_is_no_work() -> None:
    with LocalExecutor(2) as executor:
        assert collect(executor, []) == {}


def test_torch_threads_are_one_in_a_job_and_put_back_after() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        seen: list[int] = []

        def job(report: Report) -> None:
            seen.append(torch.get_num_threads())

        with LocalExecutor(1) as executor:
            collect(executor, [job])
        assert seen == [JOB_THREADS]
        assert torch.get_num_threads() == 3
        with pytest.raises(RuntimeError), threads(1):
            raise RuntimeError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


LATE_IMPORT = """
import os, sys
from maa_bench.execution.local import LocalExecutor

seen = []

def job(report):
    import torch
    seen.append(torch.get_num_threads())

assert "torch" not in sys.modules
with LocalExecutor(1) as executor:
    executor.run([job, job], lambda index, result: ())
import torch
print(seen, torch.get_num_threads() == len(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS"))
"""


def test_torch_has_one_thread_also_in_the_job_that_imports_it(tmp_path: Path) -> None:
    """Regression: with one worker the first job had a thread a core, and could give other bytes than in a worker."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", LATE_IMPORT], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    assert done.stdout.strip() == "[1, 1] True None"


def test_leaving_early_leaves_no_worker_behind() -> None:
    import multiprocessing

    with pytest.raises(KeyboardInterrupt), LocalExecutor(2) as executor:  # noqa: PT012
        collect(executor, [Where(), Where()])
        raise KeyboardInterrupt
    for child in multiprocessing.active_children():
        child.join(10)
    assert multiprocessing.active_children() == []
