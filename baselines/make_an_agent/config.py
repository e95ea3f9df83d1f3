"""The method's numbers: what `config.toml` may say, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maa_bench.errors import MethodError

from ..shared import config as shared
from ..shared.config import TrainingConfig


@dataclass(frozen=True)
class AutoencoderConfig:
    """`init` is `random` (then it is trained) or `pca` (closed form); the others as in `autoencoder.py`."""

    width: int
    layer_norm: bool
    init: str
    input_noise: float
    latent_noise: float
    training: TrainingConfig

    def __post_init__(self) -> None:
        if self.init not in ("random", "pca"):
            raise MethodError(f"make_an_agent: autoencoder init {self.init!r} must be 'random' or 'pca'")
        if self.init == "pca" and self.layer_norm:
            raise MethodError("make_an_agent: autoencoder init 'pca' needs layer_norm = false")


@dataclass(frozen=True)
class EmbeddingConfig:
    """Sizes as in `behavior_embedding.py`."""

    hidden: int
    width: int
    training: TrainingConfig


@dataclass(frozen=True)
class DiffusionConfig:
    """Sizes as in `unet.py`, steps as in `diffusion.py`.

    `condition_noise` is the standard deviation of the noise added to the normalised condition in training.
    """

    widths: tuple[int, ...]
    kernel: int
    groups: int
    step_width: int
    train_steps: int
    inference_steps: int
    condition_noise: float
    training: TrainingConfig


@dataclass(frozen=True)
class Config:
    """Everything that decides what is trained and how."""

    autoencoder: AutoencoderConfig
    embedding: EmbeddingConfig
    diffusion: DiffusionConfig


CONFIG_FILE = Path(__file__).with_name("config.toml")


def read_config(scale: str, path: Path = CONFIG_FILE) -> Config:
    """The configuration `[scale]` of a TOML file; by default of the one beside this file.

    Raises:
        MethodError: unknown scale; or a key that is unknown, missing or of the wrong type.
    """
    return shared.read_config(Config, scale, path)
