"""Networks of many runs as one: stacked weights, the backward pass by hand, and Adam over all of them at once.

A small network's update costs more in calls than in arithmetic. Here one call serves every run, activations are kept
only where they are needed, and all weights of a stack lie in one vector, so that Adam and Polyak averaging are a few
passes over memory however many tensors and runs there are. No run's numbers enter another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

NORM_EPS = 1e-5
"""Of layer normalisation; as `torch.nn.LayerNorm`."""


class Stacked:
    """n members' tensors in one vector, tensor after tensor: each view is contiguous and holds all members.

    Args:
        n: members.
        shapes: of one member's tensors.
    """

    def __init__(self, n: int, shapes: Sequence[tuple[int, ...]]) -> None:
        self.n, self.shapes = n, tuple(shapes)
        self.size = n * sum(prod(shape) for shape in shapes)

    def views(self, flat: Tensor) -> list[Tensor]:
        """The tensors, (n, *shape) each, of a vector (size,): no copies."""
        sizes = [self.n * prod(shape) for shape in self.shapes]
        return [x.view(self.n, *s) for x, s in zip(flat.split(sizes), self.shapes, strict=True)]

    def kept(self, flat: Tensor, members: Tensor) -> Tensor:
        """The vector of these members alone, in that order: (len(members) * size / n,)."""
        return torch.cat([view[members].reshape(-1) for view in self.views(flat)])


class MLPs:
    """n multi-layer perceptrons of one shape, each on a batch of its own.

    Args:
        n: networks.
        sizes: inputs, hidden layers..., outputs.
        activations: `elu`, `relu` or `tanh`, one a hidden layer.
        layer_norm: normalise before each activation, without gain or shift.
        device: of all tensors.

    Attributes:
        flat: the parameters, one vector; `weights` (n, outputs, inputs) and `biases` (n, outputs) are views of it.
        grad: the same for the gradient that `backward` writes.
    """

    def __init__(
        self, n: int, sizes: Sequence[int], activations: Sequence[str], layer_norm: bool, device: str = "cpu"
    ) -> None:
        self.sizes, self.activations, self.layer_norm = tuple(sizes), tuple(activations), layer_norm
        shapes = [shape for inputs, outputs in pairwise(sizes) for shape in ((outputs, inputs), (outputs,))]
        self.stacked = Stacked(n, shapes)
        self._adopt(torch.zeros(self.stacked.size, device=device))

    def _adopt(self, flat: Tensor) -> None:
        self.flat, self.grad = flat, torch.zeros_like(flat)
        views, gradients = self.stacked.views(self.flat), self.stacked.views(self.grad)
        self.weights, self.biases = views[::2], views[1::2]
        self._weight_gradients, self._bias_gradients = gradients[::2], gradients[1::2]
        self._kept: list[tuple[Tensor, ...]] = []
        self._memory: dict[tuple[str, int], Tensor] = {}

    def keep(self, members: Tensor) -> None:
        """Go on with these networks alone."""
        flat = self.stacked.kept(self.flat, members)
        self.stacked = Stacked(len(members), self.stacked.shapes)
        self._adopt(flat)

    def forward(self, x: Tensor, remember: bool = True) -> Tensor:
        """Outputs (n, b, outputs) for inputs (n, b, inputs); they hold until the next call with as large a batch.

        `remember` what `backward` needs.
        """
        kept: list[tuple[Tensor, ...]] = []
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs, out = x, self._scratch(f"out {layer}", x, weight.shape[1])
            x = torch.baddbmm(bias.unsqueeze(1), inputs, weight.transpose(1, 2), out=out)
            if layer == len(self.activations):
                kept.append((inputs,))
                break
            norm: tuple[Tensor, ...] = ()
            if self.layer_norm:
                before = x
                x, mean, scale = torch.native_layer_norm(before, [before.shape[-1]], None, None, NORM_EPS)
                norm = (before, mean, scale)
            x = _activate_(self.activations[layer], x)
            kept.append((inputs, x, *norm))
        if remember:
            self._kept = kept
        return x

    def backward(
        self, grad: Tensor, rows: slice = slice(None), parameters: bool = True, inputs_from: int | None = None
    ) -> Tensor | None:
        """Go back through the last remembered `forward`.

        Args:
            grad: (n, b, outputs), the loss's gradient by the outputs of `rows`.
            rows: of the batch; the others have no gradient.
            parameters: whether to write `self.grad`.
            inputs_from: give the gradient by the inputs from this column on; None: none.

        Returns:
            (n, b, inputs - inputs_from), or None.
        """
        for layer in reversed(range(len(self.weights))):
            inputs, *rest = self._kept[layer]
            if rest:
                output, *norm = (x[:, rows] for x in rest)
                _activation_gradient_(self.activations[layer], grad, output)
                if norm:
                    grad = _norm_gradient(grad, *(x.contiguous() for x in norm))  # its kernel takes strides for granted
            if parameters:
                torch.bmm(grad.transpose(1, 2), inputs[:, rows], out=self._weight_gradients[layer])
                torch.sum(grad, 1, out=self._bias_gradients[layer])
            if layer:
                weight = self.weights[layer]
                out = self._scratch(f"grad {layer}", grad, weight.shape[2])
                # With one output a product of matrices is a slow way to multiply.
                grad = torch.mul(grad, weight, out=out) if weight.shape[1] == 1 else torch.bmm(grad, weight, out=out)
        return None if inputs_from is None else torch.bmm(grad, self.weights[0][:, :, inputs_from:])

    def _scratch(self, name: str, like: Tensor, width: int) -> Tensor:
        """Memory (n, b, width) for a batch like this one: large new tensors cost more than what is written to them."""
        n, b, _ = like.shape
        if (name, b) not in self._memory:
            self._memory[name, b] = like.new_empty(n, b, width)
        return self._memory[name, b]


class Adam:
    """Adam (Kingma & Ba 2015) on vectors that hold many members' parameters.

    Args:
        stacked: how `flat` vectors are laid out.
        learning_rate: step size.
        device: of the moments.
    """

    BETAS = (0.9, 0.999)
    EPS = 1e-8

    def __init__(self, stacked: Stacked, learning_rate: float, device: str = "cpu") -> None:
        self._stacked, self._learning_rate = stacked, learning_rate
        self.mean, self.square, self._below = (torch.zeros(stacked.size, device=device) for _ in range(3))
        self.steps = 0

    def step(self, flat: Tensor, grad: Tensor) -> None:
        """Move `flat` in place."""
        self.steps += 1
        first, second = self.BETAS
        correction = (1 - second**self.steps) ** 0.5
        self.mean.lerp_(grad, 1 - first)
        self.square.mul_(second).addcmul_(grad, grad, value=1 - second)
        # With both sides of the fraction times the correction, eps has the weight that it has in the paper.
        torch.sqrt(self.square, out=self._below).add_(self.EPS * correction)
        flat.addcdiv_(self.mean, self._below, value=-self._learning_rate * correction / (1 - first**self.steps))

    def keep(self, members: Tensor) -> None:
        """Go on with these members alone."""
        self.mean, self.square = (self._stacked.kept(x, members) for x in (self.mean, self.square))
        self._below = torch.empty_like(self.mean)
        self._stacked = Stacked(len(members), self._stacked.shapes)


def xavier_(weights: Tensor, generator: torch.Generator) -> None:
    """Fill (outputs, inputs) from the Xavier-uniform distribution (Glorot & Bengio 2010), drawn on the processor."""
    limit = (6.0 / sum(weights.shape)) ** 0.5
    weights.copy_(torch.rand(weights.shape, generator=generator).mul_(2 * limit).sub_(limit))


def _activate_(name: str, x: Tensor) -> Tensor:
    """In place."""
    if name == "elu":
        return torch.nn.functional.elu_(x)
    return x.relu_() if name == "relu" else x.tanh_()


def _activation_gradient_(name: str, grad: Tensor, output: Tensor) -> None:
    """In place; the activation's own gradient is read off its output."""
    if name == "elu":
        torch.ops.aten.elu_backward.grad_input(grad, 1.0, 1.0, 1.0, True, output, grad_input=grad)
    elif name == "relu":
        torch.ops.aten.threshold_backward.grad_input(grad, output, 0.0, grad_input=grad)
    else:
        torch.ops.aten.tanh_backward.grad_input(grad, output, grad_input=grad)


def _norm_gradient(grad: Tensor, before: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    shape = [before.shape[-1]]
    mask = [True, False, False]
    return torch.ops.aten.native_layer_norm_backward(grad, before, shape, mean, scale, None, None, mask)[0]
