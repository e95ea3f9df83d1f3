"""What goes wrong in the middle of a run, done for real: kills, hangs, two runs at once, folders that cannot be
written. Nothing is lost, nothing else is touched, and the results are those of a run to which nothing happened.

What needs a process of its own is run as a command in one; all else in this process, whose workers are processes
anyhow. The methods are those of tests/strangers/faulty.py.
"""

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
from typing import Any, NamedTuple

import pytest
from command_line import Cli, Ended

from maa_bench.files import sha256_of
from maa_bench.main_job import run_methods
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.results import EPISODES, RECORD, load_episodes, validate_record

CONTROLS = {"random_seen", "nearest_checkpoint", "random_weights", "expert"}
STRANGERS = Path(__file__).parents[1] / "strangers" / "faulty.py"

Run = Callable[..., Ended]


def arguments(suite: Path, *args: object) -> list[str]:
    """Those of a run on the tiny suite, with two workers unless others are asked for."""
    numbers = ["--shots", "4", "--candidates", "3", "--episodes", "4", "--select-episodes", "3"]
    own = [] if "--workers" in args else ["--workers", "2"]
    return ["run", "--suite", str(suite), *numbers, *own, *map(str, args)]


@pytest.fixture
def run(cli: Cli, tiny_suite: Path, tmp_path: Path) -> Run:
    """Run in this process, in `tmp_path`, with the cache `tmp_path / "cache"` unless another is named."""

    def call(*args: object) -> Ended:
        own = [] if "--cache-dir" in args else ["--cache-dir", "cache"]
        return cli(*arguments(tiny_suite, *args, *own))

    return call


def faulty(*names: str) -> list[str]:
    """The options that ask for these strangers."""
    return [word for name in names for word in ("--method", f"strangers.faulty:{name}")]


@pytest.fixture
def command(tiny_suite: Path) -> Callable[..., list[str]]:
    """A run as a command for a process of its own; `stranger` is its strangers' module."""
    return lambda *args: [sys.executable, "-m", "maa_bench.cli", *arguments(tiny_suite, *args)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for such a command to run in."""
    return with_strangers(tmp_path / "run")


def with_strangers(folder: Path) -> Path:
    folder.mkdir()
    shutil.copy(STRANGERS, folder / "stranger.py")
    return folder


def execute(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
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


def recorded(folder: Path) -> set[str]:
    """Methods with a record in the folder's results."""
    return {path.parent.parent.name for path in folder.glob("results/*/*/record.json")}


def failed_lines(done: Any) -> list[str]:
    stderr = done.err if isinstance(done, Ended) else done.stderr
    assert "Traceback" not in stderr
    return [line.removeprefix("FAILED ") for line in stderr.splitlines() if line.startswith("FAILED ")]


# What a run is like to which nothing happens


class Whole(NamedTuple):
    """A run of `stranger:Mean`: its folder, what it printed, and how many seconds it took."""

    folder: Path
    printed: str
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tiny_suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """In an empty folder, from an empty cache, and nothing happens to it: the base of the tests below."""
    folder = with_strangers(tmp_path_factory.mktemp("undisturbed") / "run")
    options = arguments(tiny_suite, "--method", "stranger:Mean", "--cache-dir", "cache", "--json")
    started = time.monotonic()
    done = execute([sys.executable, "-m", "maa_bench.cli", *options], folder)
    assert done.returncode == 0, done.stderr
    return Whole(folder, done.stdout, time.monotonic() - started)


@pytest.fixture(scope="module")
def calm(
    tiny_suite: Path, tiny_protocol: Protocol, tiny_cache_with_controls: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The episodes of `Wandering`, whose candidates have the faults of others in other tests."""
    folder = tmp_path_factory.mktemp("calm")
    shutil.copytree(tiny_cache_with_controls, folder / "cache")
    run_methods(
        ["strangers.faulty:Wandering"],
        suite=str(tiny_suite),
        protocol=tiny_protocol,
        workers=1,
        results_dir=folder / "results",
        cache_dir=folder / "cache",
        progress=Progress(quiet=True),
    )
    return load_episodes(record_folder(folder, "wandering"))


def test_episodes_of_a_run_are_where_the_record_says(undisturbed: Whole) -> None:
    record = json.loads(undisturbed.printed)
    assert record["failures"] == []
    assert sha256_of(record_folder(undisturbed.folder, "mean") / EPISODES) == record["files"][EPISODES]["sha256"]
    assert recorded(undisturbed.folder) == {"mean", *CONTROLS}


# Kills


@pytest.mark.parametrize("rounds", [1, pytest.param(5, marks=pytest.mark.heavy)])
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(
    command: Callable[..., list[str]], folder: Path, undisturbed: Whole, rounds: int
) -> None:
    """Rounds of four kills from an empty cache: they fall into the dataset, fits, episodes and writing of records."""
    base = command("--method", "stranger:Mean", "--quiet")
    expected = outcome(undisturbed.folder / "results")
    rng = random.Random(rounds)
    for number in range(rounds):
        again = [*base, "--cache-dir", f"c{number}", "--results-dir", f"r{number}"]
        kills = 0
        while kills < 4:
            process = subprocess.Popen(again, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                # What is left to do gets less with every kill.
                process.wait(rng.uniform(0.1, 0.6) * undisturbed.seconds)
                assert process.returncode == 0
                shutil.rmtree(folder / f"r{number}")  # it came to its end: its records are to be written again, and
                shutil.rmtree(folder / f"c{number}" / "cells")  # all episodes are to be run
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
        done = execute(again, folder)
        assert done.returncode == 0, done.stderr
        assert outcome(folder / f"r{number}") == expected


@pytest.mark.usefixtures("warm_cache_copy")
def test_a_cell_whose_worker_is_killed_is_done_again(run: Run, tmp_path: Path, calm: Any) -> None:
    done = run(*faulty("DyingOnce"))
    assert done.code == 0, done.err
    assert (tmp_path / "died").exists()
    assert load_episodes(record_folder(tmp_path, "wandering")).equals(calm)


@pytest.mark.usefixtures("warm_cache_copy")
def test_a_candidate_that_always_kills_its_worker_fails_alone(run: Run, tmp_path: Path, calm: Any) -> None:
    done = run(*faulty("Dying"))
    _assert_candidate_one_failed(done, tmp_path, calm, r"its worker process died 3 times \(killed, or out of memory")


def _assert_candidate_one_failed(done: Ended, folder: Path, calm: Any, reason: str) -> None:
    """Candidate 1 of `wandering` failed everywhere, is named, and the others are as `calm`."""
    assert done.code == 1, done.err
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
    expected, found = calm.to_pandas(), load_episodes(record_folder(folder, "wandering")).to_pandas()
    assert not found[found.candidate == 1].success.any()
    assert found[found.candidate != 1].equals(expected[expected.candidate != 1])
    assert recorded(folder) == {"wandering", *CONTROLS}


# Hangs


@pytest.mark.usefixtures("warm_cache_copy")
@pytest.mark.parametrize("workers", [2, pytest.param(1, marks=pytest.mark.heavy)])
def test_a_candidate_that_hangs_fails_alone(run: Run, tmp_path: Path, calm: Any, workers: int) -> None:
    done = run(*faulty("Hanging"), "--cell-timeout", "3", "--workers", workers)
    took = "it took longer than --cell-timeout 3 seconds and was ended"
    _assert_candidate_one_failed(done, tmp_path, calm, took)
    (tmp_path / "go").touch()
    again = run(*faulty("Hanging"))
    assert all("--overwrite failed tries it again" in line for line in failed_lines(again))
    mended = run(*faulty("Hanging"), "--overwrite", "failed", "--workers", "1")
    assert mended.code == 0, mended.err
    assert load_episodes(record_folder(tmp_path, "wandering")).equals(calm)


@pytest.mark.usefixtures("warm_cache_copy")
def test_a_hanging_generate_fails_its_task_and_a_hanging_fit_its_method(run: Run, tmp_path: Path) -> None:
    base = [*faulty("HangingGenerate", "HangingFit", "Mean"), "--cell-timeout", "3"]
    done = run(*base)
    assert done.code == 1, done.err
    took = "it took longer than --cell-timeout 3 seconds and was ended"
    generate, fit = "method 'strangers.faulty:HangingGenerate': generate", "method 'strangers.faulty:HangingFit': fit"
    assert failed_lines(done) == [
        f"hanging_generate, goal-030: {generate} for task 'goal-030': {took}",
        *(f"hanging_fit, {task}: {fit}: {took}" for task in ("goal-030", "goal-210")),
    ]
    assert recorded(tmp_path) == {"mean", *CONTROLS}
    told = json.loads((record_folder(tmp_path, "hanging_generate") / "failures.json").read_text())
    assert [failure["task"] for failure in told["failures"]] == ["goal-030"], "the other task is done, and kept"

    (tmp_path / "go").touch()
    again = run(*base)
    assert again.code == 1
    assert all("--overwrite failed tries it again" in line for line in failed_lines(again))
    mended = run(*base, "--overwrite", "failed")
    assert mended.code == 0, mended.err
    for method in ("hanging_generate", "hanging_fit"):
        validate_record(record_folder(tmp_path, method))
        assert not (record_folder(tmp_path, method) / "failures.json").exists()


# Candidates that raise or give no numbers


@pytest.mark.usefixtures("warm_cache_copy")
def test_candidates_that_raise_or_overflow_are_recorded(run: Run, tmp_path: Path, calm: Any) -> None:
    done = run(*faulty("Stumbling"), "--workers", "1")
    _assert_candidate_one_failed(done, tmp_path, calm, "`act` raised RuntimeError in step 3: stumbled")
    done = run(*faulty("Overflowing"), "--workers", "1")
    assert done.code == 1
    assert len(failed_lines(done)) == 2
    assert "candidate 1: the action of step 1 is not finite (7 of 7 episodes" in failed_lines(done)[0]


@pytest.mark.usefixtures("warm_cache_copy")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stranger_ends_nothing_but_its_own_cells(run: Run, cli: Cli, tmp_path: Path, workers: int) -> None:
    """A missing file is its own fault and not the disk's; sys.exit does not end us, and is no success."""
    methods = faulty("Missing", "Leaving", "Unreadable", "Mean")
    done = run(*methods, "--workers", workers, "--tasks", "goal-030")
    assert done.code == 1, done.err
    missing, leaving, unreadable = failed_lines(done)
    assert "fit raised FileNotFoundError" in missing
    assert "weights-that-are-not-there.pt" in missing
    assert "generate for task 'goal-030' raised SystemExit" in leaving
    assert "cannot be pickled and read again" in unreadable
    assert "not twice" in unreadable
    assert recorded(tmp_path) == {"mean", *CONTROLS}
    board = cli("leaderboard", "--no-figures")
    assert board.code == 0, board.err


@pytest.mark.usefixtures("warm_cache_copy")
def test_what_agents_say_is_one_line(run: Run) -> None:
    base = ["--tasks", "goal-030", "--workers", "1"]
    (line,) = failed_lines(run(*faulty("Wordy"), *base))
    assert "step 3: one FAILED two xxx" in line
    assert len(line) < 700
    (line,) = failed_lines(run(*faulty("LeavingLater"), *base))
    assert "`act` raised SystemExit in step 3: enough" in line


def test_the_children_of_a_dead_worker_hold_nothing_up(
    command: Callable[..., list[str]], folder: Path, warm_cache_copy: Path
) -> None:
    """Nor do they hold what was standard output: whoever reads it sees its end."""
    started = time.monotonic()
    options = ["--cache-dir", warm_cache_copy, "--tasks", "goal-030"]
    done = execute(command("--method", "stranger:Childish", *options), folder)
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
    done = execute([sys.executable, "script.py"], folder)
    assert done.returncode == 1
    assert "WorkerStartError: a worker process ended as it started (exit code 1)" in done.stderr
    assert "__main__" in done.stderr.splitlines()[-1]
    assert not list(tiny_cache_copy.glob("cells/*")), "no cell is blamed"


# What is computed again


def test_overwrite_says_what_is_computed(run: Run, tmp_path: Path, tiny_cache_copy: Path) -> None:
    def cells() -> dict[str, int]:
        return {path.parent.name: path.stat().st_mtime_ns for path in tiny_cache_copy.glob("cells/*/meta.json")}

    def fits() -> dict[str, int]:
        return {path.parent.name: path.stat().st_mtime_ns for path in tiny_cache_copy.glob("fits/*/meta.json")}

    base = [*faulty("Mean"), "--workers", "1"]
    nothing = run(*base, "--overwrite", "never")
    assert nothing.code == 1
    assert len(failed_lines(nothing)) == 10, "two tasks of the method and four controls"
    assert all("not computed: --overwrite never" in line for line in failed_lines(nothing))
    assert cells() == {}
    assert list(tmp_path.glob("results/*")) == []

    assert run(*base, "--tasks", "goal-030").code == 0
    assert run(*base).code == 0
    first, fitted = cells(), fits()
    assert len(first) == 10
    expected = outcome(tmp_path / "results")
    for keep in ("never", "missing", "failed"):
        assert run(*base, "--overwrite", keep).code == 0
        assert (cells(), fits()) == (first, fitted)
    for choice, to_do in (("missing", 0), ("always", 10)):
        plan = run(*base, "--overwrite", choice, "--dry-run", "--json")
        assert json.loads(plan.out)[0]["to_do"]["cells"] == to_do
    done = run(*base, "--overwrite", "always")
    assert done.code == 0, done.err
    assert set(cells()) == set(first)
    assert not set(cells().values()) & set(first.values()), "every cell was written anew"
    assert not set(fits().values()) & set(fitted.values()), "every fit was made anew"
    assert outcome(tmp_path / "results") == expected
    wrong = run(*base, "--overwrite", "allways")
    assert (wrong.code, len(wrong.err.splitlines())) == (2, 1)
    assert "always" in wrong.err


# Two runs, one cache


def test_two_runs_at_once_on_one_cache_corrupt_nothing(
    command: Callable[..., list[str]], folder: Path, undisturbed: Whole
) -> None:
    base = command("--method", "stranger:Mean", "--workers", "1", "--cache-dir", "cache")
    both = [
        subprocess.Popen([*base, "--quiet"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        _, stderr = process.communicate(timeout=200)
        assert process.returncode == 0, stderr
    assert outcome(folder / "results") == outcome(undisturbed.folder / "results")
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
        done = execute([*prefix, *command("--method", "random_seen", "--quiet", *args)], folder)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert str(locked) in done.stderr
        assert "Permission denied" in done.stderr
        assert which in done.stderr
        assert not list(locked.glob("*/record.json"))
    finally:
        for path in [locked, *(p for p in locked.rglob("*") if p.is_dir())]:
            path.chmod(0o755)
