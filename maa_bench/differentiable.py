"""Policies as flat vectors in torch: what generators and finetuning differentiate through.

The numbers that count are those of `maa_bench.forward`, which rolls policies out; here sums have the order that torch
gives them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from maa_bench.policy import PolicySpec

_FUNCTIONS = {"elu": torch.nn.functional.elu, "relu": torch.relu, "tanh": torch.tanh}


def policy_tensors(spec: PolicySpec, flat: Tensor) -> dict[str, Tensor]:
    """Views of n flat policies (n, n_params), by name in `spec.tensors`, each (n, *shape)."""
    return {t.name: flat[:, t.start : t.stop].reshape(len(flat), *t.shape) for t in spec.tensors}


def batched_mean(spec: PolicySpec, tensors: Mapping[str, Tensor], obs: Tensor) -> Tensor:
    """Mean head of n policies, before its tanh, on a batch each.

    Args:
        spec: the policy.
        tensors: by name in `spec.tensors`, each (n, *shape) float32.
        obs: (n, b, obs_dim) float32.

    Returns:
        (n, b, action_dim) float32.
    """
    x = obs
    for layer, activation in enumerate((*spec.activations, None), start=1):
        name = f"linear{layer}" if activation else "mean"
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        x = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
        if activation:
            x = _FUNCTIONS[activation](x)
    return x


def batched_actions(spec: PolicySpec, flat: Tensor, obs: Tensor) -> Tensor:
    """Deterministic actions tanh(mean) of n flat policies (n, n_params), a batch each: (n, b, obs_dim) -> (n, b,
    action_dim), all float32."""
    return batched_mean(spec, policy_tensors(spec, flat), obs).tanh()
