"""The flow-matching ablation, against velocities that are known in closed form."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from latents import chance, trained  # noqa: E402

from maa_bench.baselines.latent_flow import LatentFlow  # noqa: E402
from maa_bench.baselines.latent_flow.flow import Flow  # noqa: E402
from maa_bench.baselines.make_an_agent.config import read_config  # noqa: E402
from maa_bench.baselines.make_an_agent.generator import PolicyGenerator  # noqa: E402
from maa_bench.baselines.shared.training import first_weights  # noqa: E402
from maa_bench.policy import PolicySpec  # noqa: E402

pytestmark = pytest.mark.baseline

SHAPE, GIVEN = (2, 8), 3
Arrival = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Known(torch.nn.Module):
    """In place of the U-Net: E[latent | x], given x and the time in [0, 1]."""

    def __init__(self, arrival: Arrival, time_scale: int) -> None:
        super().__init__()
        self.arrival, self.time_scale = arrival, time_scale

    def forward(self, x: torch.Tensor, step: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return self.arrival(x, step[:, None, None] / self.time_scale)


def flow(arrival: Arrival | None = None, steps: int = 10) -> Flow:
    settings = dataclasses.replace(read_config("tiny").diffusion, inference_steps=steps, widths=(32,))
    with first_weights(0):
        made = Flow(settings, SHAPE, GIVEN)
    if arrival:
        made.unet = Known(arrival, settings.train_steps)
    return made


def of_gaussian(spread: float) -> Arrival:
    """E[latent | x] where latents are N(0, spread**2) and x = (1 - t) noise + t latent: linear in x."""
    return lambda x, t: t * spread**2 / (t**2 * spread**2 + (1 - t) ** 2) * x


def test_to_a_point_every_line_is_straight_and_any_number_of_steps_arrives() -> None:
    point = torch.randn(SHAPE, generator=chance(1))
    noise, condition = torch.randn(20, *SHAPE, generator=chance(2)), torch.zeros(20, GIVEN)
    for steps in (1, 2, 10):
        made = flow(lambda x, t: point.expand_as(x), steps).sample(condition, noise)
        np.testing.assert_allclose(made, point.expand(20, 2, 8), atol=1e-5)


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_loss_is_least_at_the_conditional_mean_of_a_gaussian(spread: float) -> None:
    """What is left there is the integral of spread**2 (1 - t)**2 / (t**2 spread**2 + (1 - t)**2) over t."""
    rows = 40_000
    latent, condition = spread * torch.randn(rows, *SHAPE, generator=chance(4)), torch.zeros(rows, GIVEN)
    best = of_gaussian(spread)
    t = (np.arange(100_000) + 0.5) / 100_000
    expected = np.mean(spread**2 * (1 - t) ** 2 / (t**2 * spread**2 + (1 - t) ** 2))
    least = flow(best).loss(latent, condition, chance(5)).item()
    assert least == pytest.approx(expected, rel=0.02)
    for other in (lambda x, t: 1.2 * best(x, t), lambda x, t: best(x, t) + 0.1):
        assert flow(other).loss(latent, condition, chance(5)).item() > least + 0.0005


@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_the_flow_of_a_gaussian_stretches_noise_to_the_latents_spread(spread: float) -> None:
    """Velocity (t s^2 - (1 - t)) / (t^2 s^2 + (1 - t)^2) x is solved by x(1) = s x(0); Euler's error falls with n."""
    noise, condition = torch.randn(50, *SHAPE, generator=chance(6)), torch.zeros(50, GIVEN)
    errors = []
    for steps in (10, 100, 1000):
        made = flow(of_gaussian(spread), steps).sample(condition, noise)
        errors.append(((made - spread * noise).norm() / (spread * noise).norm()).item())
    assert errors[2] < 0.005
    assert errors[2] < errors[1] < errors[0]


def test_trained_it_goes_where_the_condition_says() -> None:
    points = torch.rand(3, *SHAPE, generator=chance(7)) * 2 - 1
    rows = torch.arange(96) % 3
    given = torch.eye(3)
    fitted = trained(flow(), points[rows], given[rows], 400, 5e-3)
    made = fitted.sample(given, torch.randn(3, *SHAPE, generator=chance(8)))
    np.testing.assert_allclose(made, points, atol=0.25)


def test_it_has_the_denoisers_network_budget_and_number_of_steps() -> None:
    spec = PolicySpec(39, (128, 128), 4, ("elu", "relu"))
    for scale in ("small", "paper"):
        with torch.device("meta"):  # where weights take no memory
            theirs = PolicyGenerator(read_config(scale), spec.chunks, 1020, 117, seed=0)
            ours = LatentFlow(scale=scale)._new_generator(spec, 1020, 117, seed=0)
        shapes = [[p.shape for p in generator.map_parameters()] for generator in (ours, theirs)]
        assert shapes[0] == shapes[1]
        assert ours.n_parameters == theirs.n_parameters
        assert dataclasses.replace(ours.map_training, lr=0.0) == dataclasses.replace(theirs.map_training, lr=0.0)
        assert ours.map.n_steps == len(theirs.diffusion.scheduler.timesteps)
