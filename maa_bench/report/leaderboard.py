"""The leaderboard: every record under `results/`, group by group, as `index.md` and `table.csv`.

The same results give the same bytes: groups and rows are sorted and nothing tells the time. A broken record
is an error, not a skipped row: a leaderboard that lost a method without a word would be worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maa_bench.errors import RecordError
from maa_bench.files import write_bytes
from maa_bench.metrics import METRICS
from maa_bench.record import RunRecord
from maa_bench.report.render import csv_text, markdown_text, to_markdown
from maa_bench.report.tables import (
    LONG_COLUMNS,
    group_key,
    in_order,
    long_rows,
    protocol_text,
    result_table,
    summary_table,
)
from maa_bench.results import FAILURES, RECORD, load_record

INDEX = "index.md"
TABLE = "table.csv"

_INTRODUCTION = """\
# Leaderboard

Made from the run records under `results/` by `maa-bench`; never edited by hand. Methods are compared within a
group only: same suite and layouts, split, dataset and protocol.
"""

_NOTES = """\
**Intervals** are 95 % bootstrap intervals over training seeds, candidates and layouts; tasks are fixed. Where
all outcomes are alike, Wilson's score interval. The aggregate is the unweighted mean over tasks. With one
training seed the interval is about that one fit: another fit may well lie outside it.

**Controls.** `random_seen` draws checkpoints of the training tasks, `nearest_checkpoint` takes the training
checkpoint whose behaviour is nearest to the prompt, `random_weights` is a freshly initialised policy,
`expert` is the ceiling. A method that does not beat the first two has not been shown to generate anything.
"""


def read_results(results_dir: Path) -> list[RunRecord]:
    """Every record of `results_dir`, ordered by folder.

    Raises:
        RecordError: no records, a broken one, or one that stands in another folder than its method and run
        say.
    """
    if not results_dir.is_dir():
        raise RecordError(f"{results_dir}: no such folder of results")
    folders = {path for path in results_dir.glob("*/*") if path.is_dir()}
    folders |= {path.parent for path in results_dir.rglob(RECORD)}
    records = []
    for folder in sorted(folders):
        place = folder.relative_to(results_dir)
        if any(part.startswith(".") for part in place.parts):
            continue  # A record that is being written, or was when the machine stopped.
        if (folder / FAILURES).exists() and not (folder / RECORD).exists():
            continue  # A run that failed has no record.
        record = load_record(folder)
        if place.parts != (record.method.name, record.run_id):
            raise RecordError(
                f"{folder / RECORD}: run {record.run_id!r} of {record.method.name!r} belongs in "
                f"{results_dir / record.method.name / record.run_id}"
            )
        records.append(record)
    if not records:
        raise RecordError(f"{results_dir}: holds no records yet; `maa-bench run` makes one")
    return records


def build_leaderboard(results_dir: Path, out_dir: Path) -> tuple[Path, Path]:
    """Write `index.md` and `table.csv` into `out_dir`; each file whole or not at all.

    Returns:
        The two paths.

    Raises:
        RecordError: as `read_results`; nothing is written then.
    """
    groups: dict[str, list[RunRecord]] = {}
    for record in read_results(results_dir):
        groups.setdefault(group_key(record), []).append(record)
    ordered = [in_order(groups[key]) for key in sorted(groups)]
    index = _INTRODUCTION + "".join("\n" + _section(group) for group in ordered)
    index += "\n## Notes\n\n" + _metric_notes() + "\n" + _NOTES
    rows = [row for group in ordered for row in long_rows(group)]
    paths = out_dir / INDEX, out_dir / TABLE
    write_bytes(paths[0], index.encode())
    write_bytes(paths[1], csv_text([LONG_COLUMNS, *rows]).encode())
    return paths


def _section(group: Sequence[RunRecord]) -> str:
    """One group: what it is, its results, its summary and its runs."""
    first = group[0]
    suite, split, dataset, protocol = first.suite, first.split, first.dataset, first.protocol
    simulators = ", ".join(f"{name} {version}" for name, version in sorted(suite.simulator_versions.items()))
    about = [
        ("Suite", f"{suite.name} ({simulators or 'no simulator package'}; layouts {suite.layouts_sha256[:12]})"),
        ("Trained on", _names(split.train)),
        ("Tested on", _names(split.test)),
        (
            "Dataset",
            f"{dataset.id}: {dataset.rows} checkpoints of {dataset.runs} runs ({dataset.producer})",
        ),
        (
            "Protocol",
            f"scale {protocol.scale}, {protocol.shots} prompts a task ({protocol.prompt_source}), "
            f"{protocol.candidates} candidates, {protocol.episodes} test layouts, "
            f"{protocol.select_episodes} select layouts, {protocol.horizon} steps; "
            f"success: {protocol.success_rule}",
        ),
    ]
    runs = []
    for record in group:
        made = f"{record.method.source}, recorded by maa-bench {record.created_with}"
        seeds = f"{len(record.seeds.train)} training seed(s), {record.candidates_evaluated} candidates a task"
        runs.append(f"- {markdown_text(f'{record.method.name}: run {record.run_id}, {seeds}, {made}')}\n")
    return (
        f"## {markdown_text(suite.name)}, split {markdown_text(split.name)}, "
        f"dataset {markdown_text(dataset.id)}, scale {protocol.scale}, {protocol_text(first)}\n\n"
        + "".join(f"- **{what}**: {markdown_text(text)}\n" for what, text in about)
        + "\n### Success (mean) by task\n\n"
        + to_markdown(result_table(group))
        + "\n### Summary\n\n"
        + to_markdown(summary_table(group))
        + "\n### Runs\n\n"
        + "".join(runs)
    )


def _names(tasks: Sequence[str]) -> str:
    return f"{len(tasks)} tasks: {', '.join(tasks)}" if tasks else "nothing"


def _metric_notes() -> str:
    return "".join(f"- `{name}`: {definition}\n" for name, definition in METRICS.items())
