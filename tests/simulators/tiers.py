"""Which tests of many tasks belong to the default tier."""

from __future__ import annotations

from typing import Any

import pytest


def mostly_heavy(quick: tuple[str, ...], tasks: tuple[str, ...]) -> list[Any]:
    """For `parametrize`: all of the tasks, of which only a few are in the default tier."""
    return [task if task in quick else pytest.param(task, marks=pytest.mark.heavy) for task in tasks]
