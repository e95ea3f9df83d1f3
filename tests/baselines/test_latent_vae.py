"""The VAE ablation, against torch.distributions and a case whose likelihood is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from latents import chance, trained  # noqa: E402
from torch.distributions import MultivariateNormal, Normal, kl_divergence  # noqa: E402

from maa_bench.baselines.latent_vae import LatentVAE, VAESettings  # noqa: E402
from maa_bench.baselines.latent_vae.vae import ConditionalVAE, kl_to_prior  # noqa: E402
from maa_bench.baselines.make_an_agent.config import read_config  # noqa: E402
from maa_bench.baselines.make_an_agent.generator import PolicyGenerator  # noqa: E402
from maa_bench.baselines.shared.training import first_weights  # noqa: E402
from maa_bench.policy import PolicySpec  # noqa: E402

pytestmark = pytest.mark.baseline


def vae(hidden: tuple[int, ...], z_dim: int, latent_shape: tuple[int, int], given: int) -> ConditionalVAE:
    with first_weights(0):
        return ConditionalVAE(VAESettings(lr=0.0, hidden=hidden, z_dim=z_dim), latent_shape, given)


def test_kl_is_that_of_torch() -> None:
    mean, log_variance = 2 * torch.randn(2, 50, 4, generator=chance())
    expected = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(dim=1)
    np.testing.assert_allclose(kl_to_prior(mean, log_variance), expected, rtol=1e-5)
    assert kl_to_prior(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0


@torch.no_grad()
def test_loss_is_the_likelihood_where_the_posterior_is_exact() -> None:
    """latent = a z + B condition + noise: its density is Gaussian, and the lower bound touches it."""
    spread, draws, rows = 0.3, chance(1), 200_000
    a, b = torch.tensor([1.0, -0.5, 0.25, 2.0]), torch.randn(4, 3, generator=draws)
    model = vae((), 1, (2, 2), 3)
    model.decoder[0].weight.copy_(torch.cat([a[:, None], b], dim=1))
    model.decoder[0].bias.zero_()
    variance = 1 / (1 + a.square().sum() / spread**2)  # of z given the latent
    towards = variance * a / spread**2
    model.encoder[0].weight.zero_()
    model.encoder[0].weight[0] = torch.cat([towards, -towards @ b])
    model.encoder[0].bias.copy_(torch.stack([torch.tensor(0.0), variance.log()]))

    condition, z = torch.randn(rows, 3, generator=draws), torch.randn(rows, 1, generator=draws)
    latent = z * a + condition @ b.T + spread * torch.randn(rows, 4, generator=draws)
    density = MultivariateNormal(condition @ b.T, torch.outer(a, a) + spread**2 * torch.eye(4))
    likelihood = density.log_prob(latent).mean().item() / 4
    bound = -model.loss(latent.unflatten(1, (2, 2)), condition, draws).item()
    assert bound == pytest.approx(likelihood, abs=3e-3)
    model.encoder[0].bias[1] += 1.0  # another posterior: a bound that lies below
    worse = -model.loss(latent.unflatten(1, (2, 2)), condition, draws).item()
    assert worse < likelihood - 0.05


def test_draws_have_the_spread_of_latents_that_share_a_condition() -> None:
    """latent = condition + 0.5 u d with u normal: z must stand for u, which regression cannot show."""
    draws, rows = chance(2), 512
    d = torch.tensor([1.0, -1.0, 0.5, 0.0])
    condition, u = torch.rand(rows, 4, generator=draws), torch.randn(rows, 1, generator=draws)
    latent = (condition + 0.5 * u * d + 0.02 * torch.randn(rows, 4, generator=draws)).unflatten(1, (2, 2))
    model = trained(vae((64,), 2, (2, 2), 4), latent, condition, 800, 5e-3)
    given = torch.full((2000, 4), 0.5)
    made = model.sample(given, torch.randn(2000, 2, generator=draws)).flatten(1)
    np.testing.assert_allclose(made.mean(dim=0), given[0], atol=0.08)
    np.testing.assert_allclose(made.T.cov(), 0.25 * torch.outer(d, d), atol=0.08)


@pytest.mark.parametrize("scale", ["small", "paper"])
def test_it_has_as_many_parameters_as_the_denoiser(scale: str) -> None:
    spec = PolicySpec(39, (128, 128), 4, ("elu", "relu"))
    with torch.device("meta"):  # where weights take no memory
        theirs = PolicyGenerator(read_config(scale), spec.chunks, 1020, 117, seed=0)
        ours = LatentVAE(scale=scale)._new_generator(spec, 1020, 117, seed=0)
    sizes = [sum(p.numel() for p in generator.map_parameters()) for generator in (ours, theirs)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)
    # The encoder is trained, but not needed to generate.
    assert theirs.n_parameters - ours.n_parameters == sizes[1] - sum(p.numel() for p in ours.map.decoder.parameters())
    assert dataclasses.replace(ours.map_training, lr=0.0) == dataclasses.replace(theirs.map_training, lr=0.0)
