"""Made-up records of a made-up protocol with axes, and texts that try to break out of a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from record_samples import episode_rows, episode_table, make_record, sample

from maa_bench.record import FileInfo, MethodInfo, RunRecord
from maa_bench.results import write_record

CONDITIONS = ("base", "shots=1", "shots=50", "prompt_noise=0.1", "prompt_noise=0.4", "prompt_source=partial")
"""Of the made-up protocol; its base has 4 shots, no noise and prompts of the expert."""

METHODS = {
    "synthetic_generator": ("generator", "prompts", 0.6),
    "synthetic_meta": ("meta", "prompts+rewards", 0.9),
    "random_seen": ("control", "nothing", 0.2),
    "bc_on_prompts": ("control", "prompts", 0.5),
    "expert": ("ceiling", "scripted_expert", 1.0),
}
"""Family, use and rate of success."""

HOSTILE = (
    "</script><script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "<!--<script>",
    "\"'`&amp;{{script}}]]>",
    "\\input{/etc/passwd}\\write18{ls} $x^2$ %",
    "\u202egnp.exe\u202c \u2028\u2029 \u0000\u001b[31m",
    "javascript:alert(1)//../../",
)
"""Texts for names and cards."""


def method_info(name: str, **changes: Any) -> MethodInfo:
    """A card of one of `METHODS`."""
    family, uses, _ = METHODS[name]
    card: dict[str, Any] = {
        "name": name,
        "family": family,
        "summary": f"A made-up method of the family {family}.",
        "trained_on": "seen",
        "uses": uses,
        "citation": "" if family == "control" else "Nobody et al., Made Up, 2099",
        "deterministic_candidates": name == "expert",
        "source": "made-up 1.0",
    }
    return MethodInfo(**card | changes)


def condition(label: str, method: str, **changes: Any) -> RunRecord:
    """The record of a method under one condition of `synthetic-v1`; more shots help a little, noise hurts."""
    setting, _, value = label.partition("=")
    settings: dict[str, Any] = {"name": "synthetic-v1", "condition": label}
    rate = METHODS[method][2]
    if setting == "shots":
        settings["shots"] = int(value)
        rate = min(1.0, rate + 0.05 * (int(value) - 4) / 46)
    elif setting == "prompt_noise":
        settings["prompt_noise"] = float(value)
        rate = rate if METHODS[method][1] == "nothing" else rate * (1 - float(value))
    elif setting == "prompt_source":
        settings["prompt_source"] = value
    table = episode_table(
        episode_rows(method, tasks=("made-up-east", "made-up-west"), success=rate, candidates=1)
        if method == "expert"
        else episode_rows(method, tasks=("made-up-east", "made-up-west"), success=rate)
    )
    record = make_record(table, method=method_info(method), run_id=f"synthetic-{label.replace('=', '-')}")
    record = record.model_copy(update={"protocol": record.protocol.model_copy(update=settings)})
    return RunRecord.model_validate(record.model_dump() | changes)


def conditions(methods: tuple[str, ...] = tuple(METHODS)) -> list[RunRecord]:
    """Every method under every condition."""
    return [condition(label, method) for label in CONDITIONS for method in methods]


def hostile_record(text: str) -> RunRecord:
    """A record in whose every text the text stands, those too in which no record that was read could have it."""
    record, _ = sample("make_an_agent")
    tasks = {f"{text}{i}": values for i, values in enumerate(record.metrics.tasks.values())}
    changes: dict[str, dict[str, Any]] = {
        "method": {
            **dict.fromkeys(("summary", "citation", "source", "name", "family", "trained_on"), text),
            "pretrained_on": (text,),
        },
        "suite": {"name": text, "simulator_versions": {text: text}},
        "split": {"name": text, "test": tuple(tasks)},
        "dataset": {"id": text, "producer": text},
        "protocol": {"success_rule": text, "prompt_source": text},
        "metrics": {"tasks": tasks},
        "environment": {"cpu": text, "platform": text, "gpu": text, "packages": {text: text}},
    }
    parts = {name: getattr(record, name).model_copy(update=own) for name, own in changes.items()}
    files = {text: FileInfo(sha256="0" * 64, bytes=1)}
    return record.model_copy(
        update={**parts, "run_id": "hostile", "created_with": text, "weights": text, "files": files}
    )


def write_conditions(results: Path) -> None:
    """Records with their episodes on disk, for what reads a folder of results."""
    for method, (_, _, rate) in METHODS.items():
        rows = episode_rows(method, candidates=1 if method == "expert" else 4, success=rate)
        table = episode_table(rows)
        for label in CONDITIONS[:2]:
            record = condition(label, method)
            record = make_record(table, method=record.method, run_id=record.run_id, protocol=record.protocol)
            write_record(results / method / record.run_id, record, table)
