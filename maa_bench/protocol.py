"""How a method is asked and tested: the numbers that two rows of one table must share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, get_args

from maa_bench.errors import ProtocolError, did_you_mean

if TYPE_CHECKING:
    from maa_bench.suite import Scale, Suite

PROMPT_SOURCES = ("trained", "partial", "expert")
"""Whose successful trajectories the prompts are: of policies trained on the test task, in runs that nothing else uses,
whose measured success is 1 (`trained`) or less (`partial`); or of the task's scripted expert (`expert`)."""


@dataclass(frozen=True)
class Protocol:
    """The evaluation protocol.

    Attributes:
        scale: size of dataset and method, `small` or `paper`.
        shots: prompts of each test task.
        candidates: agents that a method generates for each task and training seed.
        episodes: test layouts that each candidate is run on, one episode each.
        select_episodes: select layouts that each candidate is run on; the only ones that may choose between candidates.
        device: where methods train and generate, `cpu` or `cuda`.
        prompt_source: whose trajectories the prompts are, one of `PROMPT_SOURCES`.

    Raises:
        ProtocolError: a number below 1, an unknown scale, device or source.
    """

    scale: Scale = "small"
    shots: int = 16
    candidates: int = 16
    episodes: int = 8
    select_episodes: int = 4
    device: str = "cpu"
    prompt_source: str = "trained"

    def __post_init__(self) -> None:
        from maa_bench.suite import Scale  # here, because it brings numpy, and `--help` needs the defaults alone

        if self.scale not in get_args(Scale):
            raise ProtocolError(f"--scale {self.scale!r} is unknown.{did_you_mean(self.scale, get_args(Scale))}")
        for flag, value in (
            ("--shots", self.shots),
            ("--candidates", self.candidates),
            ("--episodes", self.episodes),
            ("--select-episodes", self.select_episodes),
        ):
            if value < 1:
                raise ProtocolError(f"{flag} must be at least 1, not {value}")
        if self.device != "cpu" and not self.device.startswith("cuda"):
            raise ProtocolError(f"--device must be cpu or cuda, not {self.device!r}")
        if self.prompt_source not in PROMPT_SOURCES:
            hint = did_you_mean(self.prompt_source, PROMPT_SOURCES)
            raise ProtocolError(f"--prompt-source knows no {self.prompt_source!r}.{hint}")

    def check_serves(self, suite: Suite) -> None:
        """Refuse what the suite has not enough layouts for.

        Raises:
            ProtocolError: more episodes than frozen layouts.
        """
        for flag, wanted, layout_set in (
            ("--episodes", self.episodes, "test"),
            ("--select-episodes", self.select_episodes, "select"),
        ):
            count = suite.layout_counts[layout_set]
            if wanted > count:
                raise ProtocolError(f"{flag} {wanted}: suite {suite.name} has {count} {layout_set} layouts a task")

    def as_dict(self) -> dict[str, Any]:
        """All settings, JSON-able."""
        return asdict(self)
