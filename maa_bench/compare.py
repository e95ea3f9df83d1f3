"""Two methods or more, compared: which of their records may be, and what comes of it.

Only records of one group are compared: same suite and layouts, split, dataset and protocol with all settings
(`maa_bench.report.tables.group_key`). The statistics are in `maa_bench.stats`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from maa_bench.episodes import outcomes_of_episodes
from maa_bench.errors import OptionError, RecordError, did_you_mean
from maa_bench.metrics import METRICS, Float64
from maa_bench.record import RunRecord
from maa_bench.report.tables import SELECTING, group_key, method_labels
from maa_bench.results import RECORD, load_episodes, load_record, validate_record
from maa_bench.stats import LEVEL, runs
from maa_bench.stats.joint import Difference, difference
from maa_bench.stats.multiple import holm
from maa_bench.stats.resampling import Resampled, generator, mean_of_tasks, resample

SHOWN = 8
"""Groups that a message lists at most."""
ASKED = ("suite", "split.name", "protocol.name", "protocol.condition")
"""Settings of a group that have an option of their own."""


@dataclass(frozen=True)
class Run:
    """A record and where it lies."""

    folder: Path
    record: RunRecord


@dataclass(frozen=True)
class TaskResult:
    """One task: the metric of both methods, their difference, and its p-value among those of all tasks."""

    a: float
    b: float
    difference: Difference
    p_holm: float


@dataclass(frozen=True)
class Pair:
    """Two methods compared.

    Attributes:
        a, b: names. overall: A - B in the mean over tasks. p_holm: its p-value among those of all pairs.
        improvement: P(a training run of A scores above one of B), mean over tasks, ties one half.
        improvement_ci: its 95 % interval over runs, None where a method has one run.
        tasks: by task. verdict: all of it in a sentence or two.
    """

    a: str
    b: str
    overall: Difference
    p_holm: float
    improvement: float
    improvement_ci: tuple[float, float] | None
    tasks: dict[str, TaskResult]
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """What was compared, and every pair of it, in the order asked for."""

    metric: str
    runs: dict[str, Run]
    pairs: tuple[Pair, ...]


def find_runs(names: Sequence[str], results_dir: Path, wanted: Mapping[str, str | None] | None = None) -> list[Run]:
    """The one comparable record of each name.

    Args:
        names: method names, run ids or run folders; two or more.
        results_dir: where methods and runs are looked up.
        wanted: what records must have of `suite`, `split`, `protocol` and `condition`; None: anything.

    Raises:
        OptionError: fewer than two names, or one twice.
        RecordError: no such record, none that compare, or several: then the message says what tells them apart.
    """
    if len(names) < 2:
        raise OptionError("compare needs two methods or runs, or more")
    found = {name: _wanted(name, _runs_named(name, results_dir), wanted or {}) for name in names}
    if len(found) < len(names):
        raise OptionError(f"{next(n for n in names if names.count(n) > 1)!r} is named twice")
    groups: dict[str, dict[str, list[Run]]] = {}
    for name, candidates in found.items():
        for run in candidates:
            groups.setdefault(group_key(run.record), {}).setdefault(name, []).append(run)
    whole = {key: by_name for key, by_name in groups.items() if len(by_name) == len(names)}
    if not whole:
        raise RecordError(_why_none(found))
    if len(whole) > 1:
        raise RecordError(
            f"{len(whole)} groups hold records of {_and(names)}; say which by --suite, --split, --protocol, "
            f"--condition, or name runs: {_told_apart(list(whole))}"
        )
    (by_name,) = whole.values()
    for name, candidates in by_name.items():
        if len(candidates) > 1:
            ids = ", ".join(sorted(run.record.run_id for run in candidates))
            raise RecordError(f"{name!r} has {len(candidates)} comparable runs; name one of them: {ids}")
    chosen = [by_name[name][0] for name in names]
    for a, b in combinations(range(len(names)), 2):
        if chosen[a].folder.resolve() == chosen[b].folder.resolve():
            raise OptionError(f"{names[a]!r} and {names[b]!r} are the same run, {chosen[a].record.run_id}")
    return chosen


def compare_runs(chosen: Sequence[Run], metric: str = "mean") -> Comparison:
    """Every pair of the records, in the order given.

    Args:
        chosen: as `find_runs` gives them. metric: a name in `METRICS`.

    Raises:
        OptionError: no such metric, or one that selects among other numbers of candidates.
        RecordError: records that do not compare, episodes that are not whole, or a record whose numbers do not follow
            from its episodes.
    """
    if metric not in METRICS:
        raise OptionError(f"--metric knows no {metric!r}.{did_you_mean(metric, METRICS)}")
    records = [run.record for run in chosen]
    for record in records:
        if group_key(record) != group_key(records[0]):
            raise RecordError(
                _why_none({run.record.run_id: [run] for run in (chosen[0], chosen[records.index(record)])})
            )
    by_name = dict(zip(method_labels(records), chosen, strict=True))
    numbers = {name: run.record.candidates_evaluated for name, run in by_name.items()}
    if metric in SELECTING and len(set(numbers.values())) > 1:
        said = ", ".join(f"{name} {number}" for name, number in numbers.items())
        raise OptionError(f"--metric {metric} grows with the number of candidates ({said}); compare mean")
    for run in chosen:
        validate_record(run.folder)
    grids = {name: outcomes_of_episodes(load_episodes(run.folder)) for name, run in by_name.items()}
    drawn, in_order = resample(grids, metrics=(metric,)), records[0].split.test
    tasks = {name: {task: drawn[name][task][metric] for task in in_order} for name in by_name}
    overall = {name: mean_of_tasks(parts) for name, parts in tasks.items()}
    names = list(combinations(by_name, 2))
    differences = [difference(overall[a], overall[b]) for a, b in names]
    adjusted = holm([d.p for d in differences])
    pairs = [_pair(a, b, d, p, tasks, len(names)) for (a, b), d, p in zip(names, differences, adjusted, strict=True)]
    return Comparison(metric, by_name, tuple(pairs))


def verdict(a: str, b: str, overall: Difference, p_holm: float, pairs: int, seeds: int) -> str:
    """What a difference shows, in words.

    Args:
        a, b: names. overall: A - B. p_holm: its p-value among those of all pairs. pairs: how many there are.
        seeds: training seeds of the method that has fewer.
    """
    numbers = f"{format_share(abs(overall.value))} "
    ends = (overall.lo, overall.hi) if overall.value >= 0 else (-overall.hi, -overall.lo)
    numbers += f"[{format_share(ends[0])}, {format_share(ends[1])}], {format_p(p_holm)}"
    if pairs > 1:
        numbers += f" among {pairs} pairs"
    better, worse = (a, b) if overall.value >= 0 else (b, a)
    if p_holm < 1 - LEVEL:
        said = f"{better} is better than {worse} by {numbers}."
    else:
        said = f"No difference shown: {better} - {worse} = {numbers}."
    if seeds == 1:
        said += " With one training seed this says nothing of another fit."
    return said


def format_share(x: float) -> str:
    """`.12`, `-.05`, `1.00`; never `-.00`."""
    text = f"{abs(x):.2f}".removeprefix("0")
    return f"-{text}" if x < 0 and text != ".00" else text


def format_p(p: float) -> str:
    """`p = .032`, `p < .001`."""
    return "p < .001" if p < 0.0005 else f"p = {f'{p:.3f}'.removeprefix('0')}"


def _pair(
    a: str, b: str, overall: Difference, p_holm: float, tasks: Mapping[str, dict[str, Resampled]], pairs: int
) -> Pair:
    by_task = {task: difference(tasks[a][task], tasks[b][task]) for task in tasks[a]}
    adjusted = holm([d.p for d in by_task.values()])
    scores = [np.stack([part.by_seed for part in tasks[name].values()], axis=1) for name in (a, b)]
    improvement, ci = _improvement(a, b, *scores)
    return Pair(
        a=a,
        b=b,
        overall=overall,
        p_holm=p_holm,
        improvement=improvement,
        improvement_ci=ci,
        tasks={
            task: TaskResult(tasks[a][task].value, tasks[b][task].value, d, p)
            for (task, d), p in zip(by_task.items(), adjusted, strict=True)
        },
        verdict=verdict(a, b, overall, p_holm, pairs, min(map(len, scores))),
    )


def _improvement(a: str, b: str, x: Float64, y: Float64) -> tuple[float, tuple[float, float] | None]:
    """P(X > Y) of scores (n_runs, n_tasks), with its interval if both methods have several runs."""
    if min(len(x), len(y)) < 2:
        return float(runs.probability_of_improvement(x, y)), None
    estimate = runs.interval(generator("improvement", a, b), runs.probability_of_improvement, x, y, whole_runs=True)
    return estimate.value, (estimate.lo, estimate.hi)


def _runs_named(name: str, results_dir: Path) -> list[Run]:
    """All records that a name may mean.

    Raises:
        RecordError: none, or a broken one.
    """
    if (Path(name) / RECORD).is_file():
        return [Run(Path(name), load_record(name))]
    if Path(name).name != name:
        raise RecordError(f"{name}: no run folder, there is no {RECORD} in it")
    if not results_dir.is_dir():
        raise RecordError(f"{results_dir}: no such folder of results")
    methods = sorted(path for path in results_dir.iterdir() if path.is_dir() and not path.name.startswith("."))
    by_method = {path.name: sorted(run.parent for run in path.glob(f"*/{RECORD}")) for path in methods}
    folders = by_method.get(name) or [run for found in by_method.values() for run in found if run.name == name]
    if not folders:
        raise RecordError(f"{results_dir}: no method or run {name!r}.{did_you_mean(name, by_method)}")
    return [Run(folder, load_record(folder)) for folder in folders]


def _wanted(name: str, found: list[Run], wanted: Mapping[str, str | None]) -> list[Run]:
    """Those that have what is wanted.

    Raises:
        RecordError: none has.
    """
    asked = {key: value for key, value in wanted.items() if value is not None}
    left = [run for run in found if all(_label(run.record, key) == value for key, value in asked.items())]
    if not left:
        options = ", ".join(f"--{key} {value}" for key, value in asked.items())
        known = sorted({", ".join(str(_label(run.record, key)) for key in asked) for run in found})
        raise RecordError(f"{name}: none of its {len(found)} records has {options}; they have: {'; '.join(known)}")
    return left


def _label(record: RunRecord, key: str) -> str | None:
    """What `--suite`, `--split`, `--protocol` and `--condition` ask for."""
    if key == "suite":
        return record.suite.name
    if key == "split":
        return record.split.name
    return record.protocol.name if key == "protocol" else record.protocol.condition


def _settings(key: str) -> dict[str, str]:
    """A group's key as flat settings."""
    flat: dict[str, str] = {}
    for name, value in json.loads(key).items():
        parts = {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
        flat |= {k: v if isinstance(v, str) else json.dumps(v) for k, v in parts.items()}
    return flat


def _differing(keys: Sequence[str]) -> list[str]:
    """Settings that are not the same in all groups; of what follows from another, only the other."""
    flats = [_settings(key) for key in keys]
    names = [name for name in flats[0] if len({flat.get(name) for flat in flats}) > 1]
    implied = {"split.name": ("split.train", "split.test"), "suite": ("layouts_sha256", "dataset")}
    hidden = {less for more, lesser in implied.items() if more in names for less in lesser}
    return [name for name in names if name not in hidden]


def _spoken(setting: str) -> str:
    """`split.name` is the split, `protocol.name` the protocol."""
    return setting.removesuffix(".name")


def _told_apart(keys: Sequence[str]) -> str:
    """The groups, each by what the others have not: by what has an option, if that is enough."""
    names = _differing(keys)
    asked = [name for name in names if name in ASKED]
    if len({tuple(_settings(key)[name] for name in asked) for key in keys}) == len(keys):
        names = asked
    said = [", ".join(f"{_spoken(name)} {_settings(key)[name]}" for name in names) for key in keys]
    said.sort(key=lambda text: ("condition base" not in text, text))
    more = f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return "; ".join(said[:SHOWN]) + more


def _why_none(found: Mapping[str, Sequence[Run]]) -> str:
    """What keeps records apart: of the two nearest of the first names that share no group."""
    for (a, runs_a), (b, runs_b) in combinations(found.items(), 2):
        keys_a, keys_b = ({group_key(run.record) for run in part} for part in (runs_a, runs_b))
        if keys_a & keys_b:
            continue
        nearest = min(([x, y] for x in sorted(keys_a) for y in sorted(keys_b)), key=lambda pair: len(_differing(pair)))
        first, second = map(_settings, nearest)
        why = "; ".join(f"{_spoken(name)} {first[name]} and {second[name]}" for name in _differing(nearest))
        return f"records of {a} and {b} do not compare, the nearest differ in {why}"
    return f"no group holds records of all of {_and(list(found))}"


def _and(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1]
