"""What goes wrong in the middle of a run, done for real: kills, hangs, two runs at once, folders that cannot be
written. Nothing is lost, nothing else is touched, and the results are those of a run to which nothing happened."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from maa_bench.files import sha256_of
from maa_bench.results import EPISODES, RECORD, load_episodes, validate_record

CONTROLS = {"random_seen", "nearest_checkpoint", "random_weights", "expert"}

STRANGERS = """
import os, signal, time
from pathlib import Path
import numpy as np
from maa_bench import FlatPolicies, MethodCard

def card(name): return MethodCard(name=name, family="generator", summary="A stranger's.")

class Mean:
    card = card("mean")
    def __init__(self, scale="small"): ...
    def fit(self, training_set, context):
        self.spec, self.params = training_set.spec, training_set.params.mean(axis=0)
    def generate(self, prompts, n, context):
        noise = context.rng(*prompts.task.encode()).standard_normal((n, len(self.params)))
        return FlatPolicies(self.spec, (self.params + 0.1 * noise).astype(np.float32))
    def save(self, folder): np.save(folder / "mean.npy", self.params)
    def load(self, folder, training_set):
        self.spec, self.params = training_set.spec, np.load(folder / "mean.npy")

def hang():
    while not Path("go").exists():
        time.sleep(0.02)

class HangingFit(Mean):
    card = card("hanging_fit")
    def fit(self, training_set, context):
        hang()
        super().fit(training_set, context)

class HangingGenerate(Mean):
    card = card("hanging_generate")
    def generate(self, prompts, n, context):
        context.progress("nothing to do", 0, 0)  # must not pass for a step of its own
        if prompts.task == "goal-030":
            hang()
        return super().generate(prompts, n, context)

class Wanderer:
    def __init__(self, index, bad): self.index, self.bad = index, bad
    def reset(self): self.step = 0
    def act(self, obs):
        self.step += 1
        if self.step == 3 and self.index == 1 and self.bad:
            self.bad()
        return np.array([np.cos(self.step + self.index), np.sin(self.step)])

class Wanderers:
    def __init__(self, n, bad=None): self.n, self.bad = n, bad
    def __len__(self): return self.n
    def agent(self, index): return Wanderer(index, self.bad)

class Wandering(Mean):
    card = card("wandering")
    def generate(self, prompts, n, context): return Wanderers(n)

def die_once():
    try:
        Path("died").touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

def die(): os.kill(os.getpid(), signal.SIGKILL)

def stumble(): raise RuntimeError("stumbled")

class Hanging(Mean):
    card = card("wandering")
    def generate(self, prompts, n, context): return Wanderers(n, hang)

class DyingOnce(Mean):
    card = card("wandering")
    def generate(self, prompts, n, context): return Wanderers(n, die_once)

class Dying(Mean):
    card = card("wandering")
    def generate(self, prompts, n, context): return Wanderers(n, die)

class Stumbling(Mean):
    card = card("wandering")
    def generate(self, prompts, n, context): return Wanderers(n, stumble)

class Missing(Mean):
    card = card("missing")
    def fit(self, training_set, context): open("weights-that-are-not-there.pt")

class Leaving(Mean):
    card = card("leaving")
    def generate(self, prompts, n, context): raise SystemExit(0)

def leave(): raise SystemExit("enough")

class LeavingLater(Mean):
    card = card("wandering")
    def generate(self, prompts, n, context): return Wanderers(n, leave)

class Odd(Wanderers):
    def __getstate__(self): return self.__dict__
    def __setstate__(self, state): raise ValueError("not twice")

class Unreadable(Mean):
    card = card("unreadable")
    def generate(self, prompts, n, context): return Odd(n)

def die_and_leave_a_child():
    import subprocess
    subprocess.Popen(["sleep", "600"], close_fds=False)
    if os.fork() == 0:
        time.sleep(600)
    os.kill(os.getpid(), signal.SIGKILL)

class Childish(Mean):
    card = card("wandering")
    def generate(self, prompts, n, context): return Wanderers(n, die_and_leave_a_child)

class Wordy(Mean):
    card = card("wandering")
    def generate(self, prompts, n, context): return Wanderers(n, shout)

def shout(): raise RuntimeError("one\\nFAILED two\\n" + "x" * 10000)

class Overflowing(Mean):
    card = card("overflowing")
    def generate(self, prompts, n, context):
        params = super().generate(prompts, n, context).params.copy()
        params[1] = np.where(np.arange(params.shape[1]) % 2, 1e38, -1e38)  # infinity minus infinity
        return FlatPolicies(self.spec, params)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder with a stranger's module in it, to run in."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "stranger.py").write_text(STRANGERS)
    return folder


@pytest.fixture
def command(tiny_suite: Path) -> Callable[..., list[str]]:
    numbers = ["--shots", "4", "--candidates", "3", "--episodes", "4", "--select-episodes", "3"]

    def make(*args: object) -> list[str]:
        own = [] if "--workers" in args else ["--workers", "2"]
        start = [sys.executable, "-m", "maa_bench.cli", "run", "--suite", str(tiny_suite), *numbers, *own]
        return [*start, *map(str, args)]

    return make


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)


def outcome(results: Path) -> dict[str, Any]:
    """Everything under a results folder: bytes by hash, records as JSON without times and memory."""
    found: dict[str, Any] = {}
    for path in sorted(p for p in results.rglob("*") if p.is_file()):
        if any(part.startswith(".") for part in path.relative_to(results).parts):
            continue  # what a killed run left half-written; nothing reads it
        name = path.relative_to(results).as_posix()
        if path.name == RECORD:
            record = json.loads(path.read_text())
            del record["cost"]["seconds"], record["cost"]["peak_mb"]
            found[name] = record
        else:
            found[name] = sha256_of(path)
    return found


def record_folder(folder: Path, method: str) -> Path:
    (path,) = (folder / "results" / method).iterdir()
    return path


def failed_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert "Traceback" not in done.stderr
    return [line.removeprefix("FAILED ") for line in done.stderr.splitlines() if line.startswith("FAILED ")]


# Kills


@pytest.mark.parametrize("rounds", [1, pytest.param(5, marks=pytest.mark.heavy)])
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(
    command: Callable[..., list[str]], folder: Path, rounds: int
) -> None:
    """Rounds of four kills from an empty cache: they fall into the dataset, fits, episodes and writing of records."""
    base = command("--method", "stranger:Mean", "--quiet")
    started = time.monotonic()
    assert run([*base, "--cache-dir", "c", "--results-dir", "r"], folder).returncode == 0
    whole = time.monotonic() - started
    expected = outcome(folder / "r")
    assert {name.split("/")[0] for name in expected} == {"mean", *CONTROLS}

    rng = random.Random(rounds)
    for number in range(rounds):
        again = [*base, "--cache-dir", f"c{number}", "--results-dir", f"r{number}"]
        kills = 0
        while kills < 4:
            process = subprocess.Popen(again, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                # What is left to do gets less with every kill.
                process.wait(rng.uniform(0.1, 0.6) * whole)
                assert process.returncode == 0
                shutil.rmtree(folder / f"r{number}")  # it came to its end: its records are to be written again, and
                shutil.rmtree(folder / f"c{number}" / "cells")  # all episodes are to be run
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        done = run(again, folder)
        assert done.returncode == 0, done.stderr
        assert outcome(folder / f"r{number}") == expected


def test_a_cell_whose_worker_is_killed_is_done_again(
    command: Callable[..., list[str]], folder: Path, tiny_cache_copy: Path
) -> None:
    cache = ["--cache-dir", tiny_cache_copy]
    assert run(command("--method", "stranger:Wandering", *cache, "--results-dir", "calm"), folder).returncode == 0
    done = run(command("--method", "stranger:DyingOnce", *cache), folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "died").exists()
    calm, killed = (load_episodes(next(p.glob("wandering/*"))) for p in (folder / "calm", folder / "results"))
    assert killed.equals(calm)


def test_a_candidate_that_always_kills_its_worker_fails_alone(
    command: Callable[..., list[str]], folder: Path, tiny_cache_copy: Path
) -> None:
    cache = ["--cache-dir", tiny_cache_copy]
    assert run(command("--method", "stranger:Wandering", *cache, "--results-dir", "calm"), folder).returncode == 0
    done = run(command("--method", "stranger:Dying", *cache), folder)
    _assert_candidate_one_failed(done, folder, r"its worker process died 3 times \(killed, or out of memory")


def _assert_candidate_one_failed(done: subprocess.CompletedProcess[str], folder: Path, reason: str) -> None:
    """Candidate 1 of `wandering` failed everywhere, is named, and the others are as in the folder `calm`."""
    assert done.returncode == 1, done.stderr
    lines = failed_lines(done)
    assert [line.split(": ")[0] for line in lines] == [
        f"wandering, {task}, candidate 1" for task in ("goal-030", "goal-210")
    ]
    assert all(re.search(reason, line) for line in lines), lines
    assert all("7 of 7 episodes" in line for line in lines)
    record = validate_record(record_folder(folder, "wandering"))
    assert [(f.task, f.train_seed, f.candidate, f.episodes) for f in record.failures] == [
        ("goal-030", 0, 1, 7),
        ("goal-210", 0, 1, 7),
    ]
    calm, found = (load_episodes(next(p.glob("wandering/*"))) for p in (folder / "calm", folder / "results"))
    calm, found = calm.to_pandas(), found.to_pandas()
    assert not found[found.candidate == 1].success.any()
    assert found[found.candidate != 1].equals(calm[calm.candidate != 1])
    assert {p.parent.parent.name for p in folder.glob("results/*/*/record.json")} == {"wandering", *CONTROLS}


# Hangs


@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.heavy)])
def test_a_candidate_that_hangs_fails_alone(
    command: Callable[..., list[str]], folder: Path, tiny_cache_copy: Path, workers: int
) -> None:
    cache = ["--cache-dir", tiny_cache_copy]
    assert run(command("--method", "stranger:Wandering", *cache, "--results-dir", "calm"), folder).returncode == 0
    done = run(command("--method", "stranger:Hanging", *cache, "--cell-timeout", "3", "--workers", workers), folder)
    _assert_candidate_one_failed(done, folder, "it took longer than --cell-timeout 3 seconds and was ended")
    (folder / "go").touch()
    again = run(command("--method", "stranger:Hanging", *cache), folder)
    assert all("--overwrite failed tries it again" in line for line in failed_lines(again))
    mended = run(command("--method", "stranger:Hanging", *cache, "--overwrite", "failed"), folder)
    assert mended.returncode == 0, mended.stderr
    calm, found = (load_episodes(next(p.glob("wandering/*"))) for p in (folder / "calm", folder / "results"))
    assert found.equals(calm)


def test_a_hanging_generate_fails_its_task_and_a_hanging_fit_its_method(
    command: Callable[..., list[str]], folder: Path, tiny_cache_copy: Path
) -> None:
    methods = ["--method", "stranger:HangingGenerate", "--method", "stranger:HangingFit", "--method", "stranger:Mean"]
    base = [*methods, "--cache-dir", tiny_cache_copy, "--cell-timeout", "3"]
    done = run(command(*base), folder)
    assert done.returncode == 1, done.stderr
    took = "it took longer than --cell-timeout 3 seconds and was ended"
    assert failed_lines(done) == [
        "hanging_generate, goal-030: method 'stranger:HangingGenerate': generate for task 'goal-030': " + took,
        *(f"hanging_fit, {task}: method 'stranger:HangingFit': fit: {took}" for task in ("goal-030", "goal-210")),
    ]
    assert {p.parent.parent.name for p in folder.glob("results/*/*/record.json")} == {"mean", *CONTROLS}
    told = json.loads((record_folder(folder, "hanging_generate") / "failures.json").read_text())
    assert [failure["task"] for failure in told["failures"]] == ["goal-030"], "the other task is done, and kept"

    (folder / "go").touch()
    again = run(command(*base), folder)
    assert again.returncode == 1
    assert all("--overwrite failed tries it again" in line for line in failed_lines(again))
    mended = run(command(*base, "--overwrite", "failed"), folder)
    assert mended.returncode == 0, mended.stderr
    for method in ("hanging_generate", "hanging_fit"):
        validate_record(record_folder(folder, method))
        assert not (record_folder(folder, method) / "failures.json").exists()


# Candidates that raise or give no numbers


def test_candidates_that_raise_or_overflow_are_recorded(
    command: Callable[..., list[str]], folder: Path, tiny_cache_copy: Path
) -> None:
    cache = ["--cache-dir", tiny_cache_copy]
    assert run(command("--method", "stranger:Wandering", *cache, "--results-dir", "calm"), folder).returncode == 0
    done = run(command("--method", "stranger:Stumbling", *cache), folder)
    _assert_candidate_one_failed(done, folder, "`act` raised RuntimeError in step 3: stumbled")
    done = run(command("--method", "stranger:Overflowing", *cache), folder)
    assert done.returncode == 1
    assert len(failed_lines(done)) == 2
    assert "candidate 1: the action of step 1 is not finite (7 of 7 episodes" in failed_lines(done)[0]


def test_a_stranger_ends_nothing_but_its_own_cells(
    command: Callable[..., list[str]], folder: Path, tiny_cache_copy: Path
) -> None:
    """A missing file is its own fault and not the disk's; sys.exit does not end us, and is no success."""
    methods = [x for name in ("Missing", "Leaving", "Unreadable", "Mean") for x in ("--method", f"stranger:{name}")]
    for workers in (1, 2):
        cache, results = folder / f"cache{workers}", folder / f"results{workers}"
        shutil.copytree(tiny_cache_copy, cache)
        place = ["--cache-dir", cache, "--results-dir", results, "--workers", workers, "--tasks", "goal-030"]
        done = run(command(*methods, *place), folder)
        assert done.returncode == 1, done.stderr
        missing, leaving, unreadable = failed_lines(done)
        assert "fit raised FileNotFoundError" in missing
        assert "weights-that-are-not-there.pt" in missing
        assert "generate for task 'goal-030' raised SystemExit" in leaving
        assert "cannot be pickled and read again" in unreadable
        assert "not twice" in unreadable
        assert {p.parent.parent.name for p in results.glob("*/*/record.json")} == {"mean", *CONTROLS}
        boards = subprocess.run(
            [sys.executable, "-m", "maa_bench.cli", "leaderboard", "--results-dir", results, "--out", folder / "board"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert boards.returncode == 0, boards.stderr


def test_what_agents_say_is_one_line(command: Callable[..., list[str]], folder: Path, tiny_cache_copy: Path) -> None:
    base = ["--cache-dir", tiny_cache_copy, "--tasks", "goal-030"]
    (line,) = failed_lines(run(command("--method", "stranger:Wordy", *base), folder))
    assert "step 3: one FAILED two xxx" in line
    assert len(line) < 700
    (line,) = failed_lines(run(command("--method", "stranger:LeavingLater", *base), folder))
    assert "`act` raised SystemExit in step 3: enough" in line


def test_the_children_of_a_dead_worker_hold_nothing_up(
    command: Callable[..., list[str]], folder: Path, tiny_cache_copy: Path
) -> None:
    started = time.monotonic()
    done = run(command("--method", "stranger:Childish", "--cache-dir", tiny_cache_copy, "--tasks", "goal-030"), folder)
    assert done.returncode == 1, done.stderr
    (line,) = failed_lines(done)
    assert "its worker process died 3 times" in line
    assert time.monotonic() - started < 100, "the children sleep for 600 seconds"


def test_workers_that_cannot_start_are_nobodys_failure(folder: Path, tiny_suite: Path, tiny_cache_copy: Path) -> None:
    """A script without `if __name__ == "__main__"`: spawned workers run it again, and end."""
    script = (
        "import maa_bench\n"
        f"maa_bench.run('stranger:Mean', suite={str(tiny_suite)!r}, split='unseen', shots=4, candidates=3,\n"
        f"    episodes=4, select_episodes=3, workers=2, cache_dir={str(tiny_cache_copy)!r})\n"
    )
    (folder / "script.py").write_text(script)
    done = run([sys.executable, "script.py"], folder)
    assert done.returncode == 1
    assert "WorkerStartError: a worker process ended as it started (exit code 1)" in done.stderr
    assert "__main__" in done.stderr.splitlines()[-1]
    assert not list(tiny_cache_copy.glob("cells/*")), "no cell is blamed"


# What is computed again


def test_overwrite_says_what_is_computed(
    command: Callable[..., list[str]], folder: Path, tiny_cache_copy: Path
) -> None:
    def cells() -> dict[str, int]:
        return {path.parent.name: path.stat().st_mtime_ns for path in tiny_cache_copy.glob("cells/*/meta.json")}

    def fits() -> dict[str, int]:
        return {path.parent.name: path.stat().st_mtime_ns for path in tiny_cache_copy.glob("fits/*/meta.json")}

    base = ["--method", "stranger:Mean", "--cache-dir", tiny_cache_copy]
    nothing = run(command(*base, "--overwrite", "never"), folder)
    assert nothing.returncode == 1
    assert len(failed_lines(nothing)) == 10, "two tasks of the method and four controls"
    assert all("not computed: --overwrite never" in line for line in failed_lines(nothing))
    assert cells() == {}
    assert list(folder.glob("results/*")) == []

    assert run(command(*base, "--tasks", "goal-030"), folder).returncode == 0
    assert run(command(*base), folder).returncode == 0
    first, fitted = cells(), fits()
    assert len(first) == 10
    expected = outcome(folder / "results")
    for keep in ("never", "missing", "failed"):
        assert run(command(*base, "--overwrite", keep), folder).returncode == 0
        assert (cells(), fits()) == (first, fitted)
    for choice, to_do in (("missing", 0), ("always", 10)):
        plan = run(command(*base, "--overwrite", choice, "--dry-run", "--json"), folder)
        assert json.loads(plan.stdout)[0]["to_do"]["cells"] == to_do
    done = run(command(*base, "--overwrite", "always"), folder)
    assert done.returncode == 0, done.stderr
    assert set(cells()) == set(first)
    assert not set(cells().values()) & set(first.values()), "every cell was written anew"
    assert not set(fits().values()) & set(fitted.values()), "every fit was made anew"
    assert outcome(folder / "results") == expected
    wrong = run(command(*base, "--overwrite", "allways"), folder)
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    assert "always" in wrong.stderr


# Two runs, one cache


def test_two_runs_at_once_on_one_cache_corrupt_nothing(command: Callable[..., list[str]], folder: Path) -> None:
    base = command("--method", "stranger:Mean", "--workers", "1", "--cache-dir", "cache")
    both = [
        subprocess.Popen([*base, "--quiet"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        _, stderr = process.communicate(timeout=200)
        assert process.returncode == 0, stderr
    assert run([*base, "--cache-dir", "other", "--results-dir", "alone"], folder).returncode == 0
    assert outcome(folder / "results") == outcome(folder / "alone")
    left = [*(folder / "cache").rglob(".*"), *(folder / "results").rglob(".*")]
    assert left == [], "no temporary file is left"
    for path in folder.glob("results/*/*"):
        validate_record(path)


# Folders that cannot be written


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs util-linux's setpriv")
@pytest.mark.parametrize("which", ["--cache-dir", "--results-dir"])
def test_a_read_only_folder_is_one_clear_line(
    command: Callable[..., list[str]], folder: Path, tiny_cache_copy: Path, which: str
) -> None:
    """Also for root, who writes everywhere unless that right is taken away."""
    locked = folder / "locked"
    if which == "--cache-dir":
        shutil.copytree(tiny_cache_copy, locked)
    else:
        locked.mkdir()
    for path in [locked, *(p for p in locked.rglob("*") if p.is_dir())]:
        path.chmod(0o555)
    options = {"--cache-dir": tiny_cache_copy, "--results-dir": folder / "results", which: locked}
    args = [str(x) for pair in options.items() for x in pair]
    less = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    prefix = less if os.geteuid() == 0 else []
    try:
        done = run([*prefix, *command("--method", "random_seen", "--quiet", *args)], folder)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert str(locked) in done.stderr
        assert "Permission denied" in done.stderr
        assert which in done.stderr
        assert not list(locked.glob("*/record.json"))
    finally:
        for path in [locked, *(p for p in locked.rglob("*") if p.is_dir())]:
            path.chmod(0o755)


def test_episodes_of_a_run_are_where_the_record_says(command: Callable[..., list[str]], folder: Path) -> None:
    """A run in an empty folder, from an empty cache, with everything the defaults give: the base of the tests above."""
    done = run(command("--method", "stranger:Wandering", "--cache-dir", "cache", "--json"), folder)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["failures"] == []
    assert sha256_of(record_folder(folder, "wandering") / EPISODES) == record["files"][EPISODES]["sha256"]
