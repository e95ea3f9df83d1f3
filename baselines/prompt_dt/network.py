"""The transformer: a prompt's tokens, then the tokens of the episode so far; the action is read off the last state.

Tokens are states and actions in order of time, s_1, a_1, s_2, a_2, ..., each embedded by a linear map of its kind, with
maps of its own for the prompt; the blocks are GPT-2's (LayerNorm before attention and before the perceptron). A token
of the episode sees the whole prompt and the last K steps. Because that window slides with the token, a token's keys
and values never change once they are made: the same network is trained on whole chunks of episodes and acts with two
new tokens a step (`acting.py`).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from maa_bench.policy import PolicySpec
from maa_bench.prompts import OUTCOME, SEGMENT

from ..shared.scaling import Standardizer
from ..shared.training import first_weights
from .config import Config

Memory = list[tuple[Tensor, Tensor]]
"""A prompt as the episode's tokens see it: keys and values of each block, (n, heads, tokens, width / heads)."""

INIT_SPREAD = 0.02
"""GPT-2's standard deviation of fresh embeddings."""


class PromptTransformer(nn.Module):
    """Prompt and episode in, actions out. Its state dict is all that a fit leaves behind.

    Args:
        config: the sizes.
        spec: sizes of observations and actions.
        seed: decides the first weights.
    """

    def __init__(self, config: Config, spec: PolicySpec, seed: int) -> None:
        super().__init__()
        self.config, self.obs_dim, self.action_dim = config, spec.obs_dim, spec.action_dim
        self.scaler = Standardizer(spec.obs_dim)
        with first_weights(seed):
            self.prompt_state = nn.Linear(spec.obs_dim, config.width)
            self.prompt_action = nn.Linear(spec.action_dim, config.width)
            self.prompt_time = nn.Embedding(SEGMENT + OUTCOME, config.width)
            nn.init.normal_(self.prompt_time.weight, std=INIT_SPREAD)
            self.state = nn.Linear(spec.obs_dim, config.width)
            self.action = nn.Linear(spec.action_dim, config.width)
            self.entry = nn.LayerNorm(config.width)
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
            self.final = nn.LayerNorm(config.width)
            self.head = nn.Linear(config.width, spec.action_dim)

    def remember(self, observations: Tensor, actions: Tensor, times: Tensor) -> Memory:
        """Read n prompts of h steps.

        Args:
            observations: (n, h + 3, obs_dim) float32, the shown states, then the outcome's.
            actions: (n, h, action_dim) float32.
            times: (n, h + 3) int64, the states' steps in the trajectory; the outcome's are 60, 61, 62.
        """
        time = self.prompt_time(times)
        states = self.prompt_state(self.scaler(observations)) + time
        h = actions.shape[1]
        done = self.prompt_action(actions) + time[:, :h]
        x = torch.cat([_interleaved(states[:, :h], done), states[:, h:]], dim=1)
        causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()[None]
        memory: Memory = []
        for block in self.blocks:
            x, kept = block(x, causal)
            memory.append(kept)
        return memory

    def forward(self, memory: Memory, observations: Tensor, actions: Tensor) -> Tensor:
        """Actions for every state of n pieces of episodes.

        Args:
            memory: of n prompts.
            observations: (n, t, obs_dim) float32, from the episode's start or any later step.
            actions: (n, t, action_dim) float32, what was done there.

        Returns:
            (n, t, action_dim) float32 in [-1, 1]; those of a state do not depend on later ones, nor on its own action.
        """
        x = self.entry(_interleaved(self.state(self.scaler(observations)), self.action(actions)))
        shown, tokens = memory[0][0].shape[2], x.shape[1]
        order = torch.arange(tokens, device=x.device)
        lag = order[:, None] - order
        seen = (lag >= 0) & (lag < self.window)
        for block, kept in zip(self.blocks, memory, strict=True):
            near = cast(Tensor, block.near)[:, lag.clamp(0, self.window - 1)].masked_fill(~seen, -torch.inf)
            x, _ = block(x, functional.pad(near, (shown, 0)), kept)
        made: Tensor = self.head(self.final(x[:, 0::2])).tanh()
        return made

    @property
    def window(self) -> int:
        """Tokens of the episode that a token sees: K states and the K - 1 actions between them."""
        return window(self.config)


class Block(nn.Module):
    """Attention and perceptron, each behind a LayerNorm and added to what came in.

    `near` (heads, window) is added to the attention scores of the episode's tokens, by how many tokens ago they were
    (linear biases: Press et al., ICLR 2022, arXiv 2108.12409): it stands in the place of the paper's embedding of the
    step's number. It is not trained: torch's fast attention has no gradient for a mask.
    """

    near: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.inner = nn.Linear(config.width, config.inner)
        self.outer = nn.Linear(config.inner, config.width)
        slopes = 0.5 ** torch.arange(1, config.heads + 1)
        self.register_buffer("near", -slopes[:, None] * torch.arange(window(config)))

    def forward(
        self, x: Tensor, mask: Tensor, kept: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (n, t, width) -> the same shape, and its own keys and values.

        Args:
            x: tokens.
            mask: who sees whom, bool or added to the scores: (1 or heads, t, seen).
            kept: keys and values that stand before those of x.
        """
        n, t, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        keys, values = (k, v) if kept is None else (torch.cat([kept[0], k], dim=2), torch.cat([kept[1], v], dim=2))
        heard = functional.scaled_dot_product_attention(q, keys, values, attn_mask=mask[None])
        x = x + self.out(heard.transpose(1, 2).reshape(n, t, width))
        return x + self.outer(self.inner(self.norm2(x)).relu()), (k, v)


def window(config: Config) -> int:
    """Tokens of the last `context` steps, counted back from a state: its own and two for each step before."""
    return 2 * config.context - 1


def _interleaved(states: Tensor, actions: Tensor) -> Tensor:
    """(n, t, width) twice -> (n, 2 t, width): s_1, a_1, s_2, a_2, ..."""
    return torch.stack([states, actions], dim=2).flatten(1, 2)
