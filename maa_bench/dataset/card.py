"""The dataset's card."""

from __future__ import annotations

from pathlib import Path

from maa_bench.suite import Suite


def write_card(folder: Path, suite: Suite) -> None:
    """Write `README.md` into a dataset's folder."""
