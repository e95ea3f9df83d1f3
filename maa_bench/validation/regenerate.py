"""Making a record's candidates again from its seeds: the method is fitted and asked once more, in the ordinary way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from maa_bench.cache import Cache, CellFailure, CellResult
from maa_bench.candidate_rows import sha256_of_params
from maa_bench.dataset.config import DatasetPlan
from maa_bench.dataset.schema import FORMAT
from maa_bench.dataset.store import MANIFEST, CheckpointDataset
from maa_bench.errors import RecordError, one_line
from maa_bench.main_job import Execution, execute, found_cells
from maa_bench.plan import Plan, make_plan
from maa_bench.progress import Progress
from maa_bench.record import RunRecord
from maa_bench.results import load_candidate_rows
from maa_bench.untrusted import json_object, read_limited
from maa_bench.validation.claims import protocol_of
from maa_bench.validation.reroll import Drawn, Recorded, shortened

MAX_MANIFEST = 100_000_000
"""Bytes of a dataset's manifest."""


def plan_of(record: RunRecord, dataset: Path | None) -> Plan:
    """The plan of the run that the record is of, without the controls.

    Args:
        record: of a registered method.
        dataset: folder of the dataset; default: the suite's own.

    Raises:
        RecordError: training seeds that one run does not have; a dataset that is another one, or of another format.
        MaaBenchError: whatever else the package cannot run.
    """
    seeds = sorted(record.seeds.train)
    if seeds != list(range(seeds[0], seeds[0] + len(seeds))):
        raise RecordError(f"training seeds {seeds} are not those of one run, which follow one another")
    if dataset is not None:
        _check_format(record, dataset)
    plan = make_plan(
        [record.method.name],
        record.suite.name,
        record.split.name,
        list(record.split.test),
        protocol_of(record),
        len(seeds),
        seeds[0],
        dataset,
    )
    if not _is_its_own(plan.dataset, record):
        what, advice = (
            f"this maa-bench (dataset format {FORMAT}) would build",
            f": name it as --dataset, or {_older(record)}",
        )
        if dataset is not None:
            what, advice = f"--dataset {dataset} is", ""
        raise RecordError(f"it was fitted on dataset {record.dataset.id}, but {what} {plan.dataset_id}{advice}")
    plan.methods = plan.methods[: plan.asked]
    plan.cells = [cell for cell in plan.cells if cell.method in plan.methods]
    return plan


def _is_its_own(data: DatasetPlan | CheckpointDataset, record: RunRecord) -> bool:
    """Whether a dataset is the record's: of its id and, if it is there already, of its bytes."""
    if isinstance(data, CheckpointDataset):
        return record.dataset.id in (data.id, data.address) and record.dataset.content_sha256 == data.content_sha256
    return record.dataset.id == data.id


def _check_format(record: RunRecord, dataset: Path) -> None:
    """A dataset of another format cannot be read here, and one that is built anew would be another dataset."""
    try:
        found = json_object(read_limited(dataset / MANIFEST, MAX_MANIFEST))["identity"]["format"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # opening it says what is wrong
    if found != FORMAT:
        raise RecordError(
            f"--dataset {dataset} has format {one_line(repr(found))}, this maa-bench reads {FORMAT}: {_older(record)}"
        )


def _older(record: RunRecord) -> str:
    """What to do where this version of the package is too new."""
    git = record.environment.git
    return f"use the maa-bench that made it, {record.created_with}" + (f", commit {git.commit[:12]}" if git else "")


def cost_of(plan: Plan, record: RunRecord, cache: Cache) -> str:
    """What making it again takes, in words."""
    missing = len(plan.cells) - len(found_cells(plan, cache))
    seconds = record.cost.seconds
    work = seconds.fit + seconds.generate + seconds.evaluate
    return (
        f"making {record.method.name} {record.run_id} again: {len(plan.train_seeds)} fits, {missing} of "
        f"{len(plan.cells)} cells to do; the record's own took {work:,.0f} s of work on {record.environment.cpu}"
    )


def regenerate(
    folder: Path, record: RunRecord, plan: Plan, cache: Cache, progress: Progress, how: Execution
) -> tuple[int, int, list[str]]:
    """Run a record's method again and compare everything.

    Returns:
        How many candidates and episodes were compared, and a line for each that differs, the first ones.

    Raises:
        MaaBenchError: it cannot be run here.
    """
    progress.note(cost_of(plan, record, cache))
    execute(plan, cache, progress, how)
    recorded = Recorded(folder, record)
    hashes = _hashes(folder, record)
    candidates, episodes, lines = 0, 0, []
    for cell in plan.cells:
        result = cache.load_cell(cell.key)
        if isinstance(result, CellFailure):
            lines.append(f"task {cell.task!r}, seed {cell.train_seed}: failed here: {result.reason}")
            continue
        lines += _other_params(cell.task, cell.train_seed, result, hashes)
        for candidate, row in enumerate(result.first_success):
            compared, found = recorded.differences(Drawn(cell.task, cell.train_seed, candidate), row)
            candidates, episodes = candidates + 1, episodes + compared
            lines += found
    return candidates, episodes, shortened(lines)


def _hashes(folder: Path, record: RunRecord) -> dict[Drawn, str | None]:
    table = load_candidate_rows(folder, record)
    rows = [] if table is None else table.select(["task", "train_seed", "candidate", "sha256"]).to_pylist()
    return {Drawn(row["task"], row["train_seed"], row["candidate"]): row["sha256"] for row in rows}


def _other_params(task: str, seed: int, result: CellResult, hashes: dict[Drawn, str | None]) -> Iterator[str]:
    if result.params is None or not hashes:
        return
    own = [Drawn(task, seed, candidate) for candidate in range(len(result.params))]
    other = [
        which for which, params in zip(own, result.params, strict=True) if hashes.get(which) != sha256_of_params(params)
    ]
    if other:
        yield f"{other[0]}: other parameters ({len(other)} of {len(own)} candidates of this task and seed)"
