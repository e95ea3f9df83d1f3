"""Building a checkpoint dataset: one job a task, each writing one Parquet shard; a build resumes by shard."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from maa_bench.dataset.producers import distill
from maa_bench.dataset.schema import FORMAT, arrow_schema
from maa_bench.dataset.verify import first_success_steps, no_behavior, record_behavior
from maa_bench.errors import DataError, SuiteError, did_you_mean
from maa_bench.execution import Finished, Job, Report
from maa_bench.files import digest, sha256_of, write_bytes, write_json
from maa_bench.software import software
from maa_bench.suite import Scale, Suite, load_suite


@dataclass(frozen=True)
class DatasetConfig:
    """How many checkpoints, from how many runs, checked how.

    Attributes:
        train_runs: training runs of each task that some split trains on.
        prompt_runs: further runs of every task, whose checkpoints only act out prompts.
        train_every: gradient steps between checkpoints of a train run.
        prompt_every: the same of a prompt run.
        episodes: verification episodes a checkpoint, on train layouts.
        distill: the producer's settings.
    """

    train_runs: int = 3
    prompt_runs: int = 1
    train_every: int = 60
    prompt_every: int = 50
    episodes: int = 3
    distill: distill.DistillConfig = field(default_factory=distill.DistillConfig)


CONFIGS: dict[Scale, DatasetConfig] = {
    "small": DatasetConfig(),
    # 10 runs of 151 checkpoints: the paper's 1,500 a task.
    "paper": DatasetConfig(train_runs=10, prompt_runs=2, train_every=10, prompt_every=10, episodes=5),
}


def dataset_config(suite: Suite, scale: Scale) -> DatasetConfig:
    """The sizes of a scale, with the suite's own changes (`[dataset.<scale>]` in its TOML).

    Raises:
        SuiteError: the suite names a setting that does not exist, or gives one a value that cannot be.
    """
    config = CONFIGS[scale]
    changes = dict(suite.dataset.get(scale, {}))
    own = {f.name for f in fields(DatasetConfig)} - {"distill"}
    producers = {f.name for f in fields(distill.DistillConfig)}
    for key in changes:
        if key not in own | producers:
            raise SuiteError(
                f"suite {suite.name}: unknown key 'dataset.{scale}.{key}'.{did_you_mean(key, own | producers)}"
            )
        _check_setting(changes[key], getattr(config if key in own else config.distill, key), key, scale, suite.name)
    return replace(
        config,
        **{key: value for key, value in changes.items() if key in own},
        distill=replace(config.distill, **{key: value for key, value in changes.items() if key in producers}),
    )


def _check_setting(value: Any, default: Any, key: str, scale: str, suite: str) -> None:
    if isinstance(default, tuple):
        good, wanted = isinstance(value, list) and all(type(v) in (int, float) for v in value), "a list of numbers"
    elif isinstance(default, float):
        good, wanted = type(value) in (int, float) and value > 0, "a number above 0"
    else:
        least = 0 if key == "tail" else 1
        good, wanted = type(value) is int and value >= least, f"a whole number of at least {least}"
    if not good:
        raise SuiteError(f"suite {suite}: 'dataset.{scale}.{key}' must be {wanted}, not {value!r}")


def dataset_identity(suite: Suite, config: DatasetConfig) -> dict[str, Any]:
    """Everything that decides the dataset's numbers; its hash is the dataset's id."""
    return {
        "format": FORMAT,
        "suite": suite.name,
        "layouts_sha256": suite.layouts_sha256,
        "tasks": [[name, task.env, dict(task.options)] for name, task in suite.tasks.items()],
        "software": software(),
        "trained": sorted(training_tasks(suite)),
        "horizon": suite.horizon,
        "spec_id": suite.policy.id,
        "versions": dict(suite.versions),
        "producer": ["distill", distill.VERSION],
        "config": asdict(config),
    }


def dataset_id(suite: Suite, config: DatasetConfig) -> str:
    """Content address of a dataset, e.g. `metaworld-v1-3f2a90c1d4`."""
    return f"{suite.name}-{digest(dataset_identity(suite, config))[:10]}"


def max_prompts(config: DatasetConfig) -> int:
    """Prompts that a task has if every checkpoint of its prompt runs succeeds somewhere."""
    steps = config.distill.updates - config.distill.first_checkpoint
    return config.prompt_runs * (steps // config.prompt_every + 1)


def training_tasks(suite: Suite) -> set[str]:
    """Tasks that some split trains on: only these get train runs."""
    return {task for split in suite.splits.values() for task in split.train}


@dataclass(frozen=True)
class ShardJob:
    """Build one task's shard; runs in a worker process, so it carries names instead of open simulators."""

    suite: str
    task: str
    config: DatasetConfig
    path: Path

    def __call__(self, report: Report) -> dict[str, Any]:
        """Write the shard; returns its manifest entry."""
        from maa_bench.simulators import simulator_of

        started = time.monotonic()
        suite = load_suite(self.suite)
        simulator = simulator_of(suite).open_task(suite.task(self.task))
        rows, env_steps = _shard_rows(suite, self.task, simulator, self.config)
        return _write_shard(suite, rows, env_steps, started, self.path)


def _shard_rows(suite: Suite, task: str, simulator: Any, config: DatasetConfig) -> tuple[list[dict[str, Any]], int]:
    from maa_bench.forward import PackedPolicy

    layouts = suite.layouts(task, "train")
    index = list(suite.tasks).index(task)
    observations, actions = distill.demonstrations(
        simulator, layouts, config.distill, np.random.default_rng([index, 1])
    )
    env_steps = len(observations)
    n_train = config.train_runs if task in training_tasks(suite) else 0
    # Prompt runs keep their seeds whether or not the task has train runs.
    roles = ["train"] * n_train + ["prompt"] * config.prompt_runs
    seeds = [*range(n_train), *range(1000, 1000 + config.prompt_runs)]
    every = [config.train_every if role == "train" else config.prompt_every for role in roles]
    snapshots = distill.clone(suite.policy, observations, actions, seeds, every, index, config.distill)
    rows: list[dict[str, Any]] = []
    nothing = no_behavior(suite.policy)
    # Coprime to the number of layouts, so that in time every layout comes first, which is the one that is shown.
    stride = next(s for s in itertools.count(config.episodes) if math.gcd(s, len(layouts)) == 1)
    versions = json.dumps({**dict(suite.versions), "maa-bench": version("maa-bench")}, sort_keys=True)
    for snapshot in snapshots:
        policy = PackedPolicy(suite.policy, snapshot.params)
        start = (len(rows) * stride) % len(layouts)
        chosen = [(start + i) % len(layouts) for i in range(config.episodes)]
        firsts, steps = first_success_steps(simulator, policy, layouts[chosen], suite.horizon)
        env_steps += steps
        behavior = nothing
        shown = next((i for i, first in zip(chosen, firsts, strict=True) if first > 0), None)
        if shown is not None:
            behavior = record_behavior(simulator, policy, layouts[shown], suite.horizon)
        role, run = roles[snapshot.run], f"{roles[snapshot.run]}-{snapshot.run:02d}"
        rows.append(
            {
                "row_id": f"{task}/{run}/{snapshot.step}",
                "suite": suite.name,
                "task": task,
                "role": role,
                "producer": "distill",
                "run": run,
                "seed": seeds[snapshot.run],
                "step": snapshot.step,
                "success": float(np.mean([first > 0 for first in firsts])),
                "episodes": len(firsts),
                "layouts": chosen,
                "first_success_steps": firsts,
                "spec_id": suite.policy.id,
                "params": snapshot.params,
                "behavior_layout": -1 if shown is None else shown,
                "observations": behavior.observations.ravel(),
                "actions": behavior.actions.ravel(),
                "outcome": behavior.outcome.ravel(),
                "versions": versions,
            }
        )
    if not any(row["success"] == 1.0 for row in rows):
        raise DataError(
            f"task {task!r} of {suite.name}: no checkpoint reached success 1 in {config.distill.updates} updates"
        )
    return rows, env_steps


def _write_shard(
    suite: Suite, rows: list[dict[str, Any]], env_steps: int, started: float, path: Path
) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows.sort(key=lambda row: (row["role"] != "train", row["run"], row["step"]))
    schema = arrow_schema(suite.policy)
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), sink, compression="zstd")
    write_bytes(path, sink.getvalue().to_pybytes())
    entry: dict[str, Any] = {"sha256": sha256_of(path), "rows": len(rows), "environment_steps": env_steps}
    entry["seconds"] = round(time.monotonic() - started, 3)
    write_json(path.with_suffix(".json"), entry)
    return entry


def build_dataset(
    suite_source: str,
    config: DatasetConfig,
    folder: Path,
    run_jobs: Callable[[list[Job], Finished], None],
    done: Callable[[int, int], None],
) -> None:
    """Build a dataset in `folder`; shards that are there already are kept.

    Args:
        suite_source: name of the suite, or path of its TOML file.
        config: sizes.
        folder: the dataset's folder; complete once it holds `manifest.json`.
        run_jobs: an executor (see `maa_bench.execution`).
        done: called with (shards done, shards in all).

    Raises:
        DataError: a task never reaches success 1.
    """
    suite = load_suite(suite_source)
    folder.mkdir(parents=True, exist_ok=True)
    entries: dict[str, dict[str, Any]] = {}
    jobs: list[ShardJob] = []
    for task in suite.tasks:
        path = folder / f"{task}.parquet"
        entry = _finished_shard(path)
        if entry is None:
            jobs.append(ShardJob(suite_source, task, config, path))
        else:
            entries[task] = entry
    done(len(entries), len(suite.tasks))

    def finished(index: int, entry: dict[str, Any]) -> Iterable[Job]:
        entries[jobs[index].task] = entry
        done(len(entries), len(suite.tasks))
        return ()

    run_jobs([*jobs], finished)
    manifest = {
        "id": dataset_id(suite, config),
        "identity": dataset_identity(suite, config),
        "shards": {task: {k: v for k, v in entries[task].items() if k != "seconds"} for task in suite.tasks},
    }
    write_json(folder / "manifest.json", manifest)


def build_seconds(folder: Path, tasks: Iterable[str]) -> float:
    """Seconds of work that a dataset's shards took, summed over workers."""
    entries = [_finished_shard(folder / f"{task}.parquet") for task in tasks]
    return round(sum(entry.get("seconds", 0.0) for entry in entries if entry), 3)


def _finished_shard(path: Path) -> dict[str, Any] | None:
    try:
        entry: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
        return entry if entry["sha256"] == sha256_of(path) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
