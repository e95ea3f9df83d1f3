"""The training loop: AdamW, cosine cycles, shuffled batches, progress. The same seed gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from maa_bench.method import Context

from .config import TrainingConfig

PROGRESS_EVERY = 20
"""Batches between two reports of progress."""


def minimize(
    stage: str,
    parameters: Iterable[nn.Parameter],
    loss: Callable[[Tensor], Tensor],
    n_rows: int,
    training: TrainingConfig,
    context: Context,
    chance: torch.Generator,
) -> None:
    """Train `parameters` by AdamW on `loss(rows)`, with cosine cycles stepped once a batch.

    Args:
        stage: what progress is reported as.
        parameters: what is trained.
        loss: mean loss of a batch, given its row numbers (batch,) int64 on `context.device`.
        n_rows: rows of the data.
        training: length, batch size and optimiser.
        context: device and progress.
        chance: orders the rows.
    """
    total = training.n_steps(n_rows)
    context.progress(stage, 0, total)
    if not total:
        return
    optimizer = torch.optim.AdamW(
        parameters, lr=training.lr, betas=training.betas, weight_decay=training.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
        optimizer, T_0=training.first_cycle or total, T_mult=training.cycle_growth
    )
    batches = shuffled_batches(n_rows, training.batch, chance)
    for done in range(1, total + 1):
        rows = next(batches)
        optimizer.zero_grad()
        loss(rows.to(context.device)).backward()
        optimizer.step()
        schedule.step()
        if done % PROGRESS_EVERY == 0 or done == total:
            context.progress(stage, done, total)


def shuffled_batches(n_rows: int, batch: int, chance: torch.Generator) -> Iterator[Tensor]:
    """Row numbers (<= batch,) int64, for ever: every row once an epoch, whose last batch may be short."""
    while True:
        yield from torch.randperm(n_rows, generator=chance).split(batch)


@contextmanager
def first_weights(seed: int) -> Iterator[None]:
    """Layers made here draw their first weights from this seed: torch's global generator is lent it and put back."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
