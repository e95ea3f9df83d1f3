"""Finding producers, ours and anybody's, and holding them to what they promise.

A producer is a stranger's code: what it raises or shows that it should not is one line that names it.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from maa_bench.dataset.producers import Producer, Snapshot, Training, TrainingRun
from maa_bench.errors import DataError, MaaBenchError, did_you_mean
from maa_bench.suite import Scale

GROUP = "maa_bench.producers"

T = TypeVar("T")


def producer_names() -> list[str]:
    """Names of the registered producers, sorted; imports none of them."""
    return sorted(entry.name for entry in entry_points(group=GROUP))


def load_producer(name: str) -> LoadedProducer:
    """A producer by its registered name, or as `package.module:Class`.

    Raises:
        DataError: unknown name, an import that fails, or a class that lacks what a producer has.
    """
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if ":" in name:
        found[name] = EntryPoint(name, name, GROUP)
    if name not in found:
        raise DataError(f"unknown producer {name!r}.{did_you_mean(name, found)}")
    module, _, attribute = found[name].value.partition(":")
    try:
        made = getattr(importlib.import_module(module), attribute)()
    except Exception as error:
        raise DataError(
            f"cannot import producer {name!r} ({found[name].value}): {type(error).__name__}: {error}"
        ) from error
    for method in ("settings", "groups", "train"):
        if not callable(getattr(made, method, None)):
            raise DataError(f"producer {name!r}: {found[name].value} has no method `{method}`")
    if type(getattr(made, "version", None)) is not int:
        raise DataError(f"producer {name!r}: {found[name].value} has no attribute `version` that is a whole number")
    return LoadedProducer(name, made)


class LoadedProducer:
    """A producer, checked at every step.

    Attributes:
        name: what `load_producer` was given; it stands in every row.
        version, uses_device, keeps_all: see `Producer`.
    """

    def __init__(self, name: str, made: Producer) -> None:
        self.name, self._made = name, made
        self.version: int = made.version
        self.uses_device = bool(getattr(made, "uses_device", False))
        self.keeps_all = bool(getattr(made, "keeps_all", False))

    def settings(self, scale: Scale) -> Any:
        """See `Producer`."""
        settings = self._guard("settings", lambda: self._made.settings(scale))
        if not is_dataclass(settings) or isinstance(settings, type):
            raise DataError(f"producer {self.name!r}: settings must return a dataclass, not {type(settings).__name__}")
        return settings

    def groups(self, runs: Sequence[TrainingRun], settings: Any) -> list[tuple[TrainingRun, ...]]:
        """See `Producer`."""
        groups = self._guard("groups", lambda: [tuple(group) for group in self._made.groups(runs, settings)])
        given = [run for group in groups for run in group]
        if len(given) != len(runs) or set(given) != set(runs) or not all(groups):
            raise DataError(f"producer {self.name!r}: groups must hold each of the {len(runs)} runs once")
        return groups

    def train(self, training: Training) -> Iterator[Snapshot]:
        """See `Producer`."""
        stream = self._guard("train", lambda: iter(self._made.train(training)))
        last = dict.fromkeys(range(len(training.runs)), -1)
        n_params = training.suite.policy.n_params
        while (snapshot := self._guard("train", lambda: next(stream, None))) is not None:
            reason = _problem(snapshot, last, n_params)
            if reason:
                raise DataError(f"producer {self.name!r}: train showed {reason}")
            last[snapshot.run] = snapshot.step
            yield snapshot

    def _guard(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except (MaaBenchError, OSError):
            raise  # one line already, or the disk's fault
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            raise DataError(
                f"producer {self.name!r}: {what} raised {type(error).__name__}: {error} "
                f"({Path(frame.filename).name}, line {frame.lineno})"
            ) from error


def _problem(snapshot: Any, last: dict[int, int], n_params: int) -> str | None:
    """Why a snapshot cannot be taken."""
    if not isinstance(snapshot, Snapshot):
        return f"{type(snapshot).__name__}, which is no Snapshot"
    if snapshot.run not in last:
        return f"a snapshot of run {snapshot.run}, of {len(last)} runs"
    if not isinstance(snapshot.step, int | np.integer) or snapshot.step <= last[snapshot.run]:
        return f"step {snapshot.step!r} of run {snapshot.run} after step {last[snapshot.run]}: steps must grow"
    params = snapshot.params
    if not isinstance(params, np.ndarray) or params.dtype != np.float32 or params.shape != (n_params,):
        return f"parameters that are not ({n_params},) float32, in step {snapshot.step} of run {snapshot.run}"
    if not np.isfinite(params).all():
        return f"parameters with NaN or infinity, in step {snapshot.step} of run {snapshot.run}"
    return None
