"""Behaviour cloning of flat policies on a few given steps: how a method is finetuned on its prompts."""

from __future__ import annotations

import torch
from torch import Tensor

from maa_bench.differentiable import batched_mean, policy_tensors
from maa_bench.errors import MethodError
from maa_bench.method import Context
from maa_bench.policy import PolicySpec

from .config import FinetuneConfig
from .training import PROGRESS_EVERY


def finetuned(
    spec: PolicySpec,
    flat: Tensor,
    observations: Tensor,
    actions: Tensor,
    settings: FinetuneConfig,
    context: Context,
    chance: torch.Generator,
) -> Tensor:
    """Clone the given steps: Adam (Kingma & Ba 2015) on the squared error of tanh(mean), every policy on its own.

    Policies share nothing, draws included: policy i comes out alike whatever stands beside it only if `flat` always
    has the same number of rows (`chance` fills all rows' draws at once).

    Args:
        spec: the policy.
        flat: (n, n_params) float32, where to start.
        observations: (m, obs_dim), actions: (m, action_dim) float32, the steps to clone, of all policies.
        settings: length and step size.
        context: device and progress.
        chance: a CPU generator; draws the batches.

    Returns:
        (n, n_params) float32 on `flat`'s device; the log_std head is as it was.

    Raises:
        MethodError: it diverged.
    """
    starts = policy_tensors(spec, flat)
    leaves = {name: x.detach().clone().requires_grad_() for name, x in starts.items() if not name.startswith("log_std")}
    optimizer = torch.optim.Adam(leaves.values(), lr=settings.lr, fused=True)
    for update in range(1, settings.updates + 1):
        rows = torch.randint(len(observations), (len(flat), settings.batch), generator=chance).to(flat.device)
        made = batched_mean(spec, leaves, observations[rows]).tanh()
        # Summed over policies: each has the gradient that it would have alone.
        loss = (made - actions[rows]).square().mean(dim=(1, 2)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update % PROGRESS_EVERY == 0 or update == settings.updates:
            context.progress("finetuning", update, settings.updates)
    out = flat.detach().clone()
    for tensor in spec.tensors:
        if tensor.name in leaves:
            out[:, tensor.start : tensor.stop] = leaves[tensor.name].detach().reshape(len(flat), -1)
    if not torch.isfinite(out).all():
        raise MethodError("finetuning on the prompts diverged: lower its learning rate")
    return out
