"""A method's numbers: a `config.toml` with a section a scale, read into frozen dataclasses.

Every key is required and none may be unknown, so that a number is never silently another one.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from maa_bench.errors import MethodError, did_you_mean

T = TypeVar("T")


@dataclass(frozen=True)
class TrainingConfig:
    """How a network is trained, always by AdamW (`training.minimize`).

    Attributes:
        batch: rows a step.
        epochs: passes over the data, or 0 if `steps` is given.
        steps: batches, or 0 if `epochs` is given; with both 0 the network is not trained.
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
            raise MethodError(f"give epochs or steps, not both: {self}")

    def n_steps(self, n_rows: int) -> int:
        """Batches of a whole training on `n_rows` rows."""
        return self.steps or self.epochs * -(-n_rows // self.batch)


@dataclass(frozen=True)
class FinetuneConfig:
    """How policies are cloned on a few steps, by Adam (`finetuning.finetuned`).

    Attributes:
        updates: Adam steps; 0 leaves policies as they are.
        batch: steps drawn a policy and update.
        lr: Adam's learning rate.
    """

    updates: int
    batch: int
    lr: float


def read_config(kind: type[T], scale: str, path: Path) -> T:
    """The section `[scale]` of a TOML file as a `kind`, a frozen dataclass; the file's folder names the method.

    Raises:
        MethodError: unknown scale; or a key that is unknown, missing or of the wrong type.
    """
    scales = tomllib.loads(path.read_text(encoding="utf-8"))
    method = path.parent.name
    if scale not in scales:
        raise MethodError(f"{method}: unknown scale {scale!r}.{did_you_mean(scale, scales)}")
    return parse_config(kind, scales[scale], f"{method}: {path.name} [{scale}]")


def parse_config(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    """The `kind` that a nested table (TOML or JSON) says; `where` begins every error.

    Raises:
        MethodError: a key that is unknown, missing or of the wrong type.
    """
    config = _parse(kind, table, where)
    assert isinstance(config, kind)
    return config


def _parse(kind: Any, value: Any, where: str) -> Any:
    """`value` as a `kind`: a dataclass, a tuple of numbers, or a plain value."""
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        hints = get_type_hints(kind)
        for key in value:
            if key not in hints:
                raise MethodError(f"{where} has an unknown key {key!r}.{did_you_mean(key, hints)}")
        missing = [key for key in hints if key not in value]
        if missing:
            raise MethodError(f"{where} lacks {', '.join(missing)}")
        fields = {key: _parse(hint, value[key], f"{where} {key}") for key, hint in hints.items()}
        return kind(**fields)  # type: ignore[operator]
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        return tuple(_parse(get_args(kind)[0], item, where) for item in value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise MethodError(f"{where} is {value!r}; it must be {getattr(kind, '__name__', kind)}")
    return value
