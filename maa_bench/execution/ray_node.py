"""What runs on the nodes of a Ray cluster: the checks before, the jobs, and the mailbox for what they report.

Nothing here imports Ray before a node does, so that these are plain functions and classes.
"""

from __future__ import annotations

import os
import pickle
import platform
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import maa_bench
from maa_bench.errors import ClusterError
from maa_bench.execution.worker import answer
from maa_bench.files import digest, sha256_of
from maa_bench.software import software

PROGRESS_EVERY = 0.2
"""Seconds between two reports of how far one stage of a job has come."""

PATIENCE = 10.0
"""Seconds that a job waits until a report has arrived; one that has not is forgotten."""

Message = tuple[Any, ...]
"""(key, "started", node, pid) or (key, "report", stage, done, total)."""


@lru_cache(maxsize=1)
def identity() -> dict[str, str]:
    """What must be the same on every node for the results to be: versions, and maa-bench's code itself."""
    package = Path(maa_bench.__file__).parent
    code = {path.relative_to(package).as_posix(): sha256_of(path) for path in sorted(package.rglob("*.py"))}
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **software(),
        "the code of maa-bench": digest(code)[:12],
    }


def difference(here: dict[str, str], there: dict[str, str]) -> str:
    """What of two identities is not the same, in words; "" if nothing."""
    names = [name for name in here | there if here.get(name) != there.get(name)]
    return ", ".join(f"{name} is {there.get(name, 'missing')}, not {here.get(name, 'missing')}" for name in names)


def inspect(marker: str | None) -> tuple[dict[str, str], bool]:
    """Look at this node: its identity, and whether it sees a file and may write beside it."""
    if marker is None:
        return identity(), True
    return identity(), Path(marker).exists() and os.access(Path(marker).parent, os.W_OK)


def is_alive(pid: int) -> bool:
    """Whether this node has that process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Mailbox:
    """An actor beside the process that asked for the jobs: holds what they report until it is taken."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def add(self, message: Message) -> None:
        """Put one in."""
        self._messages.append(message)

    def take(self) -> list[Message]:
        """Take all that are there, in order of arrival."""
        messages, self._messages = self._messages, []
        return messages


@dataclass(frozen=True)
class Surroundings:
    """What a job must find as it is in the process that asked for it.

    Attributes:
        folder: the current one; relative paths start there.
        path: where modules are found. Appended to a worker's own, so that nothing installed is shadowed.
        identity: see `identity`.
    """

    folder: str
    path: tuple[str, ...]
    identity: dict[str, str]

    @classmethod
    def here(cls) -> Surroundings:
        """Those of this process."""
        return cls(str(Path.cwd()), tuple(os.path.abspath(entry) for entry in sys.path), identity())

    def enter(self) -> None:
        """Make them so.

        Raises:
            ClusterError: this node has other software. Nodes may join while jobs run, so each process looks.
        """
        sys.path.extend(entry for entry in self.path if entry not in sys.path)
        with suppress(OSError):  # only who uses relative paths needs it, and is told by their names
            os.chdir(self.folder)
        if others := difference(self.identity, identity()):
            raise ClusterError(f"node {platform.node()} differs from this one: {others}")


def serve(surroundings: Surroundings, mailbox: Any, key: int, job: bytes) -> bytes:
    """The Ray task: run one pickled job; returns ("result", value) or ("error", exception), pickled.

    An exception of the job's own is a value for Ray, which so runs again what it lost and nothing else. Jobs and
    results are pickled here and not by Ray, which would make their arrays read-only.
    """
    import ray

    post = _Post(mailbox, key)
    post.send("started", ray.get_runtime_context().get_node_id(), os.getpid())
    try:
        surroundings.enter()
    except ClusterError as error:
        return pickle.dumps(("error", error))
    return pickle.dumps(answer(job, post.report))


class _Post:
    """A job's way to the mailbox. A step's name has arrived before the step begins: it may be the job's last word."""

    def __init__(self, mailbox: Any, key: int) -> None:
        self._mailbox, self._key = mailbox, key
        self._stage, self._sent = "", 0.0

    def report(self, stage: str, done: int, total: int) -> None:
        """A `maa_bench.execution.Report`; leaves out what nobody could read as fast."""
        now = time.monotonic()
        if total:
            if stage == self._stage and done < total and now < self._sent + PROGRESS_EVERY:
                return
            self._stage, self._sent = stage, now
        self.send("report", stage, done, total)

    def send(self, *message: Any) -> None:
        """Send one and wait for its arrival, not with `ray.get`, which would give this job's core to another."""
        with suppress(Exception):  # whoever waits for the job finds out by itself that the mailbox is gone
            self._mailbox.add.remote((self._key, *message)).future().result(timeout=PATIENCE)
