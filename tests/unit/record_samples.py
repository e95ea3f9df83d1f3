"""Small made-up runs for the tests of records, tables and the leaderboard."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from maa_bench.episodes import EPISODE_SCHEMA
from maa_bench.record import (
    Cost,
    DatasetInfo,
    Environment,
    MethodInfo,
    ProtocolInfo,
    RunRecord,
    Seeds,
    SplitInfo,
    StageSeconds,
    SuiteInfo,
)
from maa_bench.results import metrics_of_episodes

TASKS = ("window-close", "door-lock")
CANDIDATES, LAYOUTS, SELECT_LAYOUTS = 4, 3, 2


def episode_rows(
    method: str = "make_an_agent",
    *,
    tasks: tuple[str, ...] = TASKS,
    seeds: tuple[int, ...] = (0, 1),
    candidates: int = CANDIDATES,
    success: float = 0.5,
) -> list[dict[str, Any]]:
    """Episodes in file order; outcomes are random with rate `success`, the same at every call."""
    rng = np.random.default_rng(len(method))
    return [
        {
            "method": method,
            "suite": "toy-v1",
            "split": "unseen",
            "task": task,
            "train_seed": seed,
            "candidate": candidate,
            "layout_set": layout_set,
            "layout": layout,
            "success": (ok := bool(rng.random() < success)),
            "first_success_step": 7 + layout if ok else -1,
        }
        for task in tasks
        for seed in seeds
        for candidate in range(candidates)
        for layout_set, layouts in (("select", SELECT_LAYOUTS), ("test", LAYOUTS))
        for layout in range(layouts)
        if layout_set == "test" or candidates > 1
    ]


def episode_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table of `EPISODE_SCHEMA`."""
    return pa.Table.from_pylist(rows, schema=EPISODE_SCHEMA)


def make_record(table: pa.Table, **changes: Any) -> RunRecord:
    """The record of `episode_rows`' table; `changes` replace top-level keys, or `a__b` keys one level
    down."""
    method = table.column("method")[0].as_py()
    parts: dict[str, Any] = {
        "run_id": "run-1",
        "created_with": "0.1.0",
        "method": MethodInfo(
            name="named_below",
            family="generator",
            summary="Makes agents.",
            trained_on="seen",
            uses="prompts",
            citation="arXiv 2407.10973",
            deterministic_candidates=False,
            source="maa-bench 0.1.0",
        ).model_copy(update={"name": method}),  # Unchecked: names that no record that is read can have are tried, too.
        "suite": SuiteInfo(name="toy-v1", simulator_versions={"toy": "1"}, layouts_sha256="a" * 64),
        "split": SplitInfo(
            name="unseen", train=("reach",), test=tuple(dict.fromkeys(table.column("task").to_pylist()))
        ),
        "dataset": DatasetInfo(content_sha256="0" * 64, id="toy-distill-1a2b", producer="distill", rows=40, runs=4),
        "protocol": ProtocolInfo(
            scale="small",
            shots=4,
            candidates=CANDIDATES,
            episodes=LAYOUTS,
            select_episodes=SELECT_LAYOUTS,
            horizon=50,
            success_rule="success at any step",
            prompt_source="expert",
        ),
        "seeds": Seeds(train=tuple(dict.fromkeys(table.column("train_seed").to_pylist())), base=0),
        "metrics": metrics_of_episodes(table),
        "environment": Environment(
            python="3.11.7",
            packages={"numpy": "1.26.4"},
            platform="Linux",
            cpu="a CPU",
            cores=2,
            gpu=None,
            threads=1,
            git=None,
            mujoco_gl=None,
        ),
        "cost": Cost(
            seconds=StageSeconds(dataset=1, fit=12.5, generate=0.25, evaluate=3),
            environment_steps=1000,
            peak_mb=300.5,
        ),
    }
    for name, value in changes.items():
        outer, _, inner = name.partition("__")
        parts[outer] = parts[outer].model_copy(update={inner: value}) if inner else value
    return RunRecord(**parts)


def sample(method: str = "make_an_agent", success: float = 0.5, **changes: Any) -> tuple[RunRecord, pa.Table]:
    """A record with its episodes."""
    rows = episode_rows(method, success=success)
    for row in rows:
        row |= {"suite": changes.get("suite__name", row["suite"]), "split": changes.get("split__name", row["split"])}
    table = episode_table(rows)
    return make_record(table, **changes), table
