"""What methods do with prompts: features, their encoder, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from maa_bench.baselines.shared.prompt_encoder import PromptEncoder, n_prompt_features
from maa_bench.baselines.shared.prompting import check_prompts, task_stream
from maa_bench.baselines.shared.scaling import LIMIT
from maa_bench.baselines.shared.steps import prompt_features
from maa_bench.baselines.shared.training import first_weights
from maa_bench.errors import MethodError
from maa_bench.policy import PolicySpec
from maa_bench.prompts import Behaviors, PromptSet

pytestmark = pytest.mark.baseline

SPEC = PolicySpec(5, (8, 7), 2, ("elu", "relu"))


def prompts(n: int, obs_dim: int = 5, action_dim: int = 2, task: str = "north") -> PromptSet:
    rng = np.random.default_rng(0)
    shapes = ((n, 60, obs_dim), (n, 60, action_dim), (n, 3, obs_dim))
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    return PromptSet("family", task, Behaviors(*arrays), ("row",) * n)


def test_features_have_the_announced_length() -> None:
    assert prompt_features(prompts(3).behaviors).shape == (3, n_prompt_features(5, 2))
    assert n_prompt_features(39, 4) == 1020 + 117  # the paper's


def test_the_encoder_is_a_bounded_perceptron_on_standardised_features() -> None:
    with first_weights(0):
        encoder = PromptEncoder(6, (4,), 3)
    rows = 5 * torch.randn(40, 6, generator=torch.Generator().manual_seed(1)) + 2
    encoder.scaler.fit(rows)
    x = ((rows - rows.mean(0)) / rows.std(0)).clamp(-LIMIT, LIMIT).detach().numpy()
    one, two = ((layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in encoder.layers)
    expected = np.tanh(np.maximum(x @ one[0].T + one[1], 0) @ two[0].T + two[1])
    with torch.no_grad():
        np.testing.assert_allclose(encoder(rows).numpy(), expected, atol=1e-5)
        far = encoder(1e6 * rows)
        noisy = [encoder(rows, 0.5, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert far.abs().max() < 1
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])


def test_prompts_that_cannot_be_answered_are_refused() -> None:
    check_prompts("mine", SPEC, prompts(2), 1)
    for given, n, message in (
        (prompts(0), 4, "mine needs n and prompts of 1 or more; got n=4, 0 prompts"),
        (prompts(2), 0, "mine needs n and prompts of 1 or more; got n=0, 2 prompts"),
        (prompts(2, obs_dim=6), 1, "of sizes 5 and 2, but prompts of north have 6 and 2"),
        (prompts(2, action_dim=3), 1, "of sizes 5 and 2, but prompts of north have 5 and 3"),
    ):
        with pytest.raises(MethodError, match=re.escape(message)):
            check_prompts("mine", SPEC, given, n)


def test_only_the_task_decides_its_stream() -> None:
    assert task_stream(prompts(1)) == task_stream(prompts(5)) != task_stream(prompts(1, task="south"))
