"""From raw files to processed ones and back, with the released networks' weights under their released names.

Source: the release's data processing script (github cheryyunl/Make-An-Agent, commit 1a111f7) and arXiv 2407.10973,
sec. 4. As there, traj and task are embedded *without* the normalisation that the embedding was trained with, and
policies are encoded without noise or clamp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maa_bench.dataset.official import TOKENS, ProcessedFile, RawFile
from maa_bench.dataset.torch_files import floats, load_tensors
from maa_bench.errors import DataError
from maa_bench.policy import Float32

if TYPE_CHECKING:
    from torch import Tensor

LIGHTNING_PREFIX = "model."


@dataclass(frozen=True)
class Weights:
    """One released network's tensors.

    Attributes:
        path: where they come from, for errors.
        tensors: by official name, e.g. `ln_in.weight`; those that nobody asks for do not matter.
    """

    path: Path
    tensors: Mapping[str, Any]

    def get(self, name: str, *shape: int | None) -> Tensor:
        """The tensor of that name as float32; None in `shape` stands for any length.

        Raises:
            DataError: it is missing, of another shape, or holds NaN or infinity.
        """
        import torch

        if name not in self.tensors:
            raise DataError(f"{self.path} lacks the weights {name!r}: is it a file of the other network?")
        array = floats(self.path, name, self.tensors[name], np.float32)
        if array.ndim != len(shape) or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise DataError(f"{self.path}: weights {name!r} have shape {array.shape}, here ({wanted}) is needed")
        if not np.isfinite(array).all():
            raise DataError(f"{self.path}: weights {name!r} hold NaN or infinity")
        return torch.tensor(array)


def read_weights(path: Path) -> Weights:
    """Read a released network's weights: a state dict, or a Lightning checkpoint with one in it. No code is run.

    The release's training saves Lightning checkpoints, whose names begin with `model.`; one that holds more than
    tensors and plain values is refused, and its `state_dict` must be saved alone first.

    Raises:
        DataError: as `load_tensors`.
    """
    content = load_tensors(path)
    state = content.get("state_dict", content)
    if not isinstance(state, dict):
        raise DataError(f"{path}: 'state_dict' is a {type(state).__name__}, not a dict of tensors")
    return Weights(path, {str(name).removeprefix(LIGHTNING_PREFIX): tensor for name, tensor in state.items()})


def process(raw: RawFile, autoencoder: Weights, embedding: Weights) -> ProcessedFile:
    """What the released processing script makes of a raw file: n rows, in order.

    Raises:
        DataError: weights that are missing or do not fit the data.
    """
    import torch

    with torch.no_grad():
        return ProcessedFile(
            _encode(torch.tensor(raw.params), autoencoder).numpy(),
            _embed_trajectory(torch.tensor(raw.traj, dtype=torch.float32), embedding).numpy(),
            _embed_outcome(torch.tensor(raw.task, dtype=torch.float32), embedding).numpy(),
        )


def decode(processed: ProcessedFile, autoencoder: Weights) -> Float32:
    """The policies of a processed file, as good as the autoencoder gives them back: (n, n_params) float32.

    Raises:
        DataError: weights that are missing or do not fit the latents.
    """
    import torch

    latents = torch.tensor(processed.latents)
    chunks = [
        latents[:, i] @ autoencoder.get(f"output_parameter_projections.{i}.0.weight", None, latents.shape[2]).T
        for i in range(TOKENS)
    ]
    return torch.cat(chunks, dim=1).numpy()


def _encode(params: Tensor, weights: Weights) -> Tensor:
    """(n, n_params) -> (n, 2, latent_dim): a linear map a layer group, then one layer normalisation for all tokens."""
    import torch

    first = weights.get("input_parameter_projections.0.0.weight", None, None)
    maps = [first, weights.get("input_parameter_projections.1.0.weight", len(first), None)]
    sizes = [matrix.shape[1] for matrix in maps]
    if sum(sizes) != params.shape[1]:
        raise DataError(
            f"{weights.path} encodes policies of {' + '.join(map(str, sizes))} parameters, these have {params.shape[1]}"
        )
    tokens = [chunk @ matrix.T for chunk, matrix in zip(params.split(sizes, dim=1), maps, strict=True)]
    return _layer_norm(torch.stack(tokens, dim=1), weights, "ln_in")


def _embed_trajectory(traj: Tensor, weights: Weights) -> Tensor:
    hidden = _linear(traj, weights, "traj_embed.0").relu()
    hidden = _linear(hidden, weights, "traj_embed.2").relu()
    return _linear(hidden, weights, "traj_embed.4")


def _embed_outcome(task: Tensor, weights: Weights) -> Tensor:
    hidden = _layer_norm(_linear(task, weights, "task_embed.0"), weights, "task_embed.1").tanh()
    return _linear(hidden, weights, "task_embed.3")


def _linear(rows: Tensor, weights: Weights, name: str) -> Tensor:
    matrix = weights.get(f"{name}.weight", None, rows.shape[1])
    return rows @ matrix.T + weights.get(f"{name}.bias", len(matrix))


def _layer_norm(rows: Tensor, weights: Weights, name: str) -> Tensor:
    from torch.nn.functional import layer_norm

    width = rows.shape[-1]
    return layer_norm(rows, (width,), weights.get(f"{name}.weight", width), weights.get(f"{name}.bias", width))
