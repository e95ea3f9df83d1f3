"""The behaviour embedding: two networks that agree on which trajectory led to which outcome."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

TASK_HIDDEN = 256
"""Hidden units of the task network, fixed in the release."""


class BehaviorEmbedding(nn.Module):
    """Embeds a trajectory's first steps (n, traj_dim) and, apart, the states after its success (n, task_dim).

    Source: arXiv 2407.10973 sec. 4.2 and the release. The paper calls the two embeddings h and v.

    Args:
        traj_dim: length of a trajectory vector; 1,020 for Meta-World.
        task_dim: length of an outcome vector; 117 for Meta-World.
        hidden: hidden units of the trajectory network; 1,024 in the paper.
        width: features of an embedding; 128 in the paper.
    """

    def __init__(self, traj_dim: int, task_dim: int, hidden: int = 1024, width: int = 128) -> None:
        super().__init__()
        self.trajectory = nn.Sequential(
            nn.Linear(traj_dim, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, width),
        )
        self.task = nn.Sequential(
            nn.Linear(task_dim, TASK_HIDDEN),
            nn.LayerNorm(TASK_HIDDEN),
            nn.Tanh(),
            nn.Linear(TASK_HIDDEN, width),
        )
        self.bilinear = nn.Parameter(torch.rand(width, width))  # Uniform on [0, 1), as in the release.

    def forward(self, traj: Tensor, task: Tensor) -> tuple[Tensor, Tensor]:
        """(n, traj_dim), (n, task_dim), any float type -> both embeddings (n, width) float32."""
        return (
            cast(Tensor, self.trajectory(traj.to(torch.float32))),
            cast(Tensor, self.task(task.to(torch.float32))),
        )

    def logits(self, traj_embedding: Tensor, task_embedding: Tensor) -> Tensor:
        """Agreement of every trajectory (row) with every outcome (column): (n, n), largest of each row 0."""
        scores = traj_embedding @ (self.bilinear @ task_embedding.T)
        return scores - scores.amax(dim=1, keepdim=True)

    def loss(self, traj_embedding: Tensor, task_embedding: Tensor) -> Tensor:
        """InfoNCE in one direction: each trajectory must find its own outcome among those of the batch."""
        logits = self.logits(traj_embedding, task_embedding)
        return functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))
