"""The forward pass against the official implementation's vectors and against torch."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from maa_bench.errors import SpecError
from maa_bench.method import FlatPolicies
from maa_bench.policy import PolicySpec, act, heads

PAPER = PolicySpec(39, (128, 128), 4, ("elu", "relu"))
GOLDEN = Path(os.environ.get("MAA_BENCH_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))


def random_params(spec: PolicySpec, n: int, seed: int = 0, scale: float = 0.1) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal((n, spec.n_params))).astype(np.float32)


def test_paper_policy_has_the_published_sizes() -> None:
    assert PAPER.n_params == 22_664
    assert PAPER.chunks == ((0, 5120), (5120, 22_664))
    assert [t.name for t in PAPER.tensors] == [
        "linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias",
        "mean.weight", "mean.bias", "log_std.weight", "log_std.bias",
    ]  # fmt: skip


@pytest.mark.golden
def test_forward_matches_the_official_implementation() -> None:
    if not (GOLDEN / "policy.npz").exists():
        pytest.skip(f"golden vectors not found at {GOLDEN} (set MAA_BENCH_GOLDEN)")
    golden = np.load(GOLDEN / "policy.npz")
    scales = (0.1, 0.15, 0.2, 0.45, 0.05)
    for k, scale in enumerate(scales):
        z = np.random.default_rng([110, k]).standard_normal(22_664, dtype=np.float32)
        flat = np.float32(scale) * z
        if k < 3:
            np.testing.assert_array_equal(flat, golden["flat_0_1_2"][k])
        params = np.repeat(flat[None], 16, axis=0)
        mean, log_std = heads(PAPER, params, golden["obs"][k])
        np.testing.assert_allclose(mean, golden["mean"][k], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(log_std, golden["log_std"][k], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(act(PAPER, params, golden["obs"][k]), golden["action"][k], rtol=1e-5, atol=1e-5)
    assert golden["log_std"][3].min() == -20
    assert golden["log_std"][3].max() == 2


@pytest.mark.parametrize(
    "spec",
    [
        PAPER,
        PolicySpec(3, (5,), 2, ("tanh",)),
        PolicySpec(4, (8, 6, 7), 3, ("relu", "tanh", "elu")),
    ],
)
def test_forward_matches_torch(spec: PolicySpec) -> None:
    import torch

    params, rng = random_params(spec, 6, scale=0.3), np.random.default_rng(1)
    obs = rng.standard_normal((6, spec.obs_dim)).astype(np.float32)
    tensors = {
        t.name: torch.from_numpy(params[:, t.start : t.stop].reshape(6, *t.shape)).double() for t in spec.tensors
    }
    functions = {"elu": torch.nn.functional.elu, "relu": torch.relu, "tanh": torch.tanh}
    x = torch.from_numpy(obs).double()
    for i, name in enumerate(spec.activations, start=1):
        x = torch.einsum("noi,ni->no", tensors[f"linear{i}.weight"], x) + tensors[f"linear{i}.bias"]
        x = functions[name](x)
    mean = torch.einsum("noi,ni->no", tensors["mean.weight"], x) + tensors["mean.bias"]
    np.testing.assert_allclose(act(spec, params, obs), torch.tanh(mean).numpy(), atol=1e-5)


def test_a_row_has_the_same_bits_alone_in_a_batch_and_as_an_agent() -> None:
    params = random_params(PAPER, 50)
    obs = np.random.default_rng(1).standard_normal((50, 39))
    batch = act(PAPER, params, obs)
    alone = np.concatenate([act(PAPER, params[i : i + 1], obs[i : i + 1]) for i in range(50)])
    agents = FlatPolicies(PAPER, params)
    stepped = np.stack([agents.agent(i).act(obs[i]) for i in range(50)])
    assert batch.tobytes() == alone.tobytes() == stepped.tobytes()


def test_nan_observation_gives_nan_action() -> None:
    assert np.isnan(act(PAPER, random_params(PAPER, 1), np.full((1, 39), np.nan))).all()


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [((2, 10), 0.0, r"shape \(2, 10\)"), ((22_664,), 0.0, "needs"), ((2, 22_664), np.nan, "row 0 hold NaN")],
)
def test_parameters_that_do_not_fit_are_refused(shape: tuple[int, ...], value: float, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        FlatPolicies(PAPER, np.full(shape, value, np.float32))


def test_unknown_activation_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="Did you mean 'relu'"):
        PolicySpec(3, (4,), 1, ("relu6",))
