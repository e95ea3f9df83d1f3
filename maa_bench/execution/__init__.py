"""Running jobs: on this machine (`local`) or on a Ray cluster (`ray_cluster`), with the same bytes as a result.

A job is a picklable callable that is given a way to report. What it computes may not depend on where or beside what
it runs. Jobs are run at least once: one whose worker died is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from maa_bench.errors import MaaBenchError

Report = Callable[[str, int, int], None]
"""Called by a job with (stage, done, total). A total of 0 names the step that the job is in now, which has its own
time limit and is blamed if the job is lost; before the first such step (imports, opening things) there is no limit."""

Job = Callable[[Report], Any]

Finished = Callable[[int, Any], Iterable[Job]]
"""Called with a job's index and result; what it returns is run too, numbered on from the last job."""

Reported = Callable[[int, str, int, int], None]
"""Called with a job's index and what it reported."""

ATTEMPTS = 3
"""How often a job is started whose worker dies: once may be an accident, thrice is the job."""


class JobLostError(MaaBenchError):
    """A job was ended from outside, and is not run again.

    Attributes:
        step: the step that it was in, as it reported; "" before the first.
    """

    def __init__(self, message: str, step: str = "") -> None:
        super().__init__(message)
        self.step = step

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.step)


class WorkerStartError(MaaBenchError):
    """A worker process did not come up: no job is to blame."""

    @classmethod
    def at(cls, exitcode: int | None) -> WorkerStartError:
        """The error of a worker that ended so before it took a job."""
        return cls(
            f"a worker process ended as it started (exit code {exitcode}): does the script that runs this lack "
            "`if __name__ == '__main__':`? Or use --workers 1. Finished work is kept"
        )


class WorkerLostError(JobLostError):
    """The job's worker process died, `ATTEMPTS` times."""

    @classmethod
    def at(cls, step: str) -> WorkerLostError:
        """The error of a job that died in that step."""
        return cls(f"its worker process died {ATTEMPTS} times (killed, or out of memory: try fewer --workers)", step)


class JobTimeoutError(JobLostError):
    """A step of the job took longer than it may."""

    @classmethod
    def at(cls, step: str, limit: float) -> JobTimeoutError:
        """The error of a job that hung in that step."""
        return cls(f"it took longer than --cell-timeout {limit:g} seconds and was ended", step)


Lost = Callable[[int, JobLostError], Iterable[Job]]
"""Called with a job's index and why it is lost; what it returns is run too."""


def raise_lost(index: int, error: JobLostError) -> Iterable[Job]:
    """A lost job ends everything."""
    raise type(error)(f"a job was lost: {error}; run the same command again: finished work is kept", error.step)


class Executor(Protocol):
    """Runs lists of jobs."""

    def run(
        self,
        jobs: Sequence[Job],
        finished: Finished,
        reported: Reported = ...,
        lost: Lost = ...,
        step_timeout: float | None = None,
    ) -> None:
        """Run every job in order as far as workers are free; those that `finished` and `lost` add go to the front.

        Args:
            jobs: the jobs.
            finished: called in this process, in order of completion.
            reported: called in this process.
            lost: called in this process; default: raise.
            step_timeout: seconds that one step of a job may take; default: any.

        Raises:
            JobLostError: from the default `lost`.
            WorkerStartError: workers cannot be started.
            Whatever a job raises.
        """
