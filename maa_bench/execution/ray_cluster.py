"""Runs jobs on a Ray cluster: one CPU a job, on this machine or many.

Ray finds a place for every job and runs it again where a worker or a whole node dies. What jobs report comes through
an actor beside this process, which is asked a few times a second.
"""

from __future__ import annotations

import itertools
import pickle
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from maa_bench.errors import ClusterError
from maa_bench.execution import (
    ATTEMPTS,
    Finished,
    Job,
    JobTimeoutError,
    Lost,
    Reported,
    WorkerLostError,
    raise_lost,
    ray_node,
    ray_session,
)
from maa_bench.execution.interrupts import ctrl_c_when_asked
from maa_bench.execution.queue import JobQueue, Task

TICK = 0.2
"""Seconds between two looks at the mailbox while no job ends."""

COUNT_AGAIN = 5.0
"""Seconds between two counts of the cluster's CPUs: nodes come and go."""

ALIVE_SECONDS = 60.0
"""How long a node may take to say whether it has a process."""


@dataclass
class _Sent:
    """A job that Ray has, and where it runs."""

    task: Task
    key: int
    node: str = ""
    pid: int = 0


class RayExecutor:
    """Runs lists of jobs on a Ray cluster (see `maa_bench.execution.Executor`). Use as a context manager.

    Args:
        address: of a running cluster, `host:port` or `auto` for the one on this machine; all of its CPUs are used, and
            it is left running. None starts one here, which ends with this.
        workers: how many jobs run at a time; default: one a CPU.
        shared: a folder that every node must see, checked at the start.

    Raises:
        ClusterError: on entering: Ray is not installed, there is no such cluster, or a node has other software than
            this process or does not see the folder.
    """

    def __init__(self, address: str | None = None, workers: int | None = None, shared: Path | None = None) -> None:
        self._address, self._workers, self._shared = address, workers, shared
        self._sent: dict[Any, _Sent] = {}
        self._by_key: dict[int, _Sent] = {}
        self._keys = itertools.count()
        self._window, self._counted = 0, -inf

    def __enter__(self) -> RayExecutor:
        with ExitStack() as opened:
            self._ours = opened.enter_context(ray_session.cluster(self._address, self._workers))
            import ray

            ray_session.check_nodes(self._shared)
            here = ray_session.on_node(ray.get_runtime_context().get_node_id())
            # On this node: if it dies, so do we. If its process alone does, some reports are lost, and nothing else.
            mailbox = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(ray_node.Mailbox)
            self._mailbox = mailbox.options(scheduling_strategy=here).remote()
            opened.callback(ray.kill, self._mailbox)
            self._serve = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(ray_node.serve)
            self._surroundings = ray.put(ray_node.Surroundings.here())
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def run(
        self,
        jobs: Sequence[Job],
        finished: Finished,
        reported: Reported = lambda *_: None,
        lost: Lost = raise_lost,
        step_timeout: float | None = None,
    ) -> None:
        """See `maa_bench.execution.Executor`. Reports of one stage that follow one another closely are left out.

        Raises:
            ClusterError: the cluster is gone, or a node that joined it has other software.
        """
        import ray

        queue = JobQueue(jobs, finished, lost)
        try:
            with ctrl_c_when_asked() as deliver_ctrl_c:
                while queue.waiting or self._sent:
                    deliver_ctrl_c()
                    self._submit(queue)
                    ended, _ = ray.wait(list(self._sent), timeout=TICK)
                    if ended:  # and whatever else has
                        ended, _ = ray.wait(list(self._sent), num_returns=len(self._sent), timeout=0)
                    self._read_reports(reported)
                    for ref in ended:
                        self._receive(ref, queue)
                    if step_timeout is not None:
                        self._end_late_ones(queue, step_timeout)
        finally:
            for ref in list(self._sent):
                self._end(ref)

    def _submit(self, queue: JobQueue) -> None:
        """Ray keeps the order of what waits for a CPU; more than a little waiting there would only fill its memory."""
        if time.monotonic() >= self._counted + COUNT_AGAIN:
            self._counted, self._window = time.monotonic(), self._count()
        while queue.waiting and len(self._sent) < self._window:
            sent = _Sent(queue.waiting.popleft(), next(self._keys))
            ref = self._serve.remote(self._surroundings, self._mailbox, sent.key, pickle.dumps(sent.task.job))
            self._sent[ref] = self._by_key[sent.key] = sent

    def _count(self) -> int:
        import ray

        if self._workers and not self._ours:  # a share of somebody's cluster
            return self._workers
        cpus = int(ray.cluster_resources().get("CPU", 0))
        return cpus + 2 + cpus // 8

    def _read_reports(self, reported: Reported) -> None:
        import ray

        try:
            messages = ray.get(self._mailbox.take.remote())
        except ray.exceptions.RayError as error:
            raise ClusterError("the Ray cluster is gone; run the same command again: finished work is kept") from error
        for key, kind, *content in messages:
            sent = self._by_key.get(key)
            if sent is None:
                continue  # of a job that was ended
            if kind == "started":
                sent.node, sent.pid = content
                sent.task.start()
                continue
            stage, done, total = content
            if not total:
                sent.task.enter(stage)
            reported(sent.task.index, stage, done, total)

    def _receive(self, ref: Any, queue: JobQueue) -> None:
        import ray
        from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayError, WorkerCrashedError

        task = self._forget(ref)
        try:
            kind, value = pickle.loads(ray.get(ref))  # ours: `serve` made it
        except (WorkerCrashedError, NodeDiedError, OutOfMemoryError, ObjectLostError):
            queue.lose(task, WorkerLostError.at(task.step))
            return
        except RayError as error:
            last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise ClusterError(f"Ray could not run a job: {last[0]}") from error
        if kind == "error":
            raise value
        queue.finish(task, value)

    def _end_late_ones(self, queue: JobQueue, step_timeout: float) -> None:
        for ref, sent in list(self._sent.items()):
            if time.monotonic() - sent.task.since < step_timeout:
                continue
            if not self._is_alive(sent):  # it does not hang: Ray will run it again
                sent.task.since = inf
                continue
            self._end(ref)
            queue.lose(sent.task, JobTimeoutError.at(sent.task.step, step_timeout))

    def _is_alive(self, sent: _Sent) -> bool:
        """Whether the process that a job was last started in is still there."""
        import ray

        ask = ray.remote(num_cpus=0, max_retries=0)(ray_node.is_alive)
        try:
            there = ray_session.on_node(sent.node)
            return bool(ray.get(ask.options(scheduling_strategy=there).remote(sent.pid), timeout=ALIVE_SECONDS))
        except ray.exceptions.RayError:
            return False

    def _end(self, ref: Any) -> None:
        """End a job, whatever it does; what it would have given is not wanted."""
        import ray

        self._forget(ref)
        with suppress(ray.exceptions.RayError, ValueError):
            ray.cancel(ref, force=True)

    def _forget(self, ref: Any) -> Task:
        sent = self._sent.pop(ref)
        del self._by_key[sent.key]
        return sent.task
