"""Policies as flat vectors: what the numbers mean (`PolicySpec`) and the one forward pass (`act`).

Source: the released SAC actor of Make-An-Agent (arXiv 2407.10973, sec. 4.1 and the code's `GaussianPolicy`):
a multi-layer perceptron with two heads, mean and log standard deviation; the evaluated action is tanh(mean).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from maa_bench.errors import SpecError, did_you_mean

Float32 = npt.NDArray[np.float32]

ACTIVATIONS = ("elu", "relu", "tanh")
LOG_STD_RANGE = (-20.0, 2.0)


@dataclass(frozen=True)
class TensorSlice:
    """Where one tensor lies in the flat vector: entries `start:stop`, row-major, rows = outputs."""

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class PolicySpec:
    """Layer sizes, activations and flat order of a Gaussian policy `obs -> hidden... -> {mean, log_std}`.

    The flat order is linear1.weight, linear1.bias, ..., mean.weight, mean.bias, log_std.weight, log_std.bias.
    For the paper's Meta-World policy (39, (128, 128), 4) this is 22,664 numbers.

    Raises:
        SpecError: sizes below 1, or an activation count or name that does not fit.
    """

    obs_dim: int
    hidden: tuple[int, ...]
    action_dim: int
    activations: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.hidden or min(self.obs_dim, self.action_dim, *self.hidden) < 1:
            raise SpecError(f"policy sizes must be at least 1, with one hidden layer or more: {self}")
        if len(self.activations) != len(self.hidden):
            raise SpecError(f"policy has {len(self.hidden)} hidden layers but {len(self.activations)} activations")
        for name in self.activations:
            if name not in ACTIVATIONS:
                raise SpecError(f"unknown activation {name!r}.{did_you_mean(name, ACTIVATIONS)}")

    @property
    def id(self) -> str:
        """A name that two specs share only if their parameters are interchangeable."""
        layers = "-".join(f"{size}{activation}" for size, activation in zip(self.hidden, self.activations, strict=True))
        return f"gaussian-{self.obs_dim}-{layers}-{self.action_dim}"

    @cached_property
    def tensors(self) -> tuple[TensorSlice, ...]:
        """Every tensor in flat order."""
        sizes = (self.obs_dim, *self.hidden)
        layers = [(f"linear{i + 1}", sizes[i + 1], sizes[i]) for i in range(len(self.hidden))]
        layers += [(head, self.action_dim, self.hidden[-1]) for head in ("mean", "log_std")]
        slices: list[TensorSlice] = []
        start = 0
        for name, outputs, inputs in layers:
            for kind, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
                stop = start + int(np.prod(shape))
                slices.append(TensorSlice(f"{name}.{kind}", shape, start, stop))
                start = stop
        return tuple(slices)

    @property
    def n_params(self) -> int:
        """Length of the flat vector."""
        return self.tensors[-1].stop

    @property
    def chunks(self) -> tuple[tuple[int, int], ...]:
        """The two layer groups that the autoencoder compresses apart: first layer, and all the rest.

        For the paper's policy these are entries 0:5120 and 5120:22664.
        """
        first = self.tensors[1].stop
        return ((0, first), (first, self.n_params))

    def check(self, params: npt.NDArray[np.generic]) -> Float32:
        """Return `params` as a C-ordered float32 array of shape (n, n_params), or say what is wrong.

        Raises:
            SpecError: wrong number of dimensions, wrong length, or NaN or infinity inside.
        """
        array = np.ascontiguousarray(params, dtype=np.float32)
        if array.ndim != 2 or array.shape[1] != self.n_params:
            raise SpecError(f"policy parameters have shape {array.shape}; {self.id} needs (n, {self.n_params})")
        bad = ~np.isfinite(array).all(axis=1)
        if bad.any():
            raise SpecError(f"policy parameters of row {int(np.flatnonzero(bad)[0])} hold NaN or infinity")
        return array


def initial_params(spec: PolicySpec, rng: np.random.Generator) -> Float32:
    """Initial parameters as in the release, Xavier-uniform weights and zero biases: (n_params,) float32."""
    flat = np.zeros(spec.n_params, np.float32)
    for tensor in spec.tensors:
        if len(tensor.shape) == 2:
            limit = (6.0 / sum(tensor.shape)) ** 0.5
            flat[tensor.start : tensor.stop] = rng.uniform(-limit, limit, tensor.stop - tensor.start)
    return flat


def act(spec: PolicySpec, params: Float32, obs: npt.NDArray[np.floating]) -> Float32:
    """Deterministic actions tanh(mean) of n policies, one observation each.

    Every row is computed by the same scalar program in a fixed order of additions, so a policy's action has
    the same bits alone or in a batch, on one thread or many.

    Args:
        spec: what the parameters mean.
        params: (n, n_params) float32.
        obs: (n, obs_dim), cast to float32 as in the release.

    Returns:
        (n, action_dim) float32 in [-1, 1].
    """
    from maa_bench.forward import forward_actions  # numba: imported only when a policy really acts

    return forward_actions(spec, *_checked(spec, params, obs))


def heads(spec: PolicySpec, params: Float32, obs: npt.NDArray[np.floating]) -> tuple[Float32, Float32]:
    """Mean and log standard deviation (clamped to [-20, 2]) of n policies, one observation each.

    Shapes as in `act`; returns two arrays (n, action_dim) float32.
    """
    from maa_bench.forward import forward_heads

    out = forward_heads(spec, *_checked(spec, params, obs))
    low, high = LOG_STD_RANGE
    return out[:, : spec.action_dim], np.clip(out[:, spec.action_dim :], low, high)


def _checked(spec: PolicySpec, params: Float32, obs: npt.NDArray[np.floating]) -> tuple[Float32, Float32]:
    params = spec.check(params)
    obs32 = np.ascontiguousarray(obs, dtype=np.float32)
    if obs32.shape != (len(params), spec.obs_dim):
        raise SpecError(f"observations have shape {obs32.shape}; need ({len(params)}, {spec.obs_dim})")
    return params, obs32
