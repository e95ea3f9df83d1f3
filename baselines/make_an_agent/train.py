"""Fitting the three models, one after the other: autoencoder, behaviour embedding, diffusion.

There is no validation split and no early stopping. The release keeps the weights that are best on held-out
rows, but rows of one training run are near copies of each other, so that choice would tell little.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maa_bench.method import Context, TrainingSet

from ..shared.training import minimize
from .config import Config
from .generator import PolicyGenerator

# Streams of `Context.torch_generator`: each use of chance has its own, so that one does not shift another.
INIT, AUTOENCODER, EMBEDDING, DIFFUSION = range(4)


def fit_generator(training_set: TrainingSet, config: Config, context: Context) -> PolicyGenerator:
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
    generator = PolicyGenerator(config, training_set.spec.chunks, traj.shape[1], task.shape[1], seed)
    generator.to(context.device)
    latent = fit_autoencoder(generator, params, config, context)
    condition = fit_embedding(generator, traj, task, config, context)
    fit_diffusion(generator, latent, condition, config, context)
    return generator.eval()


def fit_autoencoder(generator: PolicyGenerator, params: Tensor, config: Config, context: Context) -> Tensor:
    """Fit the autoencoder and the latent's limits to `params` (n, n_params); return latents (n, 2, width)."""
    model, settings = generator.autoencoder, config.autoencoder
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


def fit_embedding(generator: PolicyGenerator, traj: Tensor, task: Tensor, config: Config, context: Context) -> Tensor:
    """Fit the embedding and its limits to the behaviours; return the denoiser's conditions (n, condition)."""
    generator.traj_limits.fit(traj)
    generator.task_limits.fit(task)
    chance = context.torch_generator(EMBEDDING)

    def loss(rows: Tensor) -> Tensor:
        return generator.embedding.loss(*generator.embed(traj[rows], task[rows]))

    parameters = generator.embedding.parameters()
    training = config.embedding.training
    minimize("behaviour embedding", parameters, loss, len(traj), training, context, chance)
    with torch.no_grad():
        traj_embedding, task_embedding = generator.embed(traj, task)
        generator.traj_embedding_limits.fit(traj_embedding)
        generator.task_embedding_limits.fit(task_embedding)
        return generator.condition(traj_embedding, task_embedding)


def fit_diffusion(
    generator: PolicyGenerator, latent: Tensor, condition: Tensor, config: Config, context: Context
) -> None:
    """Fit the denoiser to the pairs of latent (n, 2, width) and condition (n, condition)."""
    settings, chance = config.diffusion, context.torch_generator(DIFFUSION)

    def normal(*shape: int) -> Tensor:
        # Drawn on the CPU, then moved: every device sees the same noise.
        return torch.randn(shape, generator=chance).to(latent.device)

    def loss(rows: Tensor) -> Tensor:
        noise = normal(len(rows), *generator.latent_shape)
        steps = torch.randint(settings.train_steps, (len(rows),), generator=chance).to(latent.device)
        given = condition[rows]
        if settings.condition_noise:
            given = given + settings.condition_noise * normal(*given.shape)
        return generator.diffusion_loss(latent[rows], given, noise, steps)

    parameters = generator.unet.parameters()
    minimize("diffusion", parameters, loss, len(latent), settings.training, context, chance)
