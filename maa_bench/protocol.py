"""How a method is asked and tested: the numbers that two rows of one table must share."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, get_args

from maa_bench.errors import ProtocolError, did_you_mean

if TYPE_CHECKING:
    from maa_bench.suite import Scale, Suite

PROMPT_SOURCES = ("trained", "partial", "expert")
"""Whose successful trajectories the prompts are: of policies trained on the test task, in runs that nothing else uses,
whose measured success is 1 (`trained`) or less (`partial`); or of the task's scripted expert (`expert`)."""

LAYOUT_SETS = ("test", "train")
"""On which layouts candidates may be tested: on those that nothing else uses, or on those that data was made on."""

PROMPT_STEPS = 60
"""Steps of a whole prompt."""

LABELS = ("name", "condition")
"""Settings that decide no number."""

PROMPT_CONDITIONS = ("prompt_noise", "dropped_steps", "prompt_steps", "action_noise")
"""Settings that make prompts worse than they were recorded."""

PROMPT_SETTINGS = ("shots", "prompt_source", *PROMPT_CONDITIONS)
"""Settings that a method which is shown no prompts cannot notice."""

DYNAMICS = ("mass", "friction", "damping", "gain")
"""Factors by which the simulator of the test episodes is perturbed."""


@dataclass(frozen=True)
class Protocol:
    """The evaluation protocol: one condition, under which methods are compared.

    Attributes:
        scale: size of dataset and method, `small` or `paper`.
        shots: prompts of each test task.
        candidates: agents that a method generates for each task and training seed.
        episodes: test layouts that each candidate is run on, one episode each.
        select_episodes: select layouts that each candidate is run on; the only ones that may choose between candidates.
        device: where methods train and generate, `cpu` or `cuda`.
        prompt_source: whose trajectories the prompts are, one of `PROMPT_SOURCES`.
        prompt_noise: standard deviation of the Gaussian noise on the prompts' observations, actions and outcome
            states, in units of each dimension's standard deviation over the task's prompts.
        dropped_steps: share of a prompt's steps that are lost; the step before is held in their place.
        prompt_steps: steps after which a prompt is cut off; its last step is held up to 60.
        action_noise: standard deviation, in action units, of the Gaussian noise on the actions with which the
            prompts are collected.
        test_layouts: the layouts that are tested on, one of `LAYOUT_SETS`.
        mass, friction, damping, gain: a factor f of 1 or more; each test layout has its own factor, drawn
            log-uniformly from [1/f, f], on the simulator's masses, friction, joint damping and actuator gain.
        name: the named protocol that this is a condition of; None if it is of none.
        condition: which of its conditions, `base` or such as `shots=5`.

    Raises:
        ProtocolError: a number out of its range, an unknown scale, device, source or layout set.
    """

    scale: Scale = "small"
    shots: int = 16
    candidates: int = 16
    episodes: int = 8
    select_episodes: int = 4
    device: str = "cpu"
    prompt_source: str = "trained"
    prompt_noise: float = 0.0
    dropped_steps: float = 0.0
    prompt_steps: int = PROMPT_STEPS
    action_noise: float = 0.0
    test_layouts: str = "test"
    mass: float = 1.0
    friction: float = 1.0
    damping: float = 1.0
    gain: float = 1.0
    name: str | None = None
    condition: str = ""

    def __post_init__(self) -> None:
        from maa_bench.suite import Scale  # here, because it brings numpy, and `--help` needs the defaults alone

        if self.scale not in get_args(Scale):
            raise ProtocolError(f"--scale {self.scale!r} is unknown.{did_you_mean(self.scale, get_args(Scale))}")
        for setting in ("shots", "candidates", "episodes", "select_episodes"):
            if (count := getattr(self, setting)) < 1:
                raise ProtocolError(f"{flag(setting)} must be at least 1, not {count}")
        if self.device != "cpu" and not self.device.startswith("cuda"):
            raise ProtocolError(f"--device must be cpu or cuda, not {self.device!r}")
        for setting, known in (("prompt_source", PROMPT_SOURCES), ("test_layouts", LAYOUT_SETS)):
            if (name := getattr(self, setting)) not in known:
                raise ProtocolError(f"{flag(setting)} knows no {name!r}.{did_you_mean(name, known)}")
        for setting in ("prompt_noise", "action_noise"):
            if not 0 <= (std := getattr(self, setting)) < math.inf:
                raise ProtocolError(f"{flag(setting)} must be a number of 0 or more, not {std}")
        if self.action_noise and self.prompt_source == "expert":
            raise ProtocolError(
                "--action-noise has policies of the dataset act again: it needs --prompt-source trained or partial"
            )
        if not 0 <= self.dropped_steps < 1:
            raise ProtocolError(f"--dropped-steps must be a share from 0 to less than 1, not {self.dropped_steps}")
        if not 1 <= self.prompt_steps <= PROMPT_STEPS:
            raise ProtocolError(f"--prompt-steps must be from 1 to {PROMPT_STEPS}, not {self.prompt_steps}")
        for setting in DYNAMICS:
            if not 1 <= (factor := getattr(self, setting)) < math.inf:
                raise ProtocolError(f"{flag(setting)} must be a factor of 1 or more, not {factor}")
        for setting in (*DYNAMICS, "prompt_noise", "dropped_steps", "action_noise"):
            object.__setattr__(self, setting, float(getattr(self, setting)))  # 2 and 2.0 have one address

    @property
    def changed(self) -> dict[str, Any]:
        """The settings other than labels that are not at their defaults."""
        values = {f.name: (getattr(self, f.name), f.default) for f in fields(self) if f.name not in LABELS}
        return {name: value for name, (value, default) in values.items() if value != default}

    def check_serves(self, suite: Suite) -> None:
        """Refuse what the suite has not enough layouts for, and what its simulator cannot perturb.

        Raises:
            ProtocolError: more episodes than frozen layouts, or dynamics that the simulator has not.
        """
        for setting, wanted, layout_set in (
            ("episodes", self.episodes, self.test_layouts),
            ("select_episodes", self.select_episodes, "select"),
        ):
            count = suite.layout_counts[layout_set]
            if wanted > count:
                raise ProtocolError(
                    f"{flag(setting)} {wanted}: suite {suite.name} has {count} {layout_set} layouts a task"
                )
        if perturbed := [setting for setting in DYNAMICS if setting in self.changed]:
            from maa_bench.simulators import check_served  # brings numba

            check_served(suite.simulator, perturbed)

    def as_dict(self) -> dict[str, Any]:
        """All settings, JSON-able."""
        return asdict(self)


def flag(setting: str) -> str:
    """The option of `maa-bench run` that sets it."""
    return "--" + setting.replace("_", "-")
