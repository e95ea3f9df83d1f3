"""The one forward pass of a policy, compiled with numba.

Determinism is the point: BLAS sums in another order for another batch shape, thread count or processor, and two
rollouts that should be equal part after a few hundred steps. Here one scalar program handles one row at a time;
each output sums its inputs in index order (the compiler may use vectors *across* outputs, which leaves every sum
as it is; no `fastmath`, no fused multiply-add). A row of the paper's policy takes about 2 us.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from maa_bench.compiled import njit
from maa_bench.policy import ACTIVATIONS, Float32, PolicySpec

Int64 = npt.NDArray[np.int64]


def layer_sizes(spec: PolicySpec) -> Int64:
    """(n_layers + 1,) sizes obs, hidden..., action, as the kernels read them."""
    return np.array([spec.obs_dim, *spec.hidden, spec.action_dim], dtype=np.int64)


def activation_codes(spec: PolicySpec) -> Int64:
    """(n_hidden,) index into `ACTIVATIONS` of each hidden layer."""
    return np.array([ACTIVATIONS.index(name) for name in spec.activations], dtype=np.int64)


def pack(spec: PolicySpec, params: Float32) -> Float32:
    """Flat rows (n, n_params) with every weight matrix transposed to (inputs, outputs), as the kernels read them."""
    packed = np.empty_like(params)
    for tensor in spec.tensors:
        block = params[:, tensor.start : tensor.stop]
        if len(tensor.shape) == 2:
            block = block.reshape(-1, *tensor.shape).transpose(0, 2, 1).reshape(len(params), -1)
        packed[:, tensor.start : tensor.stop] = block
    return packed


@njit
def _affine(packed: Float32, start: int, x: Float32, n_in: int, y: Float32, n_out: int) -> int:
    """y[:n_out] = x[:n_in] @ W + b, with W (n_in, n_out) and b at `start`; returns where the next layer starts."""
    middle = start + n_in * n_out
    end = middle + n_out
    # Indexed by the loop variables alone, which cannot be negative: numba then leaves out Python's wrap-around, and the
    # inner loop becomes vector code, four times as fast.
    weights = packed[start:middle].reshape(n_in, n_out)
    bias = packed[middle:end]
    for j in range(n_out):
        y[j] = bias[j]
    for i in range(n_in):
        xi = x[i]
        for j in range(n_out):
            y[j] += xi * weights[i, j]
    return end


@njit
def _activate(y: Float32, n: int, code: int) -> None:
    for j in range(n):
        if code == 0:  # elu
            if y[j] < np.float32(0.0):
                y[j] = np.float32(math.expm1(y[j]))
        elif code == 1:  # relu
            # Written so that NaN comes through: a diverged policy is not a zero policy.
            if y[j] < np.float32(0.0):
                y[j] = np.float32(0.0)
        else:
            y[j] = np.float32(math.tanh(y[j]))


@njit
def hidden_row(packed: Float32, sizes: Int64, codes: Int64, obs: Float32, a: Float32, b: Float32) -> tuple[int, bool]:
    """Run the hidden layers of one packed policy on one observation.

    `a` and `b` are scratch rows as long as the widest layer. Returns where the heads start in `packed`, and whether
    the last hidden layer lies in `a`.
    """
    start = _affine(packed, 0, obs, sizes[0], a, sizes[1])
    _activate(a, sizes[1], codes[0])
    in_a = True
    for layer in range(1, len(codes)):
        if in_a:
            start = _affine(packed, start, a, sizes[layer], b, sizes[layer + 1])
            _activate(b, sizes[layer + 1], codes[layer])
        else:
            start = _affine(packed, start, b, sizes[layer], a, sizes[layer + 1])
            _activate(a, sizes[layer + 1], codes[layer])
        in_a = not in_a
    return start, in_a


@njit
def action_row(
    packed: Float32, sizes: Int64, codes: Int64, obs: Float32, a: Float32, b: Float32, action: Float32
) -> None:
    """Write tanh(mean) of one packed policy for one observation into `action` (action_dim,) float32."""
    start, in_a = hidden_row(packed, sizes, codes, obs, a, b)
    n_hidden, n_action = sizes[-2], sizes[-1]
    _affine(packed, start, a if in_a else b, n_hidden, action, n_action)
    for j in range(n_action):
        action[j] = np.float32(math.tanh(action[j]))


@njit
def _heads_rows(packed: Float32, sizes: Int64, codes: Int64, obs: Float32, out: Float32) -> None:
    widest = sizes.max()
    a = np.empty(widest, np.float32)
    b = np.empty(widest, np.float32)
    n_hidden, n_action = sizes[-2], sizes[-1]
    for row in range(len(obs)):
        start, in_a = hidden_row(packed[row], sizes, codes, obs[row], a, b)
        hidden = a if in_a else b
        start = _affine(packed[row], start, hidden, n_hidden, out[row, :n_action], n_action)
        _affine(packed[row], start, hidden, n_hidden, out[row, n_action:], n_action)


def forward_heads(spec: PolicySpec, params: Float32, obs: Float32) -> Float32:
    """Both heads of n policies, one observation each: (n, 2 * action_dim) float32, mean then raw log_std."""
    out = np.empty((len(obs), 2 * spec.action_dim), np.float32)
    _heads_rows(pack(spec, params), layer_sizes(spec), activation_codes(spec), obs, out)
    return out


@njit
def _action_rows(packed: Float32, sizes: Int64, codes: Int64, obs: Float32, out: Float32) -> None:
    widest = sizes.max()
    a = np.empty(widest, np.float32)
    b = np.empty(widest, np.float32)
    for row in range(len(obs)):
        action_row(packed[row], sizes, codes, obs[row], a, b, out[row])


def forward_actions(spec: PolicySpec, params: Float32, obs: Float32) -> Float32:
    """tanh(mean) of n policies, one observation each: (n, action_dim) float32."""
    out = np.empty((len(obs), spec.action_dim), np.float32)
    _action_rows(pack(spec, params), layer_sizes(spec), activation_codes(spec), obs, out)
    return out


class PackedPolicy:
    """One policy ready to act step after step; an `Agent` without state.

    Args:
        spec: what the parameters mean.
        params: (n_params,) float32.
    """

    def __init__(self, spec: PolicySpec, params: Float32) -> None:
        self.packed = pack(spec, params[None])[0]
        self.sizes = layer_sizes(spec)
        self.codes = activation_codes(spec)
        self._a = np.empty(self.sizes.max(), np.float32)
        self._b = np.empty(self.sizes.max(), np.float32)

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self, obs: npt.NDArray[np.float64]) -> Float32:
        """tanh(mean) for one observation (obs_dim,): (action_dim,) float32, a new array."""
        action = np.empty(self.sizes[-1], np.float32)
        obs32 = np.asarray(obs, np.float32)
        action_row(self.packed, self.sizes, self.codes, obs32, self._a, self._b, action)
        return action
