"""Make-An-Agent through the whole main job on the toy suite: plan, cache, workers, records."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from maa_bench.main_job import run_methods
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.results import load_episodes

pytestmark = pytest.mark.baseline

QUICK = """
from dataclasses import replace

from maa_bench.baselines.make_an_agent import MakeAnAgent
from maa_bench.baselines.make_an_agent.config import read_config


def shorter(part, steps):
    return replace(part, training=replace(part.training, steps=steps))


class Quick(MakeAnAgent):
    card = replace(MakeAnAgent.card, name="quick")

    def __init__(self, scale="small"):
        config = read_config(scale)
        config = replace(
            config, embedding=shorter(config.embedding, 20), diffusion=shorter(config.diffusion, 40)
        )
        super().__init__(config=config)
"""


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_same_bytes_with_one_worker_two_workers_and_a_saved_fit(
    tiny_suite: Path, tiny_cache: Path, tiny_protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quick_method.py").write_text(QUICK)
    monkeypatch.syspath_prepend(tmp_path)

    def episodes_and_policies(cache: Path, results: str, workers: int) -> tuple[object, bytes]:
        record = run_methods(
            ["quick_method:Quick"],
            suite=str(tiny_suite),
            protocol=tiny_protocol,
            workers=workers,
            cache_dir=cache,
            results_dir=tmp_path / results,
            progress=Progress(quiet=True),
        )[0]
        folder = tmp_path / results / "quick" / record.run_id
        return load_episodes(folder), (folder / "candidates.safetensors").read_bytes()

    def cache_copy(name: str) -> Path:
        return Path(shutil.copytree(tiny_cache, tmp_path / name))

    one = episodes_and_policies(cache_copy("one"), "r1", 1)
    assert episodes_and_policies(cache_copy("two"), "r2", 2) == one
    shutil.rmtree(tmp_path / "one" / "cells")  # the fit is still there
    fits = {path: path.stat().st_mtime_ns for path in (tmp_path / "one" / "fits").iterdir()}
    assert len(fits) >= 5
    assert episodes_and_policies(tmp_path / "one", "r3", 1) == one
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "one" / "fits").iterdir()} == fits
