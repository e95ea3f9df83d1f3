"""The parameter autoencoder: one linear map down and one up for each layer group of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

PCA_ROWS = 2048
"""The closed-form fit solves an eigenproblem of this many rows at most (evenly spaced ones of the data)."""


class ParameterAutoencoder(nn.Module):
    """Flat policy parameters (n, n_params) <-> latent tokens (n, n_chunks, width), float32.

    Source: arXiv 2407.10973 sec. 4.1 and the release: each chunk (first layer; all the rest) has a bias-free
    linear encoder to 1,024 features and a bias-free linear decoder; one LayerNorm is shared by both tokens.

    Args:
        chunks: (start, stop) of each layer group in the flat vector, gapless (`PolicySpec.chunks`).
        width: features of a token; 1,024 in the paper.
        layer_norm: normalise each token after encoding, as the paper does. Not with `fit_pca`: a LayerNorm
            removes each token's mean and norm, which a linear decoder cannot put back.
    """

    def __init__(self, chunks: Sequence[tuple[int, int]], width: int, layer_norm: bool = True) -> None:
        super().__init__()
        self.chunks, self.width = tuple(chunks), width
        sizes = [stop - start for start, stop in self.chunks]
        self.encoders = nn.ModuleList(nn.Linear(size, width, bias=False) for size in sizes)
        self.decoders = nn.ModuleList(nn.Linear(width, size, bias=False) for size in sizes)
        self.norm: nn.Module = nn.LayerNorm(width) if layer_norm else nn.Identity()

    def encode(self, params: Tensor) -> Tensor:
        """(n, n_params) -> (n, n_chunks, width); no noise, no clamp."""
        pieces = zip(self.encoders, self.chunks, strict=True)
        tokens = [encoder(params[:, start:stop]) for encoder, (start, stop) in pieces]
        return cast(Tensor, self.norm(torch.stack(tokens, dim=1)))

    def decode(self, latent: Tensor) -> Tensor:
        """(n, n_chunks, width) -> (n, n_params); no clamp."""
        return torch.cat([decoder(latent[:, i]) for i, decoder in enumerate(self.decoders)], dim=1)

    def forward(
        self, params: Tensor, input_noise: float, latent_noise: float, generator: torch.Generator | None
    ) -> Tensor:
        """The training-time pass: noise, encode, noise, clamp the latent to [-1, 1], decode.

        The release clamps here and nowhere else: `encode` and `decode`, which the rest of the method uses,
        do not.

        Args:
            params: (n, n_params) float32.
            input_noise: share of the input replaced by standard normal noise (.001 in the paper).
            latent_noise: the same for the latent (.01 in the paper).
            generator: a CPU generator; may be None when both shares are 0.
        """
        latent = self.encode(_blend_noise(params, input_noise, generator))
        return self.decode(_blend_noise(latent, latent_noise, generator).clamp(-1.0, 1.0))

    @torch.no_grad()
    def fit_pca(self, params: Tensor, generator: torch.Generator) -> ParameterAutoencoder:
        """Set both maps to the best linear ones for `params` (n, n_params), in closed form. Returns itself.

        Encoder and decoder have no bias, so the components are those of the raw, not of the centred,
        parameters; the mean policy is then (nearly) the first. The components are turned by a random rotation
        drawn from `generator` (a CPU one), so that all features vary alike: the 'limits' normaliser then
        stretches them alike, and errors of the latent weigh as much as the errors of the parameters that they
        make. Unturned, the last component would weigh as much as the first. Each token is scaled so that its
        largest entry over the data is 1, because the two tokens share that normaliser.
        """
        if not isinstance(self.norm, nn.Identity):
            raise ValueError("fit_pca needs an autoencoder without layer_norm")
        rows = params[:: -(-len(params) // PCA_ROWS)].double()
        for encoder, decoder, (start, stop) in zip(self.encoders, self.decoders, self.chunks, strict=True):
            chunk = rows[:, start:stop]
            # Rows are fewer than columns: the eigenvectors of the small Gram matrix give the components.
            squares, vectors = torch.linalg.eigh(chunk @ chunk.T)
            keep = (squares > 1e-10 * squares[-1]).nonzero().flatten().flip(0)[: self.width]
            components = chunk.T @ (vectors[:, keep] / squares[keep].sqrt())
            gaussian = torch.randn(self.width, self.width, dtype=torch.float64, generator=generator)
            rotation = torch.linalg.qr(gaussian)[0].to(params.device)
            axes = components @ rotation[: len(keep)]
            size = (chunk @ axes).abs().max().clamp_min(1e-12)
            cast(Tensor, encoder.weight).copy_((axes / size).T)
            cast(Tensor, decoder.weight).copy_(axes * size)
        return self


def _blend_noise(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """(1 - share) * x + share * noise: the released noise shrinks what it disturbs."""
    if not share:
        return x
    noise = torch.randn(x.shape, generator=generator).to(x.device)
    return noise * share + x * (1 - share)
