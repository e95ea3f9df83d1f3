"""Writing TOML, for tests that make suites and protocols."""

from __future__ import annotations

import json
import re
from typing import Any


def to_toml(data: dict[str, Any], where: str = "") -> str:
    """TOML of nested tables of strings, numbers and lists (the standard library only reads it)."""
    here = [f"{key} = {json.dumps(value)}" for key, value in data.items() if not isinstance(value, dict)]
    header = [f"[{where}]"] if where else []
    names = {key: key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key) for key in data}
    tables = [
        to_toml(value, f"{where}.{names[key]}" if where else names[key])
        for key, value in data.items()
        if isinstance(value, dict)
    ]
    return "\n".join([*header, *here, *tables]) + "\n"
