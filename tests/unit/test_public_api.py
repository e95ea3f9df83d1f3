"""`import maa_bench`: light, and what `__all__` promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import maa_bench
from maa_bench.record import AGGREGATE


def test_every_public_name_is_there() -> None:
    for name in maa_bench.__all__:
        assert getattr(maa_bench, name) is not None
    assert set(maa_bench.__all__) <= set(dir(maa_bench))
    assert maa_bench.__all__ == sorted(maa_bench.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = maa_bench.nothing  # type: ignore[attr-defined]


def test_import_brings_in_nothing() -> None:
    code = (
        "import sys; import maa_bench\n"
        "outside = 'numpy torch gymnasium metaworld mujoco numba pandas datasets pyarrow scipy pydantic typer rich'\n"
        "print([name for name in outside.split() if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_run_is_the_function_whatever_was_imported() -> None:
    code = (
        "import maa_bench\n"
        "from maa_bench.main_job import run_methods\n"
        "from maa_bench import run\n"
        "assert maa_bench.run is run and maa_bench.run_methods is run_methods and callable(run)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_run_returns_the_record_on_disk(tiny_suite: Path, tiny_cache: Path, tmp_path: Path) -> None:
    record = maa_bench.run(
        "random_seen",
        suite=str(tiny_suite),
        shots=4,
        candidates=2,
        episodes=2,
        select_episodes=1,
        workers=1,
        results_dir=tmp_path,
        cache_dir=tiny_cache,
    )
    (folder,) = (tmp_path / "random_seen").iterdir()
    assert maa_bench.load_record(folder) == record
    frame = record.to_pandas()
    assert list(frame["task"].unique()) == ["goal-030", "goal-210", AGGREGATE]
    assert frame["value"].between(0, 1).all()
