"""The executors, local and Ray: errors come through, dead workers are noticed, added jobs run, threads are put back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from maa_bench.errors import DataError
from maa_bench.execution import (
    ATTEMPTS,
    Executor,
    Job,
    JobLostError,
    JobTimeoutError,
    Report,
    WorkerLostError,
    local,
    queue,
    ray_cluster,
)
from maa_bench.execution.local import LocalExecutor
from maa_bench.execution.ray_node import is_alive
from maa_bench.execution.threads import JOB_THREADS, threads

Open = Callable[[], AbstractContextManager[Executor]]

PROCESSES = ["local-2", "ray"]
EVERYWHERE = ["local-1", *PROCESSES]


@pytest.fixture(scope="module")
def ray_here() -> Iterator[Executor]:
    """An executor on a Ray cluster of two CPUs, which all tests of this module share: either takes seconds to start.

    What a test leaves of its jobs when one of them fails must not be there for the next.
    """
    from maa_bench.execution.ray_session import cluster, quieten

    quieten()
    ray = pytest.importorskip("ray")
    from maa_bench.execution.ray_cluster import RayExecutor

    with cluster(None, 2):
        with RayExecutor() as executor:
            yield executor
        assert ray.is_initialized(), "a cluster that was there before is left as it was"
    assert not ray.is_initialized()


@pytest.fixture
def executor(request: pytest.FixtureRequest) -> Open:
    """Opens an executor; ask for one by its name with `indirect`."""
    kind, _, workers = request.param.partition("-")
    if kind == "local":
        return lambda: LocalExecutor(int(workers))
    shared = request.getfixturevalue("ray_here")
    return lambda: nullcontext(shared)


def on(names: list[str]) -> pytest.MarkDecorator:
    """Run a test with each of these executors."""
    return pytest.mark.parametrize("executor", names, indirect=True)


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


@dataclass(frozen=True)
class Die:
    """What the kernel does to a process when memory runs out; `times` starts, if a folder keeps the count."""

    folder: Path | None = None
    times: int = 0

    def __call__(self, report: Report) -> str:
        report("eating", 0, 0)
        if self.folder is not None:
            (self.folder / str(os.getpid())).touch()
            if len(list(self.folder.iterdir())) > self.times:
                return "alive"
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


@dataclass(frozen=True)
class Hang:
    """Two steps, the second without an end."""

    def __call__(self, report: Report) -> None:
        report("first", 0, 0)
        report("counting", 1, 2)  # not a step of its own
        report("second", 0, 0)
        while True:
            time.sleep(0.01)


@dataclass(frozen=True)
class Steps:
    """Several steps."""

    count: int

    def __call__(self, report: Report) -> int:
        for i in range(self.count):
            report(f"step {i}", 0, 0)
        return self.count


PATIENCE = 100.0
"""Seconds until a job that waits for something gives up: no machine is so slow."""


def wait_for(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@dataclass(frozen=True)
class DieAndWait:
    """Its first process dies in a step, and leaves its number behind; its second waits for a file."""

    folder: Path

    def __call__(self, report: Report) -> str:
        pid = self.folder / "pid"
        if not pid.exists():
            report("eating", 0, 0)
            pid.with_suffix(".part").write_text(str(os.getpid()))
            pid.with_suffix(".part").rename(pid)
            os.kill(os.getpid(), signal.SIGKILL)
        wait_for((self.folder / "later").exists)
        return "alive"


@dataclass(frozen=True)
class SeeItDead:
    """Says when the process of `DieAndWait` is gone."""

    folder: Path

    def __call__(self, report: Report) -> None:
        pid = self.folder / "pid"
        wait_for(pid.exists)
        wait_for(lambda: not is_alive(int(pid.read_text())))
        report("gone", 1, 1)  # not a step
        wait_for((self.folder / "later").exists)


@dataclass(frozen=True)
class Wait:
    """Takes a place until there is a file."""

    file: Path

    def __call__(self, report: Report) -> None:
        wait_for(self.file.exists)


class Clock:
    """The executors' clock, which stands still but for what a test adds to it: no machine is too slow for that."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (local, queue, ray_cluster):
        monkeypatch.setattr(module, "time", made)
    return made


class Unsendable:
    """Its result has no name in another process."""

    def __call__(self, report: Report) -> Any:
        return lambda: None


class OwnError(Exception):
    """One that pickle cannot make again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class FailOwn:
    def __call__(self, report: Report) -> None:
        raise OwnError("this", "that")


class Where:
    def __call__(self, report: Report) -> int:
        return os.getpid()


def collect(executor: Executor, jobs: list[Job]) -> dict[int, Any]:
    results: dict[int, Any] = {}

    def finished(index: int, result: Any) -> Iterable[Job]:
        results[index] = result
        return ()

    executor.run(jobs, finished)
    return results


@on(EVERYWHERE)
def test_results_come_with_their_jobs_numbers_and_reports_reach_the_caller(executor: Open) -> None:
    reports: set[tuple[int, str, int, int]] = set()
    results: dict[int, int] = {}

    def finished(index: int, result: int) -> Iterable[Job]:
        results[index] = result
        return ()

    with executor() as it:
        it.run([Square(n) for n in range(5)], finished, lambda *report: reports.add(report))
    assert results == {n: n * n for n in range(5)}
    assert reports == {(n, "squaring", n, 10) for n in range(5)}


@on(EVERYWHERE)
def test_jobs_added_by_finished_run_and_are_numbered_on(executor: Open) -> None:
    results: dict[int, int] = {}

    def finished(index: int, result: int) -> Iterable[Job]:
        results[index] = result
        return [Square(result + 1)] if len(results) <= 2 else ()

    with executor() as it:
        it.run([Square(2)], finished)
    assert results == {0: 4, 1: 25, 2: 676}


@on(EVERYWHERE)
@pytest.mark.parametrize("error", [DataError, RuntimeError])
def test_a_jobs_error_comes_through_with_its_words(executor: Open, error: type[Exception]) -> None:
    with pytest.raises(error, match="the job's own words"), executor() as it:
        collect(it, [Square(1), Fail(error), Square(2)])


@on(PROCESSES)
@pytest.mark.parametrize(
    ("job", "words"), [(Unsendable(), "function cannot be sent"), (FailOwn(), "OwnError: this and that cannot be sent")]
)
def test_what_cannot_travel_is_described(executor: Open, job: Job, words: str) -> None:
    with pytest.raises(RuntimeError, match=words), executor() as it:
        collect(it, [job])


@on(PROCESSES)
def test_an_error_from_a_worker_brings_its_traceback_along(executor: Open) -> None:
    with pytest.raises(DataError) as caught, executor() as it:
        collect(it, [Fail(DataError)])
    assert "in __call__" in "".join(caught.value.__notes__)


@on(PROCESSES)
def test_a_job_whose_worker_is_killed_is_run_again(executor: Open, tmp_path: Path) -> None:
    jobs = [Square(1), Die(tmp_path, ATTEMPTS - 1), *(Square(n) for n in range(2, 9))]
    with executor() as it:
        results = collect(it, jobs)
    assert results == {1: "alive", **{n - (n < 2): n * n for n in (1, *range(2, 9))}}
    assert len(list(tmp_path.iterdir())) == ATTEMPTS


@on(PROCESSES)
def test_a_job_that_always_kills_its_worker_is_given_up_and_the_others_go_on(executor: Open, tmp_path: Path) -> None:
    lost: list[tuple[int, str, str]] = []
    results: dict[int, Any] = {}

    def finished(index: int, result: Any) -> Iterable[Job]:
        results[index] = result
        return ()

    def give_up(index: int, error: JobLostError) -> Iterable[Job]:
        lost.append((index, error.step, str(error)))
        return [Square(9)]

    with executor() as it:
        it.run([Square(1), Die(tmp_path, 1000), Square(2)], finished, lost=give_up)
    assert [(index, step) for index, step, _ in lost] == [(1, "eating")]
    assert "died 3 times" in lost[0][2]
    assert results == {0: 1, 2: 4, 3: 81}
    assert len(list(tmp_path.iterdir())) == ATTEMPTS


@on(PROCESSES)
def test_a_lost_job_is_one_clear_error_where_nobody_says_what_to_do(executor: Open) -> None:
    with pytest.raises(WorkerLostError, match=r"its worker process died .* run the same command again"):  # noqa: SIM117
        with executor() as it:
            collect(it, [Square(1), Die(), Square(2)])


@on(EVERYWHERE)
def test_a_step_that_takes_too_long_is_ended_and_named(executor: Open, clock: Clock) -> None:
    lost: dict[int, JobLostError] = {}
    results: dict[int, Any] = {}

    def finished(index: int, result: Any) -> Iterable[Job]:
        results[index] = result
        return ()

    def give_up(index: int, error: JobLostError) -> Iterable[Job]:
        lost[index] = error
        return ()

    def reported(index: int, stage: str, done: int, total: int) -> None:
        if stage == "second":
            clock.now += 1.5

    with executor() as it:
        it.run([Hang(), Square(3), Square(4)], finished, reported, give_up, step_timeout=1.5)
    assert results == {1: 9, 2: 16}
    assert {i: (type(e), e.step) for i, e in lost.items()} == {0: (JobTimeoutError, "second")}
    assert "--cell-timeout 1.5 seconds" in str(lost[0])


@on(EVERYWHERE)
def test_steps_that_are_each_in_time_are_not_added_up(executor: Open, clock: Clock) -> None:
    def reported(index: int, stage: str, done: int, total: int) -> None:
        clock.now += 1.4

    results: list[int] = []
    with executor() as it:
        it.run([Steps(5)], lambda _, result: results.append(result) or (), reported, step_timeout=1.5)
    assert results == [5]


@on(PROCESSES)
def test_a_job_that_waits_to_be_run_again_is_not_late(executor: Open, clock: Clock, tmp_path: Path) -> None:
    """Its worker died, the others are busy for longer than a step may take."""
    results: dict[int, Any] = {}

    def finished(index: int, result: Any) -> Iterable[Job]:
        results[index] = result
        return ()

    def reported(index: int, stage: str, done: int, total: int) -> None:
        if stage == "gone":
            clock.now += 100.0
            (tmp_path / "later").touch()

    with executor() as it:
        jobs: list[Job] = [DieAndWait(tmp_path), SeeItDead(tmp_path), Wait(tmp_path / "later")]
        it.run(jobs, finished, reported, step_timeout=1.5)
    assert results == {0: "alive", 1: None, 2: None}


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys, time\n"
        "from maa_bench.execution.local import LocalExecutor\n"
        "from test_execution import Hang, Where\n"
        "if __name__ == '__main__':\n"
        "    with LocalExecutor(2) as executor:\n"
        "        executor.run([Where()] * 8, lambda i, pid: print(pid, flush=True) or ())\n"
        "        executor.run([Hang(), Hang()], lambda i, r: (), lambda i, *r: print('hangs', flush=True))\n"
    )
    (tmp_path / "parent.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        [sys.executable, "parent.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        workers = {int(parent.stdout.readline()) for _ in range(8)}
        assert parent.stdout.readline() == "hangs\n"
        parent.kill()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.05)


def test_one_worker_runs_in_this_process_and_more_do_not() -> None:
    with LocalExecutor(1) as executor:
        assert set(collect(executor, [Where(), Where()]).values()) == {os.getpid()}
    with LocalExecutor(2) as executor:
        first = set(collect(executor, [Where() for _ in range(4)]).values())
        again = set(collect(executor, [Where() for _ in range(4)]).values())
        assert os.getpid() not in first | again
        assert len(first | again) <= 2, "worker processes are kept between lists of jobs"


@on(EVERYWHERE)
def test_no_job_is_no_work(executor: Open) -> None:
    with executor() as it:
        assert collect(it, []) == {}


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
