"""Progress on standard error: bars with a rate and an ETA in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

LINE_EVERY = 5.0
"""Seconds between two plain lines of one stage."""


class Progress:
    """Shows the stages of a run, one after the other.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bars: Any = None

    def note(self, text: str) -> None:
        """Say one thing."""
        if self._quiet:
            return
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def stage(self, name: str, total: int, unit: str, found: int = 0) -> Iterator[Stage]:
        """Show one stage of `total` units; the stage is told how far it has come.

        `found` of them were done before, by a command that was stopped: no part of the rate, nor of the ETA.
        """
        if self._quiet:
            yield Stage(name, total, found)
        elif sys.stderr.isatty():
            with self._bar_stage(name, total, unit, found) as stage:
                yield stage
        else:
            stage = _PlainStage(name, total, unit, found)
            yield stage
            stage.close()

    @contextmanager
    def _bar_stage(self, name: str, total: int, unit: str, found: int) -> Iterator[Stage]:
        if self._bars is not None:  # a stage within a stage: one bar more, as two displays would overwrite each other
            yield _BarStage(name, total, unit, found, self._bars)
            return
        from rich import progress
        from rich.console import Console

        self._bars = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=30),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}", markup=False),
            progress.TimeElapsedColumn(),
            progress.TextColumn("ETA"),
            progress.TimeRemainingColumn(elapsed_when_finished=False),
            console=Console(stderr=True),
        )
        try:
            with self._bars:
                yield _BarStage(name, total, unit, found, self._bars)
        finally:
            self._bars = None


class JobStages:
    """The stages that jobs report of themselves, shown while they last: one a job at a time.

    Args:
        progress: where they are shown.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress, self._open = progress, ExitStack()
        self._shown: dict[int, tuple[str, Stage, ExitStack]] = {}

    def __enter__(self) -> JobStages:
        return self

    def __exit__(self, *why: object) -> None:
        self._open.close()

    def show(self, job: int, title: str, done: int, total: int) -> None:
        """A job is at `done` of `total` steps of a stage."""
        current, stage, _ = self._shown.get(job, ("", None, None))
        if stage is None or current != title:
            self.close(job)
            own = self._open.enter_context(ExitStack())
            stage = own.enter_context(self._progress.stage(title, total, "steps"))
            self._shown[job] = (title, stage, own)
        stage.update(done, total)

    def close(self, job: int) -> None:
        """A job is done, or lost."""
        if job in self._shown:
            self._shown.pop(job)[2].close()


class Stage:
    """How far one stage has come."""

    def __init__(self, name: str, total: int, found: int) -> None:
        self.name, self.total, self.done, self._found = name, total, found, found
        self._started = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """`count` more units are done."""
        self.update(self.done + count, self.total)

    def update(self, done: int, total: int) -> None:
        """`done` of `total` units are done."""
        self.done, self.total = done, total
        self._show()

    def _show(self) -> None:
        """Show nothing."""

    def _rate(self) -> float:
        return (self.done - self._found) / max(time.monotonic() - self._started, 1e-9)


class _BarStage(Stage):
    def __init__(self, name: str, total: int, unit: str, found: int, bars: Any) -> None:
        super().__init__(name, total, found)
        self._unit, self._bars = unit, bars
        self._task = bars.add_task(name, total=total, completed=found, rate="")

    def _show(self) -> None:
        rate = f"{self._rate():.3g} {self._unit}/s"
        self._bars.update(self._task, completed=self.done, total=self.total, rate=rate)


class _PlainStage(Stage):
    def __init__(self, name: str, total: int, unit: str, found: int) -> None:
        super().__init__(name, total, found)
        self._unit, self._last = unit, time.monotonic()

    def _show(self) -> None:
        now = time.monotonic()
        if now - self._last >= LINE_EVERY and self.done < self.total:
            self._last = now
            rate = self._rate()
            eta = f"{(self.total - self.done) / rate:.0f} s" if rate else "?"
            print(
                f"{self.name}: {self.done}/{self.total} {self._unit}, {rate:.3g} {self._unit}/s, ETA {eta}",
                file=sys.stderr,
                flush=True,
            )

    def close(self) -> None:
        """Say that the stage is over."""
        seconds = time.monotonic() - self._started
        print(f"{self.name}: {self.done}/{self.total} {self._unit} in {seconds:.1f} s", file=sys.stderr, flush=True)
