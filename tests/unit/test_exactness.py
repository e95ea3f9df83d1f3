"""The same command gives the same bytes, however it is carried out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from maa_bench import evaluator
from maa_bench.main_job import run_methods
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.results import CANDIDATES, EPISODES

ALGEBRA = """
import numpy as np
import torch
from maa_bench import FlatPolicies, MethodCard

class Algebra:
    '''Linear algebra of a size at which BLAS and torch use several threads, and then give other bytes.'''
    card = MethodCard(name="algebra", family="generator", summary="A stranger's.")
    def __init__(self, scale="small"): ...
    def fit(self, training_set, context):
        self.spec, self.params = training_set.spec, training_set.params
        wide = context.rng(1).standard_normal((300, 300))
        self.turn = np.linalg.svd(wide)[0] @ wide
        x = torch.from_numpy(wide).float()
        self.shift = torch.softmax((x @ x).sin() @ x, 0).mean(0).numpy()
    def generate(self, prompts, n, context):
        k = self.params.shape[1]
        mean = self.params.mean(0)
        rows = [np.resize(self.turn[i], k).astype(np.float32) * 0.01 + np.resize(self.shift, k) for i in range(n)]
        return FlatPolicies(self.spec, np.stack([mean + row for row in rows]).astype(np.float32))
"""

PROTOCOL = Protocol(shots=4, candidates=6, episodes=2, select_episodes=1)
"""More candidates than one job takes, few episodes of each."""

Run = Callable[..., dict[str, bytes]]


@pytest.fixture
def run(tiny_suite: Path, tiny_cache_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `algebra` and the controls; returns episodes and weights by method and file."""
    folder = tmp_path / "method"
    folder.mkdir()
    (folder / "algebra.py").write_text(ALGEBRA)
    monkeypatch.syspath_prepend(folder)
    sys.modules.pop("algebra", None)

    def run(**options: object) -> dict[str, bytes]:
        results = tmp_path / f"results{len(list(tmp_path.glob('results*')))}"
        settings = {"protocol": PROTOCOL, "workers": 1, "split": "unseen", **options}
        run_methods(
            ["algebra:Algebra"],
            suite=str(tiny_suite),
            cache_dir=tiny_cache_copy,
            results_dir=results,
            progress=Progress(quiet=True),
            **settings,  # type: ignore[arg-type]
        )
        return contents(results)

    return run


def contents(results: Path) -> dict[str, bytes]:
    return {
        f"{path.parent.parent.name}/{path.name}": path.read_bytes()
        for name in (EPISODES, CANDIDATES)
        for path in sorted(results.glob(f"*/*/{name}"))
    }


def test_twice_in_a_row_with_more_workers_other_chunks_and_after_a_resume(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = run(tasks=["goal-030"])
    resumed = run()
    assert len(resumed) == 9, "episodes of five methods, weights of four"
    assert part["algebra/" + CANDIDATES] != resumed["algebra/" + CANDIDATES]
    assert run(overwrite="always") == resumed, "in one go, and not half from the cache"
    assert run(overwrite="always") == resumed, "twice in a row"
    assert run(overwrite="always", workers=2) == resumed
    for chunk in (1, 100):
        monkeypatch.setattr(evaluator, "CHUNK", chunk)
        assert run(tasks=["goal-030"], overwrite="always") == part


@pytest.mark.heavy
def test_other_numbers_of_blas_threads(run: Run, tiny_suite: Path, tiny_cache_copy: Path, tmp_path: Path) -> None:
    expected = run()
    numbers = ["--shots", "4", "--candidates", "6", "--episodes", "2", "--select-episodes", "1"]
    for threads, workers in (("5", "1"), ("2", "2")):
        results = tmp_path / f"threads{threads}-{workers}"
        environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)}
        command = ["run", "--suite", tiny_suite, "--method", "algebra:Algebra", *numbers, "--workers", workers]
        folders = ["--cache-dir", tiny_cache_copy, "--results-dir", results, "--overwrite", "always", "--quiet"]
        done = subprocess.run(
            [sys.executable, "-m", "maa_bench.cli", *map(str, [*command, *folders])],
            cwd=tmp_path / "method",
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert contents(results) == expected, (threads, workers)
