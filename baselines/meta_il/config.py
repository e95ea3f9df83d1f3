"""The method's numbers: what `config.toml` may say, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

from maa_bench.errors import MethodError

from ..shared.config import TrainingConfig


@dataclass(frozen=True)
class Config:
    """Attributes:
    inner_steps: gradient steps on prompts in training.
    test_steps: the same at test time; each is one step of plain SGD.
    first_step_size: of inner steps, before it is learned (one for each tensor of the policy).
    adapt_on: `own`: all inner steps of candidate i see prompt i; `all`: step s sees prompt i + s, in turn, so that
        candidates differ in the order of prompts only and are near copies of each other.
    first_order: take inner gradients for constants in the outer gradient.
    inner_batch: of a prompt's 60 steps, how many an inner step sees in training; at test time it sees all.
    outer_batch: labelled steps of the task that the outer loss is taken on, for each adapted policy.
    training: the outer loop; a row is a prompt.
    """

    inner_steps: int
    test_steps: int
    first_step_size: float
    adapt_on: str
    first_order: bool
    inner_batch: int
    outer_batch: int
    training: TrainingConfig

    def __post_init__(self) -> None:
        if self.adapt_on not in ("own", "all"):
            raise MethodError(f"meta_il: adapt_on {self.adapt_on!r} must be 'own' or 'all'")
        if not self.first_step_size > 0:
            raise MethodError(f"meta_il: first_step_size {self.first_step_size} must be above 0")
