"""Producers: where the policies of a dataset come from. One file and one entry point each (see `registry`).

A producer trains runs and shows snapshots of them as they come. It says nothing about how good they are: the builder
rolls every snapshot out, keeps what the dataset's rules ask for, and ends the run once it has enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from maa_bench.dataset.transitions import Transitions
from maa_bench.execution import Report
from maa_bench.policy import Float32
from maa_bench.suite import Scale, Suite


@dataclass(frozen=True)
class TrainingRun:
    """One training lineage that is wanted.

    Attributes:
        task: task name.
        role: `train`, `validation` or `prompt`: what the whole run serves.
        name: unique within the task, e.g. `train-03`.
        seed: of its initial weights and of all its randomness.
        verified: checkpoints of success 1 wanted.
        partial: earlier or weaker ones, of success between 0 and 1, that are kept beside them.
        failing: ones of success 0 that are kept beside them.
    """

    task: str
    role: str
    name: str
    seed: int
    verified: int
    partial: int
    failing: int


@dataclass(frozen=True)
class Snapshot:
    """Parameters of one run at one moment.

    Attributes:
        run: index into the runs that are trained.
        step: gradient steps so far.
        env_step: environment steps that the run has learned from so far.
        params: (n_params,) float32, finite.
    """

    run: int
    step: int
    env_step: int
    params: Float32


@dataclass(frozen=True)
class Training:
    """What a producer is given to train some runs together.

    Attributes:
        suite: the suite.
        runs: the runs, of one task or several.
        settings: what `Producer.settings` gave, with the user's changes.
        experts: episodes of noisy scripted experts by task: `maa_bench.dataset.experts`.
        work: a folder of its own for what it wants to find again after a SIGKILL; removed when the runs are done.
        wants: whether a run (by index) still lacks checkpoints of a kind (`verified`, `partial`, `failing`). The answer
            of now: it changes while snapshots are taken.
        report: as a job's; see `maa_bench.execution.Report`.
        device: `cpu` or `cuda`.
        kept: how many checkpoints of a kind a run (by index) has so far. The answer of now, as that of `wants`.
    """

    suite: Suite
    runs: tuple[TrainingRun, ...]
    settings: Any
    experts: Mapping[str, Transitions]
    work: Path
    wants: Callable[[int, str], bool]
    report: Report
    device: str = "cpu"
    kept: Callable[[int, str], int] = lambda run, kind: 0


class Producer(Protocol):
    """Where policies come from. The class is called without arguments; it need not inherit from this one.

    Attributes:
        version: part of the dataset's identity; raise it when the numbers that come out change.
        uses_device: whether it can train on another device than the CPU; default: False.
        keeps_all: whether every snapshot is kept with its measured success, instead of as many of each kind as the
            dataset's sizes say: where snapshots are few and dear; default: False.
    """

    version: int
    uses_device: bool
    keeps_all: bool

    def settings(self, scale: Scale) -> Any:
        """A frozen dataclass of numbers, flags, texts and tuples of numbers: the defaults of a scale.

        `maa_bench.dataset.settings` says how a field is marked that may be 0, or that decides no number.
        """

    def groups(self, runs: Sequence[TrainingRun], settings: Any) -> list[list[TrainingRun]]:
        """Which runs are trained together, in one job. May not depend on the machine: it may decide bits."""

    def train(self, training: Training) -> Iterator[Snapshot]:
        """Train until no run wants verified checkpoints, or the settings say that it is enough.

        The stream of snapshots may depend on the arguments and on the answers of `wants` and `kept` alone. After a
        SIGKILL it is asked for from the start again; a producer that finds its state in `training.work` repeats quickly
        what it has shown before.

        Raises:
            DataError: training diverged.
        """
