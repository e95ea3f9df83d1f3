"""An episode once more, seen: the plain loop, held to the steps that were measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from maa_bench.errors import DrawingError
from maa_bench.simulators import EpisodeError, Pixels, TaskSimulator
from maa_bench.video.cells import Episode, FinishedCell


@dataclass(frozen=True)
class View:
    """The state after `step` steps of an episode: (height, width, 3) uint8; `over` if it is the last."""

    episode: Episode
    step: int
    over: bool
    pixels: Pixels


def views(
    cell: FinishedCell, episode: Episode, simulator: TaskSimulator, every: int, width: int, height: int
) -> Iterator[View]:
    """The start, every `every`-th step and the last one of an episode.

    Raises:
        DrawingError: the episode does not come out as it was measured, the agent was not kept, or nothing can be drawn.
    """
    agent = cell.agent(episode.candidate, simulator)
    agent.reset()
    start = cell.start(episode.layout)
    simulator.set_dynamics(start.dynamics)
    obs = simulator.reset(start.layout)
    yield View(episode, 0, False, simulator.frame(width, height))
    for step in range(1, episode.steps + 1):
        try:
            action = agent.act(obs)
            if not np.isfinite(action).all():
                raise EpisodeError.of_action(step)
            obs, success = simulator.step(action)
        except EpisodeError as error:
            if error.reason != episode.broke_off:
                raise _differs(cell, episode, error.reason) from None
            yield View(episode, error.steps, True, simulator.frame(width, height))
            return
        if success != (step == episode.first_success):
            raise _differs(cell, episode, f"step {step} {'succeeds' if success else 'does not succeed'}")
        if step % every == 0 or step == episode.steps:
            if step == episode.horizon and episode.broke_off:
                raise _differs(cell, episode, "it comes to its end")
            yield View(episode, step, step == episode.steps, simulator.frame(width, height))


def _differs(cell: FinishedCell, episode: Episode, here: str) -> DrawingError:
    had = f"its first success at step {episode.first_success}" if episode.first_success > 0 else "no success"
    return DrawingError(
        f"{cell.card.name} on {cell.task}, candidate {episode.candidate}, test layout {episode.layout}: here "
        f"{here}, but the cached run has {episode.broke_off or had}: "
        "was it computed on another machine? Run it again with another --cache-dir"
    )
