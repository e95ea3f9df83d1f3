"""Networks that read a prompt and emit a whole policy, trained through the actions of the policy that they emit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from maa_bench.differentiable import batched_mean
from maa_bench.errors import MethodError
from maa_bench.method import Context, TrainingSet, prompt_of_candidate
from maa_bench.policy import Float32, PolicySpec, initial_params
from maa_bench.prompts import PromptSet

from .config import TrainingConfig
from .prompted_steps import PromptedSteps
from .prompting import task_stream
from .scaling import Standardizer
from .steps import labelled_steps, prompt_features
from .training import first_weights, minimize

# Streams of `Context.torch_generator`.
INIT, TRAINING, CANDIDATES = range(3)

BATCH = 16
"""Candidates are made so many at a time, the last batch filled up, so that their bits do not depend on n."""


@dataclass(frozen=True)
class EmitterConfig:
    """Attributes:
    prompt_noise: standard deviation of the noise on standardised prompts in training, and for candidates beyond
        the first len(prompts); above 0, or those candidates would be copies.
    steps_per_policy: labelled steps that each emitted policy is tried on in a batch.
    training: a row is a prompt of the training set.
    """

    prompt_noise: float
    steps_per_policy: int
    training: TrainingConfig

    def __post_init__(self) -> None:
        if self.prompt_noise <= 0:
            raise MethodError(f"prompt_noise must be above 0, or candidates would be copies; got {self.prompt_noise}")


class PolicyEmitter(nn.Module):
    """Prompt in, policy out: what both hypernetworks are, but for how they `read` and `emit`.

    Emitted weights act on standardised observations; `policies` folds that into the first layer, which makes plain
    policies. The log_std head, which no candidate uses, is not emitted: it is 0.

    Args:
        spec: of the policies.
    """

    def __init__(self, spec: PolicySpec) -> None:
        super().__init__()
        self.spec = spec
        self.acting = tuple(tensor for tensor in spec.tensors if not tensor.name.startswith("log_std"))
        self.n_emitted = self.acting[-1].stop
        self.obs_scaler = Standardizer(spec.obs_dim, limit=math.inf)

    def fit_scalers(self, shown: Tensor, observations: Tensor) -> None:
        """Take means and spreads of prompts (n, traj + task) and of observations (m, obs_dim)."""
        raise NotImplementedError

    def read(self, shown: Tensor) -> Tensor:
        """`prompt_features` (n, traj + task) -> what `emit` takes, standardised: (n, ...) float32."""
        raise NotImplementedError

    def emit(self, prompt: Tensor) -> Tensor:
        """Prompts as `read` gives them -> policies for standardised observations: (n, n_emitted) float32."""
        raise NotImplementedError

    def tensors(self, emitted: Tensor) -> dict[str, Tensor]:
        """Views of emitted policies (n, n_emitted), by name, each (n, *shape)."""
        # Split, not sliced: the gradient of six slices would be six arrays as large as the whole.
        parts = emitted.split([t.stop - t.start for t in self.acting], dim=1)
        return {t.name: part.reshape(len(emitted), *t.shape) for t, part in zip(self.acting, parts, strict=True)}

    def actions(self, prompt: Tensor, obs: Tensor) -> Tensor:
        """Actions of the policies emitted for n prompts: (n, ...), (n, b, obs_dim) -> (n, b, action_dim)."""
        return batched_mean(self.spec, self.tensors(self.emit(prompt)), self.obs_scaler(obs)).tanh()

    def policies(self, prompt: Tensor) -> Tensor:
        """Plain policies, for raw observations: (n, ...) -> (n, n_params) float32."""
        emitted = self.emit(prompt)
        flat = torch.zeros(len(emitted), self.spec.n_params, device=emitted.device)
        flat[:, : self.n_emitted] = emitted
        weight, bias = self.acting[:2]
        raw = self.tensors(emitted)[weight.name] / self.obs_scaler.spread
        flat[:, weight.start : weight.stop] = raw.reshape(len(raw), -1)
        flat[:, bias.start : bias.stop] -= raw @ self.obs_scaler.mean
        return flat


def base_policy(spec: PolicySpec, n_emitted: int) -> Tensor:
    """One ordinary fresh policy without its log_std head, (n_emitted,) float32, from torch's global generator: the
    start of Bias-HyperInit. Call it inside `first_weights`."""
    seed = int(torch.randint(2**62, ()))
    return torch.from_numpy(initial_params(spec, np.random.default_rng(seed))[:n_emitted].copy())


def fit_emitter(
    build: Callable[[PolicySpec], PolicyEmitter], training_set: TrainingSet, config: EmitterConfig, context: Context
) -> PolicyEmitter:
    """Train an emitter so that what it emits for a task's prompt acts as that task's labelled steps say.

    Prompt and steps are of the same task, but seldom of the same episode, so the loss asks for the task's policy and
    not for the prompt's actions. Nothing of the training checkpoints' parameters is used.

    Args:
        build: makes the network, with weights from torch's global generator.
        training_set: prompts and steps.
        config: noise and length.
        context: seed, device and progress.

    Returns:
        The emitter, in evaluation mode on `context.device`.
    """
    steps = labelled_steps(training_set, context.device)
    shown = prompt_features(training_set.behaviors, context.device)
    with first_weights(context.torch_generator(INIT).initial_seed()):
        network = build(training_set.spec)
    network.to(context.device)
    network.fit_scalers(shown, steps.observations)
    chance = context.torch_generator(TRAINING)
    prompted = PromptedSteps(steps, len(shown))

    def loss(rows: Tensor) -> Tensor:
        prompt = network.read(shown[rows])
        prompt = prompt + config.prompt_noise * torch.randn(prompt.shape, generator=chance).to(prompt.device)
        observations, actions = prompted.draw(rows, config.steps_per_policy, chance)
        return nn.functional.mse_loss(network.actions(prompt, observations), actions)

    minimize("hypernetwork", network.parameters(), loss, len(shown), config.training, context, chance)
    return network.eval()


@torch.no_grad()
def emitted_candidates(network: PolicyEmitter, prompts: PromptSet, n: int, noise: float, context: Context) -> Float32:
    """n policies (n, n_params) float32; candidate i answers prompt i mod len(prompts).

    The first len(prompts) candidates answer the prompts as they are; later ones answer them with noise of their own,
    as in training. Candidate i is the same for every n.
    """
    network.to(context.device)
    read = network.read(prompt_features(prompts.behaviors, context.device))
    chance = context.torch_generator(CANDIDATES, task_stream(prompts))
    made: list[Float32] = []
    for start in range(0, n, BATCH):
        chosen = prompt_of_candidate(start + BATCH, len(prompts))[start:]
        # Drawn one candidate at a time: torch fills a larger array in another order.
        drawn = torch.stack([torch.randn(read.shape[1:], generator=chance) for _ in range(BATCH)])
        drawn[: max(0, len(prompts) - start)] = 0
        prompt = read[torch.from_numpy(chosen).to(read.device)] + noise * drawn.to(read.device)
        made.append(network.policies(prompt).cpu().numpy())
        context.progress("emitting", min(start + BATCH, n), n)
    return np.concatenate(made)[:n]
