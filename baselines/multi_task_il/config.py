"""The method's numbers: what `config.toml` may say, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass

from ..shared.config import FinetuneConfig, TrainingConfig


@dataclass(frozen=True)
class Config:
    """Attributes:
    encoder_hidden: widths of the prompt encoder's hidden layers.
    z_dim: size of what the policy is told.
    prompt_noise: standard deviation of the noise on the encoder's standardised features in training.
    steps_per_prompt: labelled steps that are drawn for a prompt each time it is used.
    training: of encoder and policy together; a row is a prompt.
    finetuning: of `multi_task_il_finetuned` only.
    """

    encoder_hidden: tuple[int, ...]
    z_dim: int
    prompt_noise: float
    steps_per_prompt: int
    training: TrainingConfig
    finetuning: FinetuneConfig
