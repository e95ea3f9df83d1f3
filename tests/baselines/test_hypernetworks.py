"""The two hypernetworks: how they start, what gradient reaches them, what may depend on what, and that they learn."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from maa_bench.baselines.hyper_transformer import HyperTransformer
from maa_bench.baselines.hyper_transformer.network import Config as TransformerConfig
from maa_bench.baselines.hyper_transformer.network import HyperTransformerNet
from maa_bench.baselines.hypernetwork import Hypernetwork
from maa_bench.baselines.hypernetwork.network import Config as HypernetConfig
from maa_bench.baselines.hypernetwork.network import Hypernet
from maa_bench.baselines.shared.config import TrainingConfig
from maa_bench.baselines.shared.emitter import PolicyEmitter
from maa_bench.baselines.shared.emitter_method import EmitterMethod
from maa_bench.baselines.shared.training import first_weights
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import MethodError
from maa_bench.method import Context, TrainingSet
from maa_bench.policy import PolicySpec, act
from maa_bench.prompts import OUTCOME, SEGMENT, STRIDE, Behaviors, PromptSet

pytestmark = pytest.mark.baseline

SPEC = PolicySpec(4, (6, 5), 2, ("elu", "relu"))
N_SHOWN = SEGMENT // STRIDE * 4 + SEGMENT * 2 + OUTCOME * 4
NOT_USED = TrainingConfig(1, 0, 1, 1e-3, (0.9, 0.999), 0.0, 0, 1)
METHODS = (Hypernetwork, HyperTransformer)


def hypernet(seed: int = 0) -> Hypernet:
    with first_weights(seed):
        return Hypernet(SPEC, HypernetConfig(0.1, 1, NOT_USED, hidden=7, width=3))


def transformer(seed: int = 0) -> HyperTransformerNet:
    """Blocks of 4 rows divide neither 6, 5 nor 2."""
    config = TransformerConfig(0.1, 1, NOT_USED, width=8, heads=2, feedforward=9, depth=2, rows_per_slot=4)
    with first_weights(seed):
        return HyperTransformerNet(SPEC, config)


NETWORKS = (hypernet, transformer)


def drawn(*shape: int, seed: int = 0, like: float = 1.0) -> Tensor:
    return like * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def woken(network: PolicyEmitter) -> PolicyEmitter:
    """With heads that are no longer 0, and scalers that are not the identity."""
    for name, parameter in network.named_parameters():
        if name.endswith("head.weight"):
            parameter.data = drawn(*parameter.shape, seed=5, like=0.3)
    network.fit_scalers(3 * drawn(50, N_SHOWN, seed=6) + 1, 2 * drawn(50, 4, seed=7) - 1)
    return network.eval()


@pytest.mark.parametrize("make", NETWORKS)
def test_bias_hyperinit_starts_from_one_ordinary_policy(make: type) -> None:
    """Beck et al. 2022: at first the prompt is not heard, and weights are drawn as those of the base network."""
    weights, limits = [], []
    for seed in range(40):
        network = make(seed)
        with torch.no_grad():
            made = network.policies(network.read(drawn(5, N_SHOWN)))
        assert (made == made[0]).all()
        for tensor in SPEC.tensors:
            part = made[0, tensor.start : tensor.stop]
            if tensor.name.endswith("bias") or tensor.name.startswith("log_std"):
                assert (part == 0).all()
            else:
                limits.append((6.0 / sum(tensor.shape)) ** 0.5)
                weights.append(part / limits[-1])
    values = torch.cat(weights)
    assert values.abs().max() <= 1
    # Uniform on [-1, 1]: mean 0, variance 1/3, fourth moment 1/5.
    np.testing.assert_allclose([values.mean(), values.var(), values.pow(4).mean()], [0, 1 / 3, 1 / 5], atol=0.02)


@pytest.mark.parametrize("make", NETWORKS)
def test_training_begins_as_that_of_the_base_policy_and_the_heads_hear_at_once(make: type) -> None:
    network = make()
    prompt, obs, goal = network.read(drawn(3, N_SHOWN)), drawn(3, 6, 4, seed=1), drawn(3, 6, 2, seed=2)
    (network.actions(prompt, obs) - goal).square().mean().backward()
    heads = [p for name, p in network.named_parameters() if name.endswith("head.weight")]
    assert all((head.grad != 0).any() for head in heads)


@pytest.mark.parametrize("make", NETWORKS)
def test_gradient_is_the_policys_own_times_the_jacobian_of_what_is_emitted(make: type) -> None:
    """Chain rule: dL/dphi = (dL/dtheta)(dtheta/dphi), theta being a plain policy that knows of no hypernetwork."""
    network = woken(make())
    prompt, obs, goal = network.read(drawn(2, N_SHOWN)), drawn(2, 6, 4, seed=1), drawn(2, 6, 2, seed=2)
    (network.actions(prompt, obs) - goal).square().sum().backward()

    theta = network.emit(prompt).detach().requires_grad_()
    total = torch.zeros(())
    for one, states, wanted in zip(theta, network.obs_scaler(obs), goal, strict=True):
        total = total + (plain_actions(one, states) - wanted).square().sum()
    (own,) = torch.autograd.grad(total, theta)

    names = [name for name, p in network.named_parameters() if "head" in name or name == "base"]
    parameters = dict(network.named_parameters())
    for name in names:

        def emitted(value: Tensor, name: str = name) -> Tensor:
            made: Tensor = torch.func.functional_call(_Emit(network), {f"network.{name}": value}, (prompt,))
            return made

        jacobian = torch.autograd.functional.jacobian(emitted, parameters[name].detach())
        expected = torch.tensordot(own, jacobian, dims=2)
        found = parameters[name].grad
        assert found is not None
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


class _Emit(torch.nn.Module):
    """`emit` as a module's forward pass, which `functional_call` needs."""

    def __init__(self, network: PolicyEmitter) -> None:
        super().__init__()
        self.network = network

    def forward(self, prompt: Tensor) -> Tensor:
        return self.network.emit(prompt)


def plain_actions(theta: Tensor, x: Tensor) -> Tensor:
    """The policy SPEC written out, for one flat vector."""
    at = {t.name: theta[t.start : t.stop].reshape(t.shape) for t in SPEC.tensors if not t.name.startswith("log_std")}
    x = torch.nn.functional.elu(x @ at["linear1.weight"].T + at["linear1.bias"])
    x = torch.relu(x @ at["linear2.weight"].T + at["linear2.bias"])
    return torch.tanh(x @ at["mean.weight"].T + at["mean.bias"])


@pytest.mark.parametrize("make", NETWORKS)
def test_candidates_act_as_the_policy_that_was_trained(make: type) -> None:
    """Folding the observations' standardisation into the first layer changes nothing, by the evaluator's own pass."""
    network = woken(make())
    prompt, obs = network.read(drawn(3, N_SHOWN)), drawn(3, 6, 4, seed=1, like=3.0)
    with torch.no_grad():
        trained, flat = network.actions(prompt, obs).numpy(), network.policies(prompt).numpy()
    assert len(np.unique(flat, axis=0)) == 3
    for step in range(6):
        np.testing.assert_allclose(act(SPEC, flat, obs[:, step].numpy()), trained[:, step], atol=2e-5)


def test_layers_are_emitted_in_order() -> None:
    """A layer hears the layers before it and none of those after it."""
    network = woken(transformer())
    assert isinstance(network, HyperTransformerNet)
    prompt = network.read(drawn(2, N_SHOWN))
    with torch.no_grad():
        before = network.tensors(network.emit(prompt))
        for i, name in enumerate(("linear1", "linear2", "mean")):
            kept = network.layers[i].slots.data.clone()
            network.layers[i].slots.data += 1.0 + drawn(*kept.shape, seed=3)
            after = network.tensors(network.emit(prompt))
            network.layers[i].slots.data = kept
            changed = [
                not torch.equal(before[f"{x}.weight"], after[f"{x}.weight"]) for x in ("linear1", "linear2", "mean")
            ]
            assert changed == [False] * i + [True] * (3 - i), name


def test_a_prompt_is_a_set_of_steps_and_a_set_of_outcomes() -> None:
    network = woken(transformer())
    prompt = network.read(drawn(2, N_SHOWN))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        made = network.emit(prompt)
        same = network.emit(torch.cat([prompt[:, order], prompt[:, [22, 20, 21]]], dim=1))
        other = network.emit(torch.cat([prompt[:, :19], prompt[:, [20, 19]], prompt[:, 21:]], dim=1))
        alone = network.emit(prompt[1:])
    torch.testing.assert_close(same, made, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone, made[1:], rtol=1e-4, atol=1e-5)
    assert (other - made).abs().max() > 1e-3  # an outcome is not taken for a step


def test_tokens_hold_what_the_prompt_shows(tiny_dataset: CheckpointDataset) -> None:
    from maa_bench.baselines.shared.steps import prompt_features

    shown = tiny_dataset.training_set("seen").behaviors.take(slice(0, 3))
    samples = transformer().read(prompt_features(shown)).numpy()  # a fresh scaler only clamps
    assert samples.shape == (3, 23, 4 + 3 * 2)
    np.testing.assert_array_equal(samples[:, 4, :4], shown.observations[:, 12].clip(-5, 5))
    np.testing.assert_array_equal(samples[:, 4, 4:], shown.actions[:, 12:15].reshape(3, -1))
    np.testing.assert_array_equal(samples[:, 20:, :4], shown.outcome.clip(-5, 5))
    assert (samples[:, 20:, 4:] == 0).all()


@pytest.fixture(scope="module")
def data(tiny_dataset: CheckpointDataset) -> TrainingSet:
    return tiny_dataset.training_set("seen")


@pytest.fixture(scope="module", params=METHODS)
def fitted(request: pytest.FixtureRequest, data: TrainingSet) -> EmitterMethod:
    method: EmitterMethod = request.param(scale="tiny")
    method.fit(data, Context(0))
    return method


def test_it_learns_each_tasks_policy(fitted: EmitterMethod, data: TrainingSet, tiny_dataset: CheckpointDataset) -> None:
    """Prompts of runs that it never saw: nearer to the expert on the prompt's task than on any other."""
    errors = np.zeros((len(data.train_tasks), len(data.train_tasks)))
    for i, prompted in enumerate(data.train_tasks):
        made = fitted.generate(tiny_dataset.prompts(prompted, 4, 0), 4, Context(0)).params
        for j, task in enumerate(data.train_tasks):
            steps = data.transitions[task]
            rows = np.linspace(0, len(steps) - 1, 200).astype(int)
            for policy in made:
                actions = act(data.spec, np.repeat(policy[None], 200, axis=0), steps.observations[rows])
                errors[i, j] += np.square(actions - steps.labels[rows]).mean() / 4
    own, others = np.diag(errors), errors[~np.eye(len(errors), dtype=bool)]
    assert own.max() < 0.05 < others.min(), errors


def test_candidates(fitted: EmitterMethod, tiny_dataset: CheckpointDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = tiny_dataset.prompts("goal-030", 4, 0)
    many = fitted.generate(prompts, 40, Context(0)).params
    assert len(np.unique(many, axis=0)) == 40
    assert np.array_equal(many[:5], fitted.generate(prompts, 5, Context(0)).params)
    # The first ones answer their prompts without noise.
    assert np.array_equal(many[:4], fitted.generate(prompts, 4, Context(1)).params)
    assert not (many[4:] == fitted.generate(prompts, 40, Context(1)).params[4:]).all(axis=1).any()
    # With the noise gone, each is the answer to its own prompt.
    monkeypatch.setattr(fitted, "config", dataclasses.replace(fitted.config, prompt_noise=1e-7))
    quiet = fitted.generate(prompts, 40, Context(0)).params
    np.testing.assert_allclose(quiet[4:], np.tile(many[:4], (9, 1)), atol=1e-4)


def test_save_and_load(
    fitted: EmitterMethod, data: TrainingSet, tiny_dataset: CheckpointDataset, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    loaded = type(fitted)(scale="small")  # type: ignore[call-arg]
    loaded.load(tmp_path, data)
    prompts = tiny_dataset.prompts("goal-030", 3, 0)
    made = [method.generate(prompts, 5, Context(0)).params.tobytes() for method in (fitted, loaded)]
    assert made[0] == made[1]
    assert loaded.n_parameters == fitted.n_parameters


def test_refusals(fitted: EmitterMethod, tiny_dataset: CheckpointDataset) -> None:
    prompts = tiny_dataset.prompts("goal-030", 2, 0)
    with pytest.raises(MethodError, match=f"{fitted.card.name} is not fitted"):
        type(fitted)(config=fitted.config).generate(prompts, 1, Context(0))
    none = PromptSet(prompts.suite, prompts.task, prompts.behaviors.take(slice(0, 0)), ())
    with pytest.raises(MethodError, match="prompts of 1 or more"):
        fitted.generate(none, 1, Context(0))
    shown = prompts.behaviors
    wider = Behaviors(*(np.repeat(part, 2, axis=2) for part in (shown.observations, shown.actions, shown.outcome)))
    with pytest.raises(MethodError, match="of sizes 4 and 2, but prompts of goal-030 have 8 and 4"):
        fitted.generate(PromptSet(prompts.suite, prompts.task, wider, prompts.sources), 1, Context(0))
    with pytest.raises(MethodError, match="prompt_noise must be above 0"):
        dataclasses.replace(fitted.config, prompt_noise=0.0)


def test_without_transitions_the_shown_steps_are_cloned(fitted: EmitterMethod, data: TrainingSet) -> None:
    """As with the official data."""
    few = dataclasses.replace(fitted.config, training=dataclasses.replace(fitted.config.training, steps=3))
    method = type(fitted)(config=few)
    columns = {name: getattr(data, name).copy() for name in ("task", "role", "run", "success", "params", "step")}
    method.fit(dataclasses.replace(data, transitions={}, **columns), Context(0))
    prompts = PromptSet(data.suite, "x", data.behaviors.take(slice(0, 2)), ("a", "b"))
    assert np.isfinite(method.generate(prompts, 2, Context(0)).params).all()
