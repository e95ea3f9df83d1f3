"""A true record on the toy suite, as a stranger would submit it: candidates that were really rolled out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from record_samples import episode_table, make_record

from maa_bench.conditions import Conditions
from maa_bench.evaluator import EpisodeJob, layout_names
from maa_bench.method import FlatPolicies
from maa_bench.policy import initial_params
from maa_bench.record import MethodInfo, ProtocolInfo, RunRecord, SplitInfo, SuiteInfo
from maa_bench.results import RECORD, metrics_of_episodes, write_record
from maa_bench.suite import load_suite

SUITE, SPLIT, SEEDS, CANDIDATES = "toy-v1", "unseen", (0, 1), 3
LAYOUTS = (("select", 2), ("test", 3))


def rolled(
    name: str = "stranger", params_seed: int = 0, **conditions: Any
) -> tuple[RunRecord, pa.Table, dict[str, Any]]:
    """A record of toy-v1's unseen split with its episodes and parameters; half of them are the expert's luck."""
    suite = load_suite(SUITE)
    tasks = suite.split(SPLIT).test
    rng = np.random.default_rng(params_seed)
    rows, candidates = [], {}
    for task in tasks:
        for seed in SEEDS:
            params = np.stack([3 * initial_params(suite.policy, rng) for _ in range(CANDIDATES)])
            candidates[f"{seed}/{task}"] = params
            agents = FlatPolicies(suite.policy, params)
            job = EpisodeJob(
                SUITE, task, agents, tuple(range(CANDIDATES)), LAYOUTS, conditions=Conditions(**conditions)
            )
            first = job(lambda *_: None).first_success
            for candidate in range(CANDIDATES):
                for (layout_set, layout), step in zip(layout_names(LAYOUTS), first[candidate].tolist(), strict=True):
                    row = {"method": name, "suite": SUITE, "split": SPLIT, "task": task, "train_seed": seed}
                    row |= {"candidate": candidate, "layout_set": layout_set, "layout": layout}
                    rows.append(row | {"success": step > 0, "first_success_step": step})
    table = episode_table(rows)
    record = make_record(
        table,
        run_id="toy-v1-unseen-1",
        method=MethodInfo(
            name=name,
            family="generator",
            summary="Draws weights.",
            trained_on="seen",
            uses="prompts",
            citation="Stranger 2026",
            deterministic_candidates=False,
            source="stranger 1.0",
        ),
        suite=SuiteInfo(name=SUITE, simulator_versions=dict(suite.versions), layouts_sha256=suite.layouts_sha256),
        split=SplitInfo(name=SPLIT, train=suite.split(SPLIT).train, test=tasks),
        protocol=ProtocolInfo(
            scale="small",
            shots=4,
            candidates=CANDIDATES,
            episodes=LAYOUTS[1][1],
            select_episodes=LAYOUTS[0][1],
            horizon=suite.horizon,
            success_rule=suite.success,
            prompt_source="trained",
            test_layouts=conditions.get("test_layouts", "test"),
        ),
        metrics=metrics_of_episodes(table),
    )
    return record, table, candidates


def write(results: Path, record: RunRecord, table: pa.Table, candidates: dict[str, Any]) -> Path:
    """The record's folder under `results`."""
    folder = results / record.method.name / record.run_id
    write_record(folder, record, table, candidates)
    return folder


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change `record.json`."""
    raw = json.loads((folder / RECORD).read_text())
    change(raw)
    (folder / RECORD).write_text(json.dumps(raw))
