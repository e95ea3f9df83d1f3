"""A worker process: serves jobs over a pipe of its own, so that it shares no lock with anybody and may be killed.

Messages to a worker: a job. Messages from it: ("ready",) once; ("report", stage, done, total), ("result", value),
("error", exception).
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from maa_bench.execution import Job, Report
from maa_bench.execution.interrupts import ctrl_c_later
from maa_bench.execution.threads import JOB_THREADS, limit_libraries_to_come, run_job


class Worker:
    """The parent's side of a worker process.

    Attributes:
        pipe: to and from it. ready: whether it has said that it is.
    """

    def __init__(self) -> None:
        self.ready = False
        # spawn: a forked child would inherit torch's and numba's threads in an unknown state.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name="maa-bench worker")
        with ctrl_c_later():
            self._process.start()
        theirs.close()  # so that the pipe ends when the process does

    def send(self, job: Job) -> None:
        """Give it a job. Raises OSError if it is dead, and what pickling the job raises."""
        self.pipe.send_bytes(pickle.dumps(job))

    def close(self) -> None:
        """Let it end by itself."""
        self.pipe.close()

    @property
    def exitcode(self) -> int | None:
        """How it ended, minus a signal's number if by one; None while it lives."""
        return self._process.exitcode

    def kill(self) -> None:
        """End it now, whatever it does, and whatever it has started."""
        if self._process.pid is not None:
            with suppress(ProcessLookupError, PermissionError):  # no such group: it was not yet ready, or has gone
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def join(self) -> None:
        """Wait until it has ended."""
        self._process.join()


def _serve(pipe: Connection) -> None:
    """The worker's main loop: ends when the parent closes the pipe, or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    os.setpgid(0, 0)  # what jobs start belongs to this group, and ends with it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_libraries_to_come(JOB_THREADS)  # before numpy and torch are imported by the first job
    pipe.send(("ready",))
    while True:
        try:
            job = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send(answer(job, lambda *report: pipe.send(("report", *report))))


def answer(pickled: bytes, report: Report) -> tuple[str, Any]:
    """Run a pickled job that comes from the parent process; returns the message that says what came of it."""
    try:
        return _sendable("result", run_job(pickle.loads(pickled), report))
    except BaseException as error:
        if not isinstance(error, Exception):  # SystemExit is a job's, and not the parent's to follow
            error = RuntimeError(f"a job raised {type(error).__name__}: {error}")
        # For --debug: an exception leaves its traceback behind when it travels.
        error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
        return _sendable("error", error)


def _sendable(kind: str, value: Any) -> tuple[str, Any]:
    """A message that the parent can read; what cannot travel is described instead."""
    try:
        pickle.loads(pickle.dumps(value))
    except Exception as error:
        what = f"{type(value).__name__}: {value}" if kind == "error" else type(value).__name__
        return "error", RuntimeError(f"{what} cannot be sent to another process: {error}")
    return kind, value


def _end_with_parent() -> None:
    """A killed parent cannot end its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        with suppress(OSError):
            wait([parent.sentinel])
        os.killpg(0, signal.SIGKILL)
