"""The fitted transformer as agents: two new tokens a step, compiled with numba.

A prompt's keys and values are made once a candidate, those of the episode's tokens once a token. One row at a time and
sums in a fixed order, as in `maa_bench.forward`: an action's bits depend on no batch, thread or BLAS. The compiled
functions call none of another file, so that numba's own look at this file's age is enough to compile them anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from maa_bench.compiled import njit
from maa_bench.policy import Float32

from .network import Memory, PromptTransformer

Int64 = npt.NDArray[np.int64]
NORM_EPSILON = np.float32(1e-5)
"""Of torch's LayerNorm."""


@dataclass(frozen=True)
class PromptedAgents:
    """n candidates: one network, n prompts.

    Attributes:
        packed: (n_packed,) float32, the network's numbers in the order in which `_act` reads them.
        sizes: (8,) int64: obs, action, width, layers, heads, inner, tokens of the prompt, tokens of the window.
        limit: of the standardised observation.
        keys: (n, layers, width, tokens) float32, of each prompt.
        values: (n, layers, tokens, width) float32.
    """

    packed: Float32
    sizes: Int64
    limit: np.float32
    keys: Float32
    values: Float32

    def __len__(self) -> int:
        return len(self.keys)

    def agent(self, index: int) -> PromptedAgent:
        """Candidate `index`, at the start of an episode."""
        return PromptedAgent(self.packed, self.sizes, self.limit, self.keys[index], self.values[index])


class PromptedAgent:
    """One candidate; it remembers the tokens of the last K steps, and what it did last."""

    def __init__(self, packed: Float32, sizes: Int64, limit: np.float32, keys: Float32, values: Float32) -> None:
        obs_dim, action_dim, width, layers, _, inner, tokens, window = sizes.tolist()
        self._network = (packed, sizes, limit, keys, values)
        self._episode = (np.zeros((layers, width, window), np.float32), np.zeros((layers, window, width), np.float32))
        rows = ((obs_dim,), (5, max(3 * width, inner)), (tokens,), (window,))
        self._scratch = tuple(np.zeros(shape, np.float32) for shape in rows)
        self._action = np.zeros(action_dim, np.float32)
        self._steps = 0

    def reset(self) -> None:
        """Forget the episode; the prompt stays."""
        self._steps = 0

    def act(self, obs: npt.NDArray[np.float64]) -> Float32:
        """The action for one observation (obs_dim,): (action_dim,) float32, a new array."""
        obs32 = np.asarray(obs, np.float32)
        _act(*self._network, *self._episode, *self._scratch, self._steps, obs32, self._action)
        self._steps += 1
        return self._action.copy()


def prompted_agents(network: PromptTransformer, memories: list[Memory]) -> PromptedAgents:
    """A candidate for each of n memories, each of one prompt."""
    config = network.config
    keys, values = (
        np.stack([np.stack([_rows(kept[which]) for kept in memory]) for memory in memories]) for which in (0, 1)
    )
    keys = np.ascontiguousarray(keys.transpose(0, 1, 3, 2))  # so that sums over features run across tokens
    ends, inside = (network.obs_dim, network.action_dim), (config.width, config.layers, config.heads, config.inner)
    sizes = np.array([*ends, *inside, values.shape[2], network.window], np.int64)
    return PromptedAgents(_packed(network), sizes, np.float32(network.scaler.limit), keys, values)


def _rows(tensor: Tensor) -> Float32:
    """Keys or values of one prompt (1, heads, tokens, width / heads) -> (tokens, width)."""
    rows: Float32 = tensor[0].transpose(0, 1).flatten(1).cpu().numpy()
    return rows


def _packed(network: PromptTransformer) -> Float32:
    """All numbers that acting takes, matrices as (inputs, outputs)."""
    state = {name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
    names = ["scaler.mean", "scaler.spread"]
    for kind in ("state", "action", "entry"):
        names += [f"{kind}.weight", f"{kind}.bias"]
    for i in range(network.config.layers):
        names += [f"blocks.{i}.near"]
        for part in ("norm1", "qkv", "out", "norm2", "inner", "outer"):
            names += [f"blocks.{i}.{part}.weight", f"blocks.{i}.{part}.bias"]
    names += ["final.weight", "final.bias", "head.weight", "head.bias"]
    parts = [state[name] if name.endswith(".near") else state[name].T for name in names]
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


@njit
def _affine(packed: Float32, start: int, x: Float32, n_in: int, y: Float32, n_out: int) -> int:
    """y[:n_out] = x[:n_in] @ W + b, with W (n_in, n_out) and b at `start`; returns where the next part starts."""
    middle = start + n_in * n_out
    end = middle + n_out
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
def _norm(packed: Float32, start: int, x: Float32, y: Float32, n: int) -> int:
    """y[:n] = LayerNorm of x[:n], with scale and shift at `start`; returns where the next part starts."""
    mean = np.float32(0.0)
    for j in range(n):
        mean += x[j]
    mean /= np.float32(n)
    square = np.float32(0.0)
    for j in range(n):
        square += (x[j] - mean) * (x[j] - mean)
    inverse = np.float32(1.0) / np.float32(math.sqrt(square / np.float32(n) + NORM_EPSILON))
    for j in range(n):
        y[j] = (x[j] - mean) * inverse * packed[start + j] + packed[start + n + j]
    return start + 2 * n


@njit
def _add_scores(query: Float32, keys: Float32, first: int, last: int, n: int, scores: Float32) -> None:
    """scores[:n] += query[first:last] @ keys[first:last, :n], divided by the root of last - first."""
    scale = np.float32(1.0) / np.float32(math.sqrt(last - first))
    for i in range(first, last):
        qi = query[i] * scale
        row = keys[i]
        for j in range(n):
            scores[j] += qi * row[j]


@njit
def _greatest(scores: Float32, n: int, greatest: np.float32) -> np.float32:
    for j in range(n):
        greatest = max(greatest, scores[j])
    return greatest


@njit
def _exponentials(scores: Float32, n: int, greatest: np.float32) -> np.float32:
    """Make exp(score - greatest) of scores[:n], and return their sum."""
    total = np.float32(0.0)
    for j in range(n):
        scores[j] = np.float32(math.exp(scores[j] - greatest))
        total += scores[j]
    return total


@njit
def _add_heard(weights: Float32, values: Float32, first: int, last: int, n: int, heard: Float32) -> None:
    """heard[first:last] += weights[:n] @ values[:n, first:last]."""
    part = heard[first:last]
    for j in range(n):
        wj = weights[j]
        row = values[j, first:last]
        for i in range(last - first):
            part[i] += wj * row[i]


@njit
def _token(
    packed: Float32,
    start: int,
    sizes: Int64,
    shown_keys: Float32,
    shown_values: Float32,
    keys: Float32,
    values: Float32,
    rows: Float32,
    far: Float32,
    near: Float32,
    number: int,
    is_action: bool,
) -> int:
    """Send token `number` of the episode, whose embedding is rows[0], through the blocks, which begin at `start`.

    Its keys and values take the place of those of the token that leaves the window. Of an action nothing more is
    wanted, so that its last block is cut short. Returns where the part after the blocks starts.
    """
    width, layers, heads, inner, tokens, window = sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7]
    x, y, qkv, heard, hidden = rows[0], rows[1], rows[2], rows[3], rows[4]
    each = width // heads
    slot, filled = number % window, min(number + 1, window)
    for layer in range(layers):
        bias = start
        start = _norm(packed, bias + heads * window, x, y, width)
        start = _affine(packed, start, y, width, qkv, 3 * width)
        for j in range(width):
            keys[layer, j, slot] = qkv[width + j]
            values[layer, slot, j] = qkv[2 * width + j]
            heard[j] = np.float32(0.0)
        if is_action and layer == layers - 1:
            return start
        for head in range(heads):
            first, last = head * each, (head + 1) * each
            for j in range(tokens):
                far[j] = np.float32(0.0)
            for j in range(filled):
                near[j] = packed[bias + head * window + (number - j) % window]
            _add_scores(qkv, shown_keys[layer], first, last, tokens, far)
            _add_scores(qkv, keys[layer], first, last, filled, near)
            greatest = _greatest(near, filled, _greatest(far, tokens, near[0]))
            total = _exponentials(far, tokens, greatest) + _exponentials(near, filled, greatest)
            _add_heard(far, shown_values[layer], first, last, tokens, heard)
            _add_heard(near, values[layer], first, last, filled, heard)
            for j in range(first, last):
                heard[j] /= total
        start = _affine(packed, start, heard, width, y, width)
        for j in range(width):
            x[j] += y[j]
        start = _norm(packed, start, x, y, width)
        start = _affine(packed, start, y, width, hidden, inner)
        for j in range(inner):
            # Written so that NaN comes through.
            if hidden[j] < np.float32(0.0):
                hidden[j] = np.float32(0.0)
        start = _affine(packed, start, hidden, inner, y, width)
        for j in range(width):
            x[j] += y[j]
    return start


@njit
def _act(
    packed: Float32,
    sizes: Int64,
    limit: np.float32,
    shown_keys: Float32,
    shown_values: Float32,
    keys: Float32,
    values: Float32,
    scaled: Float32,
    rows: Float32,
    far: Float32,
    near: Float32,
    step: int,
    obs: Float32,
    action: Float32,
) -> None:
    """Write the action of step number `step` (from 0) into `action`, which holds that of the step before."""
    n_obs, n_action, width = sizes[0], sizes[1], sizes[2]
    x, y = rows[0], rows[1]
    states = 2 * n_obs
    actions = states + (n_obs + 1) * width
    entry = actions + (n_action + 1) * width
    blocks = entry + 2 * width
    if step > 0:
        _affine(packed, actions, action, n_action, y, width)
        _norm(packed, entry, y, x, width)
        _token(
            packed, blocks, sizes, shown_keys, shown_values, keys, values, rows, far, near, 2 * step - 1, True
        )  # fmt: skip
    for j in range(n_obs):
        scaled[j] = (obs[j] - packed[j]) / packed[n_obs + j]
        if scaled[j] > limit:
            scaled[j] = limit
        elif scaled[j] < -limit:
            scaled[j] = -limit
    _affine(packed, states, scaled, n_obs, y, width)
    _norm(packed, entry, y, x, width)
    start = _token(packed, blocks, sizes, shown_keys, shown_values, keys, values, rows, far, near, 2 * step, False)
    start = _norm(packed, start, x, y, width)
    _affine(packed, start, y, width, action, n_action)
    for j in range(n_action):
        action[j] = np.float32(math.tanh(action[j]))
