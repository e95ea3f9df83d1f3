"""A fit as two files: `model.safetensors` (all tensors) and `model.json` (what they are for)."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from torch import nn

from maa_bench.errors import MethodError
from maa_bench.policy import PolicySpec


def save_module(folder: Path, module: nn.Module, spec: PolicySpec, config: Any, **record: Any) -> None:
    """Write a module's state, and its configuration (a dataclass) with what else it takes to build the module again.

    Args:
        folder: an existing empty folder.
        module: what was fitted.
        spec: of the policies that it was fitted for.
        config: its numbers.
        record: JSON-able.
    """
    from safetensors.torch import save_file

    save_file({name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()}, folder / FILES[0])
    about = {"policy": spec.id, "config": dataclasses.asdict(config), **record}
    (folder / FILES[1]).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def saved_record(folder: Path, spec: PolicySpec) -> dict[str, Any]:
    """What `save_module` wrote beside the tensors: `policy`, `config` and the rest.

    Raises:
        MethodError: it was fitted for other policies than `spec`.
    """
    record: dict[str, Any] = json.loads((folder / FILES[1]).read_text(encoding="utf-8"))
    if record["policy"] != spec.id:
        raise MethodError(f"{folder} was fitted to policies {record['policy']}, the training set holds {spec.id}")
    return record


def load_state(folder: Path, module: nn.Module) -> None:
    """Read the tensors that `save_module` wrote into a module of the same sizes."""
    from safetensors.torch import load_file

    module.load_state_dict(load_file(folder / FILES[0]))


FILES = ("model.safetensors", "model.json")
