"""The method's numbers: what `config.toml` may say, as frozen dataclasses."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from maa_bench.errors import MethodError, did_you_mean


@dataclass(frozen=True)
class TrainingConfig:
    """How one of the three models is trained, always by AdamW.

    Attributes:
        batch: rows a step.
        epochs: passes over the data, or 0 if `steps` is given.
        steps: batches, or 0 if `epochs` is given; with both 0 the model is not trained.
        lr: learning rate at the start of each cosine cycle; it ends at 0.
        betas: AdamW's.
        weight_decay: AdamW's.
        first_cycle: batches of the first cosine cycle; 0: one cycle as long as the training.
        cycle_growth: how many times longer each next cycle is.
    """

    batch: int
    epochs: int
    steps: int
    lr: float
    betas: tuple[float, float]
    weight_decay: float
    first_cycle: int
    cycle_growth: int

    def __post_init__(self) -> None:
        if self.epochs and self.steps:
            raise MethodError(f"make_an_agent: give epochs or steps, not both: {self}")

    def n_steps(self, n_rows: int) -> int:
        """Batches of a whole training on `n_rows` rows."""
        return self.steps or self.epochs * -(-n_rows // self.batch)


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
    scales = tomllib.loads(path.read_text(encoding="utf-8"))
    if scale not in scales:
        raise MethodError(f"make_an_agent: unknown scale {scale!r}.{did_you_mean(scale, scales)}")
    return parse_config(scales[scale], f"{path.name} [{scale}]")


def parse_config(table: Mapping[str, Any], where: str) -> Config:
    """The configuration that a nested table (TOML or JSON) says; `where` names it in errors."""
    config = _parse(Config, table, where)
    assert isinstance(config, Config)
    return config


def _parse(kind: Any, value: Any, where: str) -> Any:
    """`value` as a `kind`: a dataclass, a tuple of numbers, or a plain value."""
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        hints = get_type_hints(kind)
        for key in value:
            if key not in hints:
                raise MethodError(f"make_an_agent: {where} has an unknown key {key!r}.{did_you_mean(key, hints)}")
        missing = [key for key in hints if key not in value]
        if missing:
            raise MethodError(f"make_an_agent: {where} lacks {', '.join(missing)}")
        fields = {key: _parse(hint, value[key], f"{where} {key}") for key, hint in hints.items()}
        return kind(**fields)  # type: ignore[operator]
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        return tuple(_parse(get_args(kind)[0], item, where) for item in value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise MethodError(f"make_an_agent: {where} is {value!r}; it must be {getattr(kind, '__name__', kind)}")
    return value
