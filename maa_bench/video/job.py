"""The job behind `maa-bench render`: the first success, the first failure and a grid of candidates, as videos."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maa_bench.errors import DrawingError, did_you_mean
from maa_bench.files import write_bytes
from maa_bench.progress import Progress, Stage
from maa_bench.simulators import Pixels, TaskSimulator, simulator_of
from maa_bench.video.cells import Episode, FinishedCell
from maa_bench.video.encode import MAX_FPS, choose_format, encode
from maa_bench.video.picture import FAILED, SUCCEEDED, Frame
from maa_bench.video.rollout import View, views

KINDS = ("success", "failure", "grid")
ALL = "all"

MOVING_SECONDS = 5
"""A longer episode is shown by every second step, every third, ...: a video stays short, but is not faster than real
time."""

HOLD_SECONDS = 1
"""How long the last picture stays."""

SIZES = range(64, 2049)
MAX_TILES = 25


@dataclass(frozen=True)
class Look:
    """How videos look.

    Attributes:
        width, height: pixels of one view. fps: frames a second. tiles: candidates in a grid, at most.
        format: `mp4` or `gif`; None: mp4 if it can be written here.

    Raises:
        DrawingError: a number out of range, or a format that cannot be written.
    """

    width: int = 320
    height: int = 240
    fps: int = 20
    tiles: int = 6
    format: str | None = None
    kind: str = field(init=False)

    def __post_init__(self) -> None:
        if self.width not in SIZES or self.height not in SIZES:
            raise DrawingError(
                f"--size {self.width}x{self.height}: both sides must be {SIZES[0]} to {SIZES[-1]} pixels"
            )
        for flag, value, most in (("--fps", self.fps, MAX_FPS), ("--tiles", self.tiles, MAX_TILES)):
            if not 1 <= value <= most:
                raise DrawingError(f"{flag} must be 1 to {most}, not {value}")
        object.__setattr__(self, "kind", choose_format(self.format))


@dataclass(frozen=True)
class Video:
    """A video that was written.

    Attributes:
        what: `success`, `failure` or `grid`.
        file: where it lies.
        episodes: what it shows.
        every: one frame stands for so many steps.
        speed: 1 in real time, less if it is slower.
        frames: number of frames, the held ones included.
    """

    what: str
    file: Path
    episodes: tuple[Episode, ...]
    every: int
    speed: float
    frames: int


def kinds(what: str) -> tuple[str, ...]:
    """The kinds of video asked for by `--what`.

    Raises:
        DrawingError: no such kind.
    """
    if what == ALL:
        return KINDS
    if what not in KINDS:
        raise DrawingError(f"--what {what!r} is unknown.{did_you_mean(what, (*KINDS, ALL))}")
    return (what,)


def episodes_of(cell: FinishedCell, kind: str, tiles: int) -> list[Episode]:
    """What a video of this kind shows; empty if the cell has no such episode."""
    if kind == "grid":
        return cell.grid(tiles)
    found = cell.first(kind == "success")
    return [found] if found else []


def render(cell: FinishedCell, wanted: Sequence[str], look: Look, out: Path, progress: Progress) -> list[Video]:
    """Draw and write the wanted kinds of video of which the cell has episodes.

    Raises:
        DrawingError: nothing can be drawn or written here, or the agents were not kept.
    """
    shown = {kind: episodes for kind in wanted if (episodes := episodes_of(cell, kind, look.tiles))}
    if not shown:
        return []
    most = max(len(episodes) for episodes in shown.values())
    module = simulator_of(cell.plan.suite)
    task = cell.plan.suite.task(cell.task)
    simulators = [module.open_task(task) for _ in range(most)]  # the candidates of a grid move side by side
    # What may fail is tried before the folder is made.
    cell.agent(0, simulators[0])
    simulators[0].reset(cell.start(0).layout)
    simulators[0].frame(look.width, look.height)
    _check_writable(out)
    hz = module.CONTROL_HZ
    return [_write(cell, kind, episodes, simulators, hz, look, out, progress) for kind, episodes in shown.items()]


def _write(
    cell: FinishedCell,
    kind: str,
    episodes: list[Episode],
    simulators: list[TaskSimulator],
    hz: int,
    look: Look,
    out: Path,
    progress: Progress,
) -> Video:
    short = math.ceil(max(e.steps for e in episodes) / (MOVING_SECONDS * look.fps))
    every = min(short, max(1, hz // look.fps))
    most = 1 + max(math.ceil(e.steps / every) for e in episodes)
    where = f"candidate{episodes[0].candidate}" if kind != "grid" else f"candidates0-{len(episodes) - 1}"
    seed = cell.plan.base_seed
    name = f"{cell.card.name}-{cell.task}-seed{seed}-{kind}-{where}-layout{episodes[0].layout}.{look.kind}"
    title = f"{cell.card.name}: {cell.task}" + (f", {every} steps a frame" if every > 1 else "")
    layout = Frame(title, episodes, look.width, look.height)
    parts = [
        views(cell, episode, simulator, every, look.width, look.height)
        for episode, simulator in zip(episodes, simulators, strict=False)
    ]
    held = look.fps * HOLD_SECONDS
    with progress.stage(f"draw {kind}", most, "frames") as stage:
        data = encode(_pictures(layout, parts, held, stage), look.fps, look.kind, (SUCCEEDED, FAILED))
        moving = stage.done
        stage.update(moving, moving)  # fewer than expected where episodes broke off
    write_bytes(out / name, data)
    return Video(kind, out / name, tuple(episodes), every, every * look.fps / hz, moving + held)


def _pictures(layout: Frame, parts: Sequence[Iterator[View]], held: int, stage: Stage) -> Iterator[Pixels]:
    """The pictures of a video; an episode that is over keeps its last view."""
    current = [next(part) for part in parts]
    while True:
        picture = layout.picture(current)
        stage.advance()
        yield picture
        if all(view.over for view in current):
            break
        current = [last if last.over else next(part) for part, last in zip(parts, current, strict=True)]
    for _ in range(held):
        yield picture


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DrawingError(f"cannot write to {folder}: {error.strerror}; choose another folder with --out") from None
