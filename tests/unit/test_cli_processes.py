"""Commands in processes of their own: workers, Ctrl-C and closed pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from maa_bench.cli import INTERRUPTED

MODULE = [sys.executable, "-m", "maa_bench.cli"]

OUTSIDER = """
import sys, time, warnings
from pathlib import Path
import numpy as np
from maa_bench import FlatPolicies, MethodCard

class Noisy:
    card = MethodCard(name="noisy", family="generator", summary="prints and warns")
    def __init__(self, scale="small"): ...
    def fit(self, training_set, context):
        print("printed by fit")
        warnings.warn("warned by fit")
        self.spec = training_set.spec
    def generate(self, prompts, n, context):
        return FlatPolicies(self.spec, np.zeros((n, self.spec.n_params), np.float32))

def wait():
    Path("waiting").touch()
    while not Path("go").exists():
        time.sleep(0.05)

class SlowFit(Noisy):
    def fit(self, training_set, context):
        wait()
        self.spec = training_set.spec

class Lazy:
    def reset(self): ...
    def act(self, obs):
        wait()
        return np.zeros(2)

class Slow:
    def __init__(self, n): self.n = n
    def __len__(self): return self.n
    def agent(self, index): return Lazy()

class SlowEpisodes(Noisy):
    def fit(self, training_set, context): ...
    def generate(self, prompts, n, context): return Slow(n)
"""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with a stranger's module in it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "stranger.py").write_text(OUTSIDER)
    return folder


def _alive(group: int) -> list[int]:
    """Processes of a group, zombies aside."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgrp) == group and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


def test_workers_import_from_here_and_stdout_stays_pure(tiny: list[str], tiny_cache_copy: Path, outside: Path) -> None:
    script = Path(sys.executable).with_name("maa-bench")
    options = ["--method", "stranger:Noisy", "--tasks", "goal-030", "--workers", "2", "--json"]
    done = subprocess.run(
        [script, *tiny, *options, "--cache-dir", tiny_cache_copy], cwd=outside, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["method"]["name"] == "noisy"
    assert "printed by fit" in done.stderr
    assert "warned by fit" not in done.stderr


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("method", "cached", "ready"),
    [
        ("random_seen", False, lambda folder, cache: list(cache.glob("datasets/*"))),
        # The controls' four cells are done by then: they must be kept.
        ("stranger:SlowFit", True, lambda folder, cache: len(list(cache.glob("cells/[0-9a-f]*"))) == 4),
        ("stranger:SlowEpisodes", True, lambda folder, cache: (folder / "waiting").exists()),
    ],
    ids=["dataset", "fit", "evaluate"],
)
def test_ctrl_c_and_going_on(
    tiny: list[str],
    tiny_cache_copy: Path,
    tmp_path: Path,
    outside: Path,
    method: str,
    cached: bool,
    ready: Callable[[Path, Path], bool],
) -> None:
    cache = tiny_cache_copy if cached else tmp_path / "empty"
    command = [*MODULE, *tiny, "--method", method, "--tasks", "goal-030", "--cache-dir", str(cache), "--json"]
    running = subprocess.Popen(
        [*command, "--workers", "2"],
        cwd=outside,
        start_new_session=True,
        # Started in the background of a script, pytest is told to ignore Ctrl-C, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not ready(outside, cache):
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to every process of the group
        out, err = running.communicate(timeout=30)
        assert running.returncode == 130, err
        assert out == ""
        assert "Traceback" not in err
        assert err.splitlines()[-1] == INTERRUPTED
        deadline = time.monotonic() + 10
        while _alive(running.pid):
            assert time.monotonic() < deadline, "a worker was left behind"
            time.sleep(0.05)
    finally:
        for pid in _alive(running.pid):
            os.kill(pid, signal.SIGKILL)
    assert not (outside / "results" / "expert").exists()
    kept = {path: path.stat().st_ino for path in cache.glob("cells/[0-9a-f]*/meta.json")}
    assert bool(kept) or method != "stranger:SlowFit"

    (outside / "go").touch()
    done = subprocess.run(command, cwd=outside, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["split"]["test"] == ["goal-030"]
    assert all(path.stat().st_ino == inode for path, inode in kept.items()), "finished cells were done again"


def test_a_closed_pipe_is_quiet() -> None:
    for args in (["list", "tasks", "--json"], ["list", "tasks"]):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as closed:
            done = subprocess.run([*MODULE, *args], stdout=closed, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (1, "")
