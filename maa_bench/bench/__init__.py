"""How fast evaluation is: the same episodes run in every way there is, beside the physics alone, which is the limit.

The ways take turns, round after round, because a machine's speed drifts. A rate is the median of the rounds' rates, a
ratio the median of the ratios of rates measured in one and the same round. Steps that no episode asked for are not
counted, and ways whose actions have the same bits must find the same first successes, or nothing is reported.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from maa_bench.errors import ProtocolError

if TYPE_CHECKING:  # the command line's help needs the settings alone
    from maa_bench.bench.ways import Lap, Work
    from maa_bench.execution.local import LocalExecutor
    from maa_bench.method import FlatPolicies
    from maa_bench.policy import PolicySpec
    from maa_bench.progress import Progress, Stage
    from maa_bench.simulators import Resets
    from maa_bench.suite import Suite

RULE = "a rate is the median of the rounds, a ratio the median of the ratios within a round"

ALONE_SECONDS = 0.3
"""How long a worker runs nothing but physics, in each round."""

SCALES = (1.0, 3.0)
"""Of the initial parameters, in turn: policies that move gently, and policies that push with all their force."""

PARTS = ("physics", "forward", "rest of the loop", "reset", "job", "executor")
"""Where the time of `ours_1` goes. The rest of the loop: control, observation, success."""


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes:
        policies: with random parameters of several scales.
        layouts: the first test layouts of each task, one episode a policy.
        rounds: how often every way runs all episodes.
        laps: how often the fast ways do so in a round, to be timed for about as long as the slow ones.
        workers: of the ways with several processes.
        sweep: policies and layouts of one longer evaluation on the first task, or None.

    Raises:
        ProtocolError: a number below 1, or below 2 workers.
    """

    policies: int = 4
    layouts: int = 1
    rounds: int = 3
    laps: int = 3
    workers: int = 2
    sweep: tuple[int, int] | None = (100, 5)

    def __post_init__(self) -> None:
        for name, least in (("policies", 1), ("layouts", 1), ("rounds", 1), ("laps", 1), ("workers", 2)):
            if getattr(self, name) < least:
                raise ProtocolError(f"--{name} must be at least {least}, not {getattr(self, name)}")

    @property
    def ours_n(self) -> str:
        """Name of our way with all workers."""
        return f"ours_{self.workers}"

    @property
    def physics_n(self) -> str:
        """Name of the physics alone in all workers at once."""
        return f"physics_{self.workers}"


@dataclass(frozen=True)
class TaskResult:
    """What was measured on one task.

    Attributes:
        task, episodes, steps: the work, once.
        rates: steps a second of every way, one number a round; ways that the suite has not are missing.
        differing: episodes of ways with another arithmetic whose first success was another.
        resets: of one layout, or None where the simulator has no physics to compare with.
        parts: microseconds a step by `PARTS`, or None where no whole episodes run in a compiled loop.
        no_limit: why no physics could be timed alone; "" where it was.
    """

    task: str
    episodes: int
    steps: int
    rates: dict[str, list[float]]
    differing: dict[str, int]
    resets: Resets | None
    parts: dict[str, float] | None
    no_limit: str = ""

    def ratio(self, way: str, other: str) -> float | None:
        """Median over the rounds of way's rate by other's; None if one of them was not run."""
        if way not in self.rates or other not in self.rates:
            return None
        return median(x / y for x, y in zip(self.rates[way], self.rates[other], strict=True))


@dataclass(frozen=True)
class Sweep:
    """One longer evaluation: seconds with 1 worker and with all of them, reset of new layouts included."""

    task: str
    policies: int
    layouts: int
    steps: int
    seconds_1: float
    seconds_n: float


@dataclass(frozen=True)
class Report:
    """Everything that one run of the benchmark found; `startup` is in seconds: worker processes, from nothing to
    their first results, less what those results take again."""

    suite: str
    settings: Settings
    machine: dict[str, Any]
    tasks: tuple[TaskResult, ...]
    sweep: Sweep | None
    startup: float
    seconds: float

    def ratios(self, result: TaskResult) -> dict[str, float | None]:
        """The ratios of one task by name."""
        ours_n = self.settings.ours_n
        return {
            "physics_ratio": result.ratio("ours_1", "physics"),
            "stock_ratio": result.ratio("ours_1", "stock_numpy"),
            "naive_ratio": result.ratio(ours_n, "naive"),
            f"scaling_{self.settings.workers}": result.ratio(ours_n, "ours_1"),
            f"physics_scaling_{self.settings.workers}": result.ratio(self.settings.physics_n, "physics_alone"),
        }

    def medians(self) -> dict[str, float | None]:
        """The ratios, medians of the tasks; None where no task has one."""
        rows = [self.ratios(result) for result in self.tasks]
        return {name: middle([row[name] for row in rows]) for name in rows[0]}

    def to_json(self) -> dict[str, Any]:
        """JSON: a row a task in `tasks`, the medians beside it. Rates in steps/s, times in the unit of their name."""
        settings = {name: getattr(self.settings, name) for name in ("policies", "layouts", "rounds", "laps", "workers")}
        return {
            "suite": self.suite,
            "settings": settings,
            "rule": RULE,
            "machine": self.machine,
            "tasks": [self._row(result) for result in self.tasks],
            **_rounded(self.medians()),
            "sweep": None if self.sweep is None else vars(self.sweep),
            "startup_seconds": round(self.startup, 2),
            "seconds": round(self.seconds, 1),
        }

    def _row(self, result: TaskResult) -> dict[str, Any]:
        resets = None
        if result.resets is not None:
            resets = {name: round(1e6 * seconds, 1) for name, seconds in vars(result.resets).items()}
        return {
            "task": result.task,
            "episodes": result.episodes,
            "steps": result.steps,
            "steps_per_second": {way: round(median(rates)) for way, rates in result.rates.items()},
            **_rounded(self.ratios(result)),
            "differing_episodes": result.differing,
            "reset_us": resets,
            "parts_us": None if result.parts is None else _rounded(dict(result.parts)),
            "no_limit": result.no_limit or None,
        }


def middle(values: Sequence[float | None]) -> float | None:
    """The median of those that are there; None if none is."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value is None else round(value, 3) for name, value in values.items()}


def mixture(spec: PolicySpec, n: int) -> FlatPolicies:
    """n policies with random parameters, of `SCALES` in turn; policy i is the same for every n."""
    import numpy as np

    from maa_bench.method import FlatPolicies
    from maa_bench.policy import initial_params

    params = [
        np.float32(SCALES[i % len(SCALES)]) * initial_params(spec, np.random.default_rng([44, i])) for i in range(n)
    ]
    return FlatPolicies(spec, np.stack(params))


def measure(suite: Suite, tasks: Sequence[str], settings: Settings, progress: Progress) -> Report:
    """Measure every way on some tasks of a suite, one thread of linear algebra a process.

    Raises:
        SuiteError: an unknown task. ProtocolError: more layouts than the suite has.
    """
    from maa_bench.bench import ways
    from maa_bench.environment import environment_info
    from maa_bench.execution.local import LocalExecutor
    from maa_bench.execution.threads import JOB_THREADS, threads

    available = suite.layout_counts[ways.LAYOUT_SET]
    if max(settings.layouts, settings.sweep[1] if settings.sweep else 0) > available:
        raise ProtocolError(f"suite {suite.name} has {available} test layouts a task: --layouts must not be more")
    for task in tasks:
        suite.task(task)
    started = time.perf_counter()
    machine = {
        **environment_info(threads=JOB_THREADS).model_dump(mode="json"),
        "load_before": round(os.getloadavg()[0], 2),
    }
    units = len(tasks) * settings.rounds + (1 if settings.sweep else 0)
    with (
        threads(JOB_THREADS),
        LocalExecutor(1) as one,
        LocalExecutor(settings.workers) as many,
        progress.stage("bench", units, "rounds") as stage,
    ):
        policies = mixture(suite.policy, settings.policies)
        work = [ways.Work(suite, task, policies, settings.layouts) for task in tasks]
        startup = _startup(work[0], many, settings.workers)
        results = tuple(_measure_task(each, settings, one, many, stage) for each in work)
        sweep = _sweep(suite, tasks[0], settings.sweep, one, many) if settings.sweep else None
        stage.update(units, units)
    return Report(suite.name, settings, machine, results, sweep, startup, time.perf_counter() - started)


def _startup(work: Work, many: LocalExecutor, workers: int) -> float:
    from maa_bench.bench.ways import Ours

    way = Ours(work, many, workers)
    first = way.run()
    return first.seconds - way.run().seconds


def _sweep(suite: Suite, task: str, size: tuple[int, int], one: LocalExecutor, many: LocalExecutor) -> Sweep:
    from maa_bench.bench.ways import Ours, Work

    work = Work(suite, task, mixture(suite.policy, size[0]), size[1])
    lap_1, lap_n = (Ours(work, executor, 1).run() for executor in (one, many))
    _same("ours with all workers", lap_n, lap_1)
    return Sweep(task, *size, lap_1.steps, round(lap_1.seconds, 2), round(lap_n.seconds, 2))


def _measure_task(work: Work, settings: Settings, one: LocalExecutor, many: LocalExecutor, stage: Stage) -> TaskResult:
    """All rounds of one task."""
    from maa_bench.bench import limit as limits
    from maa_bench.bench import ways

    limit = limits.limit_of(work)
    ours = ways.Ours(work, one, 1)
    reference = ours.run()  # untimed: it opens the task
    if limit is not None:
        _same("the stock loop", limit.recorded, reference)
    horizon = work.suite.horizon
    lengths = [int(first) if first > 0 else horizon for first in reference.first_success.ravel()]
    with ExitStack() as open_ways:
        in_turn: dict[str, Any] = {"naive": ways.Naive(work)} if ways.part_of(work.suite, "naive") else {}
        in_turn["stock_numpy"] = ways.StockNumpy(work)
        for kind in ("sync", "async"):
            in_turn[f"{kind}_vector"] = ways.Vector(work, kind, settings.workers, lengths)
        for way in in_turn.values():
            open_ways.callback(way.close)
        ways.Ours(work, many, settings.workers).run()  # untimed: the workers open the task
        all_workers = ways.Ours(work, many, 2 * settings.laps * settings.workers)
        if limit is not None:
            for executor in (one, many):  # untimed: the workers record the episodes
                limits.physics_at_once(work, executor, ALONE_SECONDS / 10)
        rates: dict[str, list[float]] = {}
        differing: dict[str, int] = {}

        def note(name: str, laps: Sequence[Lap]) -> None:
            rate = sum(lap.steps for lap in laps) / sum(lap.seconds for lap in laps)
            rates.setdefault(name, []).append(rate)

        for _ in range(settings.rounds):
            for name, way in in_turn.items():
                lap = way.run()
                note(name, [lap])
                if name in ("naive", "stock_numpy"):
                    differing[name] = int((lap.first_success != reference.first_success).sum())
                else:
                    _same(name, lap, reference)
            # The limit and what is held against it change places every fraction of a second.
            physics, mine = [], []
            for _ in range(settings.laps):
                if limit is not None:
                    physics.append(limit.run())
                mine.append(ours.run())
                _same("ours with 1 worker", mine[-1], reference)
            note("ours_1", mine)
            if limit is not None:
                note("physics", physics)
                if limit.compiled:
                    limit.time_parts(one)
                for name, executor in (("physics_alone", one), (settings.physics_n, many)):
                    rates.setdefault(name, []).append(limits.physics_at_once(work, executor, ALONE_SECONDS))
            lap = all_workers.run()
            note(settings.ours_n, [lap])
            _same("ours with all workers", lap, reference)
            stage.advance()
    return TaskResult(
        task=work.task,
        episodes=len(work.episodes),
        steps=sum(lengths),
        rates=rates,
        differing=differing,
        resets=limit.resets() if limit is not None else None,
        parts=limit.parts() if limit is not None and limit.compiled else None,
        no_limit=limits.no_limit(work),
    )


class DifferentWorkError(Exception):
    """A way did not run the episodes that the others ran, so its time says nothing."""


def _same(name: str, lap: Lap, reference: Lap) -> None:
    """Every lap inside `lap` has the first successes of the reference.

    Raises:
        DifferentWorkError: one has not.
    """
    expected = reference.first_success
    if (lap.first_success.reshape(-1, *expected.shape) != expected).any():
        raise DifferentWorkError(f"{name} found other first successes: {lap.first_success.tolist()}")
