"""An episode once more, seen: the plain loop, held to the steps that were measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from maa_bench.errors import DrawingError
from maa_bench.simulators import Pixels, TaskSimulator
from maa_bench.video.cells import Episode, FinishedCell


@dataclass(frozen=True)
class View:
    """The state after `step` steps of an episode: (height, width, 3) uint8."""

    episode: Episode
    step: int
    pixels: Pixels


def views(
    cell: FinishedCell, episode: Episode, simulator: TaskSimulator, every: int, width: int, height: int
) -> Iterator[View]:
    """The start, every `every`-th step and the last one of an episode.

    Raises:
        DrawingError: the episode does not come out as it was measured, the agent was not kept, or nothing can be drawn.
    """
    layout = cell.plan.suite.layouts(cell.task, "test")[episode.layout]
    agent = cell.agent(episode.candidate, simulator)
    agent.reset()
    obs = simulator.reset(layout)
    yield View(episode, 0, simulator.frame(width, height))
    for step in range(1, episode.steps + 1):
        obs, success = simulator.step(agent.act(obs))
        if success != (step == episode.first_success):
            raise DrawingError(
                f"{cell.card.name} on {cell.task}, candidate {episode.candidate}, test layout {episode.layout}: "
                f"step {step} {'succeeds' if success else 'does not succeed'} here, but the cached run has "
                f"{f'its first success at step {episode.first_success}' if episode.first_success > 0 else 'none'}: "
                "was it computed on another machine? Run it again with another --cache-dir"
            )
        if step % every == 0 or step == episode.steps:
            yield View(episode, step, simulator.frame(width, height))
