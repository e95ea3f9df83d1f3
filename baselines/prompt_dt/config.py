"""The method's numbers: what `config.toml` may say."""

from __future__ import annotations

from dataclasses import dataclass

from maa_bench.errors import MethodError
from maa_bench.prompts import SEGMENT

from ..shared.config import TrainingConfig


@dataclass(frozen=True)
class Config:
    """Attributes:
    width: features of a token.
    layers: transformer blocks.
    heads: attention heads a block; a divisor of `width`.
    inner: hidden features of a block's perceptron.
    context: the paper's K: a token sees the last K steps, its own included.
    prompt_steps: the paper's H: steps of the trajectory that a prompt shows, 1 to 60.
    chunk: steps of an episode that are trained on together.
    prompts: prompts drawn a task and batch; each chunk of the task is given one of them.
    training: `batch` counts chunks.
    """

    width: int
    layers: int
    heads: int
    inner: int
    context: int
    prompt_steps: int
    chunk: int
    prompts: int
    training: TrainingConfig

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise MethodError(f"prompt_dt: width {self.width} must be a multiple of heads {self.heads}")
        if not 1 <= self.prompt_steps <= SEGMENT:
            raise MethodError(f"prompt_dt: prompt_steps {self.prompt_steps} must be 1 to {SEGMENT}")
