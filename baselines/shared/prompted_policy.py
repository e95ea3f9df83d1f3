"""One policy for all tasks, told its task by what an encoder makes of a prompt."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from maa_bench.policy import PolicySpec

from .conditioned import ConditionedPolicy
from .prompt_encoder import PromptEncoder, n_prompt_features


@dataclass(frozen=True)
class PromptConfig:
    """Attributes:
    hidden: hidden layers of the prompt encoder.
    z_dim: what a prompt is encoded into.
    noise: added to standardised prompts in training, its standard deviation.
    """

    hidden: tuple[int, ...]
    z_dim: int
    noise: float


class PromptedPolicy(nn.Module):
    """A conditioned policy, and the encoder of prompts that gives its z.

    Args:
        spec: the policy that it becomes for a prompt.
        config: the encoder's sizes.

    Fit the scalers of both before training.
    """

    def __init__(self, spec: PolicySpec, config: PromptConfig) -> None:
        super().__init__()
        self.encoder = PromptEncoder(n_prompt_features(spec.obs_dim, spec.action_dim), config.hidden, config.z_dim)
        self.policy = ConditionedPolicy(spec, config.z_dim)
