"""MAML's outer gradient against Hessians computed directly, and against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from maa_bench.baselines.meta_il.maml import MetaPolicy, adapted, cloning_loss
from maa_bench.differentiable import batched_actions
from maa_bench.policy import PolicySpec

pytestmark = pytest.mark.baseline

SPEC = PolicySpec(3, (4, 3), 2, ("tanh", "elu"))
"""Smooth, so that finite differences hold."""


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(n: int, k: int) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """First weights (n_params,), step sizes (n_params,), inner steps (k, n, 5, ...), outer steps (n, 6, ...)."""
    flat, sizes = 0.5 * drawn(SPEC.n_params, seed=0), 0.3 * drawn(SPEC.n_params, seed=1).abs()
    inner = drawn(k, n, 5, 3, seed=2), drawn(k, n, 5, 2, seed=3).tanh()
    return flat, sizes, inner, (drawn(n, 6, 3, seed=4), drawn(n, 6, 2, seed=5).tanh())


def loss_of(flat: Tensor, observations: Tensor, actions: Tensor) -> Tensor:
    """Squared error of one policy, written out anew: scalar."""
    return ((batched_actions(SPEC, flat[None], observations[None])[0] - actions) ** 2).mean()


def outer_gradient(n: int, k: int, first_order: bool) -> tuple[Tensor, Tensor]:
    """What training uses: of the mean outer loss in first weights and in step sizes."""
    flat, sizes, inner, outer = problem(n, k)
    flat.requires_grad_()
    sizes.requires_grad_()
    made = adapted(SPEC, flat.expand(n, -1), sizes, *inner, first_order)
    loss = cloning_loss(SPEC, made, *outer).mean()
    one, two = torch.autograd.grad(loss, (flat, sizes))
    return one, two


@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 3), (2, 2)])
def test_second_order_gradient_is_the_product_of_hessians(n: int, k: int) -> None:
    """d outer / d first = (I - H_1 A) ... (I - H_k A) g, with A the step sizes on a diagonal, H the inner Hessians."""
    flat, sizes, inner, outer = problem(n, k)
    expected, expected_sizes = torch.zeros_like(flat), torch.zeros_like(flat)
    for task in range(n):
        policy, factors, inner_gradients = flat, [], []
        for step in range(k):
            shown = inner[0][step, task], inner[1][step, task]
            factors.append(torch.func.hessian(loss_of)(policy, *shown))
            inner_gradients.append(torch.func.jacrev(loss_of)(policy, *shown))
            policy = policy - sizes * inner_gradients[-1]
        back = torch.func.jacrev(loss_of)(policy, outer[0][task], outer[1][task]) / n
        for hessian, gradient in zip(reversed(factors), reversed(inner_gradients), strict=True):
            expected_sizes -= gradient * back
            back = back - hessian @ (sizes * back)
        expected += back
    got, got_sizes = outer_gradient(n, k, first_order=False)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(got_sizes, expected_sizes, rtol=1e-10, atol=1e-12)


def test_first_order_is_the_outer_gradient_at_the_adapted_weights() -> None:
    flat, sizes, inner, outer = problem(1, 2)
    policy = adapted(SPEC, flat[None], sizes, *inner)[0]
    expected = torch.func.jacrev(loss_of)(policy, outer[0][0], outer[1][0])
    got, _ = outer_gradient(1, 2, first_order=True)
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-12)
    assert (got - outer_gradient(1, 2, first_order=False)[0]).norm() > 0.01 * got.norm(), "second order matters here"


def test_second_order_gradient_agrees_with_finite_differences() -> None:
    flat, sizes, inner, outer = problem(2, 3)

    def loss(first: Tensor, step_sizes: Tensor) -> Tensor:
        return cloning_loss(SPEC, adapted(SPEC, first.expand(2, -1), step_sizes, *inner), *outer).mean()

    for which, got in enumerate(outer_gradient(2, 3, first_order=False)):
        for number in (0, 7, 15, 30, 33):
            change = [torch.zeros_like(flat), torch.zeros_like(flat)]
            change[which][number] = 1e-6
            up = loss(flat + change[0], sizes + change[1])
            down = loss(flat - change[0], sizes - change[1])
            assert (up - down).item() / 2e-6 == pytest.approx(got[number].item(), rel=1e-5, abs=1e-9)


def test_inner_steps_are_gradient_descent_with_one_size_a_tensor() -> None:
    """Against torch's own SGD, one parameter group a tensor."""
    flat, _, inner, _ = problem(1, 3)
    policy = MetaPolicy(SPEC, flat.float(), 0.1)
    with torch.no_grad():
        policy.stretch += torch.linspace(-0.1, 0.1, len(SPEC.tensors))
    observations, actions = (part.float() for part in inner)
    with torch.no_grad():
        made = policy(observations, actions)[0]
    parts = {t.name: flat[t.start : t.stop].float().clone().requires_grad_() for t in SPEC.tensors}
    sizes = policy.step_sizes().tolist()
    groups = [{"params": [part], "lr": size} for part, size in zip(parts.values(), sizes, strict=True)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    for step in range(3):
        optimizer.zero_grad()
        loss_of(torch.cat([*parts.values()]), observations[step, 0], actions[step, 0]).backward()
        optimizer.step()
    torch.testing.assert_close(made, torch.cat([*parts.values()]).detach(), rtol=1e-5, atol=1e-6)
    assert (made - flat.float()).abs().max() > 0.01
