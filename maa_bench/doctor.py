"""What works on this machine, and how to mend what does not: the checks behind `maa-bench doctor`.

Each check stands alone: whatever goes wrong in one is its result, and the others still run.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from maa_bench import __version__, gl
from maa_bench.errors import MaaBenchError
from maa_bench.simulators.catalogue import optional_simulators

Status = Literal["ok", "warning", "FAILED"]
OK: Status = "ok"
WARNING: Status = "warning"
FAILED: Status = "FAILED"

SPEED = ", speed"
"""Ends the name of the check of a suite's speed, which is left out where the suite's own has failed."""


@dataclass(frozen=True)
class Check:
    """One line of the doctor.

    Attributes:
        name: what was looked at.
        status: `ok`, `warning` (something is slower or missing that not everybody needs) or `FAILED`.
        detail: what was found.
        fix: what to do; empty where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    fix: str = ""


def checks(
    suites: Sequence[str] | None = None, cache_dir: Path | None = None, results_dir: Path = Path("results")
) -> Iterator[Check]:
    """All checks, each yielded as soon as it is done.

    Args:
        suites: suites to try, names or paths; default: all that come with the package, but for those whose simulator
            is optional and not installed.
        cache_dir, results_dir: folders to try; defaults: those of `maa-bench run`.
    """
    jobs: list[tuple[str, Callable[[], Check]]] = [
        ("python", _python),
        ("packages", _packages),
        ("cpu", _cpu),
        ("gpu", _gpu),
    ]
    for name in suites if suites is not None else _suites():
        jobs.append((f"suite {name}", lambda name=name: _suite_steps(name)))  # type: ignore[misc]
        jobs.append((f"suite {name}{SPEED}", lambda name=name: _suite_speed(name)))  # type: ignore[misc]
    jobs += [
        ("off-screen GL", _gl),
        ("cache", lambda: _cache(cache_dir)),
        ("compiled code", _compiled),
        ("results", lambda: _results(results_dir)),
        *((name, lambda name=name: _extra(name)) for name in (*optional_simulators(), "ray")),
    ]
    failed: set[str] = set()
    for name, job in jobs:
        if name.removesuffix(SPEED) in failed:
            continue  # it would say the same again
        try:
            check = job()
        except MaaBenchError as error:
            check = Check(name, FAILED, _one_line(error), "see the line above")
        except Exception as error:
            check = Check(name, FAILED, f"{type(error).__name__}: {_one_line(error)}", "maa-bench --debug doctor")
        if check.status == FAILED:
            failed.add(name)
        yield check


def _suites() -> list[str]:
    """Suites of the package whose simulator is a part of every installation, or is there."""
    from maa_bench.software import software
    from maa_bench.suite import list_suites, load_suite

    optional = optional_simulators()
    absent = set(optional) - set(software(optional))  # not by import: a folder of that name would do for one
    return [name for name in list_suites() if load_suite(name).simulator not in absent]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _python() -> Check:
    return Check("python", OK, f"{platform.python_version()} ({sys.executable})")


def _packages() -> Check:
    """Every package that maa-bench requires, in a version that it accepts."""
    from packaging.requirements import Requirement

    found, broken, fixes = [f"maa-bench {__version__}"], [], []
    for line in metadata.requires("maa-bench") or ():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            broken.append(f"{requirement.name} is missing")
        else:
            found.append(f"{requirement.name} {version}")
            if requirement.specifier.contains(version, prereleases=True):
                continue
            broken.append(f"{requirement.name} {version} is not {requirement.specifier}")
        fixes.append(f"'{requirement.name}{requirement.specifier}'")
    if broken:
        return Check("packages", FAILED, "; ".join(broken), "pip install " + " ".join(fixes))
    return Check("packages", OK, ", ".join(found))


def _cpu() -> Check:
    from maa_bench.environment import environment_info

    environment = environment_info()
    return Check("cpu", OK, f"{environment.cpu}, {environment.cores} cores, {environment.platform}")


def _gpu() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("gpu", OK, f"{torch.cuda.get_device_name()} (use it with --device cuda)")
    return Check("gpu", OK, "none; the small scale does not need one")


def _suite_steps(name: str) -> Check:
    """One reset and one step of the scripted expert, in the suite's first task, whose sizes must be the policies'."""
    from maa_bench.simulators import opened_task
    from maa_bench.suite import load_suite

    started = time.monotonic()
    suite = load_suite(name)
    task = next(iter(suite.tasks.values()))
    simulator = opened_task(suite, task.name)
    expert = simulator.expert()
    expert.reset()
    simulator.step(expert.act(simulator.reset(suite.layouts(task.name, "test")[0])))
    return Check(f"suite {name}", OK, f"{task.name}: reset and one step, in {time.monotonic() - started:.1f} s")


def _suite_speed(name: str) -> Check:
    """Which tasks of a suite run in the compiled loop; both ways give the same episodes."""
    from maa_bench.simulators import simulator_of
    from maa_bench.suite import load_suite

    suite = load_suite(name)
    has_fast_path = getattr(simulator_of(suite), "has_fast_path", None)
    title = f"suite {name}{SPEED}"
    if has_fast_path is None:
        return Check(title, OK, "one loop for all tasks")
    stock = [task.name for task in suite.tasks.values() if not has_fast_path(task)]
    fast = len(suite.tasks) - len(stock)
    detail = f"compiled loop for {fast} of {len(suite.tasks)} tasks"
    if stock:
        fix = "none needed: the results are the same, but those tasks run several times slower"
        return Check(title, WARNING, f"{detail}; stock loop for {', '.join(stock)}", fix)
    return Check(title, OK, detail)


def _gl() -> Check:
    """Whether MuJoCo can draw without a screen. The benchmark itself draws nothing: videos and images do."""
    chosen = os.environ.get("MUJOCO_GL", "")
    works = [backend for backend in dict.fromkeys([chosen, *gl.PACKAGES]) if gl.works(backend)]
    shown = f"MUJOCO_GL={chosen}" if chosen else "MUJOCO_GL is not set"
    if chosen in works:
        return Check("off-screen GL", OK, f"{shown}: a context can be made")
    if works and not chosen:
        return Check("off-screen GL", OK, f"{works[0]}, found by itself")
    if works:
        detail = f"{shown} does not work, but {works[0]} does (only drawing needs it)"
        return Check("off-screen GL", WARNING, detail, f"export MUJOCO_GL={works[0]}, or unset it")
    return Check("off-screen GL", WARNING, f"{shown}: no context can be made (only drawing needs it)", gl.how_to_mend())


def _cache(folder: Path | None) -> Check:
    from maa_bench.cache import Cache, default_cache_dir

    folder = folder or default_cache_dir()
    problem = _not_writable(folder)
    if problem:
        return Check("cache", FAILED, f"{folder}: {problem}", "choose another folder with --cache-dir")
    if not folder.exists():
        return Check("cache", OK, f"{folder}: not there yet, can be made")
    Cache(folder)  # says so if another version wrote it
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Check("cache", OK, f"{folder}: writable, {size / 1e6:.1f} MB")


def _compiled() -> Check:
    from maa_bench.compiled import cache_folder

    folder = cache_folder()
    if folder is None:
        detail = "nowhere to keep it: every process compiles for half a minute before its first episode"
        return Check("compiled code", WARNING, detail, "export NUMBA_CACHE_DIR=<a folder that you may write to>")
    return Check("compiled code", OK, folder)


def _results(folder: Path) -> Check:
    problem = _not_writable(folder)
    if problem:
        return Check("results", FAILED, f"{folder}: {problem}", "choose another folder with --results-dir")
    count = len(list(folder.glob("*/*/record.json")))
    return Check("results", OK, f"{folder}: writable, {count} records" if folder.exists() else f"{folder}: can be made")


def _not_writable(folder: Path) -> str:
    """Why nothing can be written into a folder, or into the nearest one above it that exists; "" if it can."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        return f"cannot write to {folder}: {error.strerror}"
    return ""


def _extra(package: str) -> Check:
    try:
        return Check(package, OK, f"{metadata.version(package)} (optional)")
    except metadata.PackageNotFoundError:
        return Check(package, OK, "not installed (optional)", f"pip install 'maa-bench[{package}]'")
