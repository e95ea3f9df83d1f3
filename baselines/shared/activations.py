"""A policy's activations in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor
from torch.nn import functional


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The function that `PolicySpec.activations` names: its names are torch's own."""
    return cast(Callable[[Tensor], Tensor], getattr(functional, name))
