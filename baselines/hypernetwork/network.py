"""Behaviour embedding -> all weights of a policy, by one linear layer that starts as Bias-HyperInit."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from maa_bench.policy import PolicySpec

from ..shared.emitter import EmitterConfig, PolicyEmitter, base_policy
from ..shared.prompt_encoder import n_prompt_features
from ..shared.scaling import Standardizer


@dataclass(frozen=True)
class Config(EmitterConfig):
    """Attributes:
    hidden: width of the encoder's two hidden layers.
    width: numbers of the embedding.
    """

    hidden: int
    width: int


class Hypernet(PolicyEmitter):
    """Prompt -> encoder -> embedding of unit length -> `head` -> policy.

    At the start `head.weight` is 0 and `head.bias` is one ordinary fresh policy (Bias-HyperInit of Beck et al. 2022):
    every prompt gets that policy, and training begins as an ordinary network's would.

    Args:
        spec: of the policies.
        config: the sizes.
    """

    def __init__(self, spec: PolicySpec, config: Config) -> None:
        super().__init__(spec)
        n_shown = n_prompt_features(spec.obs_dim, spec.action_dim)
        self.prompt_scaler = Standardizer(n_shown)
        self.encoder = nn.Sequential(
            nn.Linear(n_shown, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.width),
        )
        self.head = nn.Linear(config.width, self.n_emitted)
        nn.init.zeros_(self.head.weight)
        self.head.bias.data = base_policy(spec, self.n_emitted)

    def fit_scalers(self, shown: Tensor, observations: Tensor) -> None:
        """Take means and spreads of prompts (n, traj + task) and of observations (m, obs_dim)."""
        self.prompt_scaler.fit(shown)
        self.obs_scaler.fit(observations)

    def read(self, shown: Tensor) -> Tensor:
        """Standardise prompts (n, traj + task)."""
        scaled: Tensor = self.prompt_scaler(shown)
        return scaled

    def embed(self, prompt: Tensor) -> Tensor:
        """Standardised prompts (n, traj + task) -> embeddings of length 1 (n, width) float32."""
        return nn.functional.normalize(self.encoder(prompt), dim=1)

    def emit(self, prompt: Tensor) -> Tensor:
        """Standardised prompts (n, traj + task) -> policies (n, n_emitted) float32."""
        emitted: Tensor = self.head(self.embed(prompt))
        return emitted
