"""Many networks of one shape, each on a batch of its own, as one: a batched product a layer."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn


class StackedMLP(nn.Module):
    """n multi-layer perceptrons (ReLU): (n, b, inputs) -> (n, b, outputs). No network's numbers enter another's.

    Args:
        n: networks.
        sizes: inputs, hidden layers..., outputs.

    First weights are uniform in +-1 / sqrt(inputs of the layer), biases too, as those of `torch.nn.Linear`.
    """

    def __init__(self, n: int, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(sizes):
            bound = 1 / sqrt(inputs)
            self.weights.append(torch.empty(n, inputs, outputs).uniform_(-bound, bound))
            self.biases.append(torch.empty(n, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if i < last:
                x = x.relu()
        return x
