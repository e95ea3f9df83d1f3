"""A prompt's steps as tokens -> a policy's weights, emitted layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maa_bench.policy import PolicySpec
from maa_bench.prompts import OUTCOME, SEGMENT, STRIDE

from ..shared.activations import activation
from ..shared.emitter import EmitterConfig, PolicyEmitter, base_policy
from ..shared.scaling import LIMIT

SHOWN_STEPS = SEGMENT // STRIDE


@dataclass(frozen=True)
class Config(EmitterConfig):
    """Attributes:
    width: numbers of a token.
    heads: of attention.
    feedforward: hidden width inside a transformer layer.
    depth: transformer layers that emit one layer of the policy.
    rows_per_slot: output neurons whose weights and bias one weight token becomes.
    """

    width: int
    heads: int
    feedforward: int
    depth: int
    rows_per_slot: int


class LayerEmitter(nn.Module):
    """The transformer that emits one layer of the policy, as a change to base weights.

    Args:
        inputs, outputs: sizes of the layer.
        config: sizes of the transformer.
    """

    def __init__(self, inputs: int, outputs: int, config: Config) -> None:
        super().__init__()
        self.shape = (outputs, inputs + 1)
        n_slots = -(-outputs // config.rows_per_slot)
        self.local = nn.Linear(inputs, config.width)
        self.slots = nn.Parameter(torch.randn(n_slots, config.width))
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, config.feedforward, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, config.depth, norm=nn.LayerNorm(config.width), enable_nested_tensor=False
        )
        for parameter in self.encoder.layers.parameters():  # they start as copies of one another
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        self.head = nn.Linear(config.width, config.rows_per_slot * (inputs + 1), bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, tokens: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """Change of the layer's weight and bias.

        Args:
            tokens: (n, t, width), the prompts' steps.
            states: (n, t, inputs), the same steps where the layers already emitted have brought them.

        Returns:
            (n, outputs, inputs), (n, outputs) float32.
        """
        slots = self.slots.expand(len(tokens), -1, -1)
        seen = self.encoder(torch.cat([slots, tokens + self.local(states)], dim=1))[:, : slots.shape[1]]
        rows: Tensor = self.head(nn.functional.normalize(seen, dim=2))
        rows = rows.reshape(len(tokens), -1, self.shape[1])[:, : self.shape[0]]
        return rows[..., :-1], rows[..., -1]


class HyperTransformerNet(PolicyEmitter):
    """Steps as tokens -> first layer -> the steps' activations there -> second layer -> ... -> mean head.

    A token is a state, the three actions from there on and whether it is a step or an outcome. Tokens have no
    position: a prompt is a set of samples, as the paper's support set is. All heads start at 0, so that every prompt
    gets the base policy at first (Bias-HyperInit).

    Args:
        spec: of the policies.
        config: the sizes.
    """

    def __init__(self, spec: PolicySpec, config: Config) -> None:
        super().__init__(spec)
        self.samples = nn.Linear(spec.obs_dim + STRIDE * spec.action_dim, config.width)
        self.outcome = nn.Parameter(torch.randn(config.width))
        sizes = [tensor.shape for tensor in self.acting if len(tensor.shape) == 2]
        self.layers = nn.ModuleList(LayerEmitter(inputs, outputs, config) for outputs, inputs in sizes)
        self.base = nn.Parameter(base_policy(spec, self.n_emitted))

    def fit_scalers(self, shown: Tensor, observations: Tensor) -> None:
        """Take means and spreads of observations (m, obs_dim); actions need none."""
        self.obs_scaler.fit(observations)

    def read(self, shown: Tensor) -> Tensor:
        """Prompts (n, traj + task) -> samples (n, 20 + 3, obs_dim + 3 * action_dim), steps before outcomes."""
        obs_dim, n = self.spec.obs_dim, len(shown)
        steps, outcomes = shown.tensor_split([shown.shape[1] - OUTCOME * obs_dim], dim=1)
        steps, outcomes = steps.reshape(n, SHOWN_STEPS, -1), outcomes.reshape(n, OUTCOME, obs_dim)
        actions = nn.functional.pad(steps[..., obs_dim:], (0, 0, 0, OUTCOME))  # an outcome shows none
        states = self.obs_scaler(torch.cat([steps[..., :obs_dim], outcomes], dim=1)).clamp(-LIMIT, LIMIT)
        return torch.cat([states, actions], dim=2)

    def emit(self, prompt: Tensor) -> Tensor:
        """Samples (n, 23, obs_dim + 3 * action_dim) -> policies (n, n_emitted) float32."""
        tokens = self.samples(prompt)
        tokens = torch.cat([tokens[:, :SHOWN_STEPS], tokens[:, SHOWN_STEPS:] + self.outcome], dim=1)
        states, base, made = prompt[..., : self.spec.obs_dim], self.tensors(self.base.unsqueeze(0)), []
        names = [tensor.name for tensor in self.acting]
        for i, layer in enumerate(self.layers):
            weight, bias = layer(tokens, states)
            weight, bias = weight + base[names[2 * i]], bias + base[names[2 * i + 1]]
            made += [weight.flatten(1), bias]
            if i < len(self.spec.activations):
                states = torch.baddbmm(bias.unsqueeze(1), states, weight.transpose(1, 2))
                states = activation(self.spec.activations[i])(states)
        return torch.cat(made, dim=1)
