"""Checkpoints by distillation: noisy scripted experts, then behaviour cloning of all runs of a task at once.

The paper took its checkpoints from SAC runs of 10^6 environment steps. Cloned policies of the same architecture,
saved along their training, give a comparable family in seconds: each run is a training lineage of its own (own
initial weights, own order of data), and its checkpoints move along it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maa_bench.errors import DataError
from maa_bench.policy import Float32, PolicySpec, initial_params
from maa_bench.simulators import Float64, TaskSimulator

if TYPE_CHECKING:
    import torch

VERSION = 2
"""Part of every dataset's identity; raise it when the numbers that come out change."""


@dataclass(frozen=True)
class DistillConfig:
    """Settings of the distilled producer.

    Attributes:
        demonstrations: noisy expert episodes a task.
        max_episode_steps: an episode ends `tail` steps after its first success, or here.
        tail: steps recorded after the first success, so that the policy also knows what comes next.
        noise_std: action noise of an episode, taken in turn.
        burst: steps for which the noise stays switched on or off.
        updates: gradient steps.
        batch_size: transitions a gradient step and run.
        learning_rate: Adam's.
        first_checkpoint: gradient step of the first checkpoint.
    """

    demonstrations: int = 40
    max_episode_steps: int = 200
    tail: int = 8
    noise_std: tuple[float, ...] = (0.0, 0.2, 0.5, 1.0)
    burst: int = 10
    updates: int = 3000
    batch_size: int = 64
    learning_rate: float = 1e-3
    first_checkpoint: int = 1500


@dataclass(frozen=True)
class Snapshot:
    """Parameters of one run at one step: (n_params,) float32."""

    run: int
    step: int
    params: Float32


def demonstrations(
    simulator: TaskSimulator, layouts: Float64, config: DistillConfig, rng: np.random.Generator
) -> tuple[Float32, Float32]:
    """Every visited state of noisy expert episodes, labelled with the expert's own action.

    Noise drives the arm off the expert's path, the label says how to come back: one round of what DAgger does.

    Returns:
        observations (n, obs_dim) float32 and actions (n, action_dim) float32 in [-1, 1].
    """
    observations: list[Float64] = []
    actions: list[Float64] = []
    expert = simulator.expert()
    for episode in range(config.demonstrations):
        std = config.noise_std[episode % len(config.noise_std)]
        expert.reset()
        obs = simulator.reset(layouts[episode % len(layouts)])
        noisy, remaining = False, config.max_episode_steps
        step = 0
        while remaining:
            label = np.asarray(expert.act(obs), np.float64)
            observations.append(obs)
            actions.append(label)
            if step % config.burst == 0:
                noisy = bool(rng.random() < 0.5)
            noise = std * rng.standard_normal(label.shape)
            obs, success = simulator.step(np.clip(label + noise, -1.0, 1.0) if noisy else label)
            step += 1
            remaining = min(remaining - 1, config.tail) if success else remaining - 1
    return np.array(observations, np.float32), np.array(actions, np.float32)


def clone(
    spec: PolicySpec,
    observations: Float32,
    actions: Float32,
    run_seeds: list[int],
    checkpoint_every: list[int],
    data_seed: int,
    config: DistillConfig,
) -> Iterator[Snapshot]:
    """Clone the demonstrations into all runs at once, as one batched network; yields checkpoints as they come.

    The initial weights of a run depend on `run_seeds` alone, so that run r starts from the same weights on every
    task, as the same torch seed does for the paper's SAC runs.

    Args:
        spec: the policy.
        observations, actions: the demonstrations.
        run_seeds: one seed a run.
        checkpoint_every: gradient steps between checkpoints of each run, from `config.first_checkpoint` on.
        data_seed: decides which transitions each run sees when.
        config: settings.
    """
    import torch

    generator = torch.Generator().manual_seed(data_seed)
    obs, target = torch.from_numpy(observations), torch.from_numpy(actions)
    n_runs = len(run_seeds)
    flat = torch.from_numpy(np.stack([initial_params(spec, np.random.default_rng(seed)) for seed in run_seeds]))
    # One leaf a tensor, of all runs: gradients of slices of one flat tensor would each be padded to its full size.
    # The deterministic action does not depend on log_std, which keeps its initial values.
    trained = [t for t in spec.tensors if not t.name.startswith("log_std")]
    leaves = [flat[:, t.start : t.stop].reshape(n_runs, *t.shape).clone().requires_grad_(True) for t in trained]
    means, squares = [torch.zeros_like(x) for x in leaves], [torch.zeros_like(x) for x in leaves]
    for update in range(1, config.updates + 1):
        rows = torch.randint(len(obs), (n_runs, config.batch_size), generator=generator)
        action = batched_mean(spec, {t.name: x for t, x in zip(trained, leaves, strict=True)}, obs[rows]).tanh()
        loss = (action - target[rows]).square().mean(dim=(1, 2)).sum()  # a sum: no run's gradient sees another
        grads = torch.autograd.grad(loss, leaves)
        step = config.learning_rate * (1 - 0.999**update) ** 0.5 / (1 - 0.9**update)
        with torch.no_grad():  # Adam (Kingma & Ba 2015)
            for leaf, grad, mean, square in zip(leaves, grads, means, squares, strict=True):
                mean.lerp_(grad, 0.1)
                square.mul_(0.999).addcmul_(grad, grad, value=0.001)
                leaf.addcdiv_(mean, square.sqrt().add_(1e-8), value=-step)
        since = update - config.first_checkpoint
        if any(since >= 0 and since % every == 0 for every in checkpoint_every):
            for tensor, leaf in zip(trained, leaves, strict=True):
                flat[:, tensor.start : tensor.stop] = leaf.detach().reshape(n_runs, -1)
            if not bool(torch.isfinite(flat).all()):
                raise DataError("behaviour cloning diverged: parameters hold NaN or infinity")
            for run, every in enumerate(checkpoint_every):
                if since % every == 0:
                    yield Snapshot(run, update, flat[run].numpy().copy())


def batched_mean(spec: PolicySpec, tensors: dict[str, torch.Tensor], obs: torch.Tensor) -> torch.Tensor:
    """Differentiable mean head of n policies on a batch each.

    Args:
        spec: the policy.
        tensors: by name in `spec.tensors`, each (n, *shape) float32.
        obs: (n, b, obs_dim) float32.

    Returns:
        (n, b, action_dim) float32.
    """
    import torch

    functions = {"elu": torch.nn.functional.elu, "relu": torch.relu, "tanh": torch.tanh}
    x = obs
    for layer, activation in enumerate((*spec.activations, None), start=1):
        name = f"linear{layer}" if activation else "mean"
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        x = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))
        if activation:
            x = functions[activation](x)
    return x
