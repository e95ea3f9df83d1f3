"""The regression ablation, against the closed forms of linear regression."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from latents import chance, trained  # noqa: E402

from maa_bench.baselines.latent_regression import LatentRegression, RegressionSettings  # noqa: E402
from maa_bench.baselines.latent_regression.regression import Regression  # noqa: E402
from maa_bench.baselines.make_an_agent.config import read_config  # noqa: E402
from maa_bench.baselines.make_an_agent.generator import PolicyGenerator  # noqa: E402
from maa_bench.baselines.shared.training import first_weights  # noqa: E402
from maa_bench.policy import PolicySpec  # noqa: E402

pytestmark = pytest.mark.baseline

ROWS, GIVEN = 60, 5


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """Latents (60, 2, 3) that are no function of their conditions (60, 5)."""
    draws = chance(1)
    condition = torch.randn(ROWS, GIVEN, generator=draws) + 0.5
    latent = condition @ torch.randn(GIVEN, 6, generator=draws) + torch.randn(ROWS, 6, generator=draws)
    return latent.unflatten(1, (2, 3)), condition


def linear(condition_noise: float = 0.0) -> Regression:
    with first_weights(0):
        return Regression(RegressionSettings(lr=0.0, hidden=()), (2, 3), GIVEN, condition_noise)


def ridge(latent: torch.Tensor, condition: torch.Tensor, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Weight (5, 6) and bias (6,) that minimise squared errors + penalty * weight**2, from the normal equations."""
    x, y = condition.double().numpy(), latent.flatten(1).double().numpy()
    centred = x - x.mean(axis=0)
    weight = np.linalg.solve(centred.T @ centred + penalty * np.eye(GIVEN), centred.T @ y)
    return weight, y.mean(axis=0) - x.mean(axis=0) @ weight


def assert_fits(fitted: Regression, weight: np.ndarray, bias: np.ndarray, tolerance: float) -> None:
    given = torch.randn(40, GIVEN, generator=chance(2))
    made = fitted.sample(given, torch.zeros(40, GIVEN))
    np.testing.assert_allclose(made.flatten(1), given.double().numpy() @ weight + bias, atol=tolerance)


def test_without_hidden_layers_it_is_least_squares() -> None:
    latent, condition = pairs()
    assert_fits(trained(linear(), latent, condition, 600, 0.1), *ridge(latent, condition, 0.0), tolerance=2e-3)


def test_noise_on_the_condition_is_a_ridge_penalty() -> None:
    """Bishop 1995: noise of variance v on n inputs adds n * v * weight**2. The noise is Make-An-Agent's own."""
    latent, condition = pairs()
    config = read_config("tiny")
    config = dataclasses.replace(config, diffusion=dataclasses.replace(config.diffusion, condition_noise=0.8))
    generator = PolicyGenerator(config, ((0, 7), (7, 12)), 9, 6, seed=0)
    repeated = 20  # rows a step: the noise's draws average out
    fitted = trained(
        linear(), latent.repeat(repeated, 1, 1), condition.repeat(repeated, 1), 600, 0.05, generator.disturbed
    )
    weight, bias = ridge(latent, condition, penalty=ROWS * 0.8**2)
    assert_fits(fitted, weight, bias, tolerance=0.15)
    plain, _ = ridge(latent, condition, penalty=0.0)
    assert np.abs(weight - plain).max() > 0.5  # the tolerance tells them apart


def test_noise_moves_the_condition_as_far_as_in_training() -> None:
    fitted, noise = linear(condition_noise=0.3), torch.randn(1, GIVEN, generator=chance(3))
    given = torch.randn(2000, GIVEN, generator=chance(4))
    weight = fitted.network[0].weight.detach()
    torch.testing.assert_close(
        fitted.sample(given[:1], noise) - fitted.sample(given[:1], torch.zeros(1, GIVEN)),
        (0.3 * noise @ weight.T).unflatten(1, (2, 3)),
    )
    config = read_config("tiny")
    disturbed = PolicyGenerator(config, ((0, 7), (7, 12)), 9, 6, seed=0).disturbed(given, chance(5)) - given
    ours = LatentRegression(scale="tiny")._new_generator(PolicySpec(4, (16, 16), 2, ("elu", "relu")), 9, 6, seed=0)
    assert float(disturbed.std()) == pytest.approx(ours.map.condition_noise, rel=0.05)


@pytest.mark.parametrize("scale", ["small", "paper"])
def test_it_has_as_many_parameters_as_the_denoiser(scale: str) -> None:
    spec = PolicySpec(39, (128, 128), 4, ("elu", "relu"))
    with torch.device("meta"):  # where weights take no memory
        theirs = PolicyGenerator(read_config(scale), spec.chunks, 1020, 117, seed=0)
        ours = LatentRegression(scale=scale)._new_generator(spec, 1020, 117, seed=0)
    sizes = [sum(p.numel() for p in generator.map_parameters()) for generator in (ours, theirs)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)
    assert ours.n_parameters == pytest.approx(theirs.n_parameters, rel=0.01)
    training = ours.map_training
    assert dataclasses.replace(training, lr=0.0) == dataclasses.replace(theirs.map_training, lr=0.0)
