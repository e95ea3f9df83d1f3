"""Fixtures of tests that hold the compiled loop against stock Meta-World; ask for them with `usefixtures`."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MuJoCo writes MUJOCO_LOG.TXT into the working folder when a simulation turns unstable."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def needs_the_fast_path() -> None:
    """Skip where the compiled loop would not be used at all."""
    fast = pytest.importorskip("maa_bench.simulators.metaworld.fast")
    if not fast.same_arithmetic():
        pytest.skip("on this machine every task is left to stock")
