"""Fitting the three models, one after the other: autoencoder, behaviour embedding, the map between them.

That map is the diffusion here, and another one in the ablations that share this file (`baselines/latent`).

There is no validation split and no early stopping. The release keeps the weights that are best on held-out
rows, but rows of one training run are near copies of each other, so that choice would tell little.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from maa_bench.method import Context, TrainingSet
from maa_bench.policy import PolicySpec

from ..shared.training import minimize
from .generator import LatentGenerator

# Streams of `Context.torch_generator`: each use of chance has its own, so that one does not shift another.
INIT, AUTOENCODER, EMBEDDING, MAP = range(4)


class NewGenerator(Protocol):
    """Makes a generator that is not fitted, with first weights from `seed`."""

    def __call__(self, spec: PolicySpec, traj_dim: int, task_dim: int, seed: int) -> LatentGenerator: ...


def fit_generator(new: NewGenerator, training_set: TrainingSet, context: Context) -> LatentGenerator:
    """Train a generator on all rows of `training_set`; it is left on `context.device`.

    On the CPU the same seed and thread count give the same bytes. Global random state is as it was before.
    """
    # Copied because the training set's arrays cannot be written to, and torch warns about sharing such.
    params, traj, task = (
        torch.tensor(array, device=context.device)
        for array in (
            training_set.params,
            training_set.behaviors.trajectory_vectors(),
            training_set.behaviors.outcome_vectors(),
        )
    )
    seed = context.torch_generator(INIT).initial_seed()
    generator = new(training_set.spec, traj.shape[1], task.shape[1], seed)
    generator.to(context.device)
    latent = fit_autoencoder(generator, params, context)
    condition = fit_embedding(generator, traj, task, context)
    fit_map(generator, latent, condition, context)
    return generator.eval()


def fit_autoencoder(generator: LatentGenerator, params: Tensor, context: Context) -> Tensor:
    """Fit the autoencoder and the latent's limits to `params` (n, n_params); return latents (n, 2, width)."""
    model, settings = generator.autoencoder, generator.config.autoencoder
    chance = context.torch_generator(AUTOENCODER)
    if settings.init == "pca":
        model.fit_pca(params, chance)

    def loss(rows: Tensor) -> Tensor:
        rebuilt = model(params[rows], settings.input_noise, settings.latent_noise, chance)
        return nn.functional.mse_loss(rebuilt, params[rows])

    minimize("autoencoder", model.parameters(), loss, len(params), settings.training, context, chance)
    with torch.no_grad():
        latent = model.encode(params)
        generator.latent_limits.fit(latent)
    return latent


def fit_embedding(generator: LatentGenerator, traj: Tensor, task: Tensor, context: Context) -> Tensor:
    """Fit the embedding and its limits to the behaviours; return the map's conditions (n, condition)."""
    generator.traj_limits.fit(traj)
    generator.task_limits.fit(task)
    chance = context.torch_generator(EMBEDDING)

    def loss(rows: Tensor) -> Tensor:
        return generator.embedding.loss(*generator.embed(traj[rows], task[rows]))

    parameters = generator.embedding.parameters()
    training = generator.config.embedding.training
    minimize("behaviour embedding", parameters, loss, len(traj), training, context, chance)
    with torch.no_grad():
        traj_embedding, task_embedding = generator.embed(traj, task)
        generator.traj_embedding_limits.fit(traj_embedding)
        generator.task_embedding_limits.fit(task_embedding)
        return generator.condition(traj_embedding, task_embedding)


def fit_map(generator: LatentGenerator, latent: Tensor, condition: Tensor, context: Context) -> None:
    """Fit what makes a latent of a condition to the pairs of latent (n, 2, width) and condition (n, condition)."""
    chance = context.torch_generator(MAP)

    def loss(rows: Tensor) -> Tensor:
        return generator.map_loss(latent[rows], condition[rows], chance)

    parameters = generator.map_parameters()
    minimize(generator.map_name, parameters, loss, len(latent), generator.map_training, context, chance)
