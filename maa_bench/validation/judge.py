"""All checks of one record, in the order in which they can be trusted: names before contents, claims before work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from maa_bench.cache import Cache, default_cache_dir
from maa_bench.environment import environment_info
from maa_bench.errors import MaaBenchError, SuiteError
from maa_bench.main_job import Execution
from maa_bench.progress import Progress
from maa_bench.record import RunRecord
from maa_bench.results import CANDIDATE_ROWS, CANDIDATES, load_record, validate_record
from maa_bench.software import software
from maa_bench.validation.cards import card_problems, is_own
from maa_bench.validation.claims import (
    claim_notes,
    failure_problems,
    known_suite,
    protocol_problems,
    seed_problems,
    suite_problems,
)
from maa_bench.validation.contents import folder_problems
from maa_bench.validation.reroll import SCRIPTED, draw, own_seed, reroll
from maa_bench.validation.verdict import Verdict
from maa_bench.validation.weights import found_weights, weights_problems

SAMPLE = 4
"""Candidates of a record that are rolled out again, on all their layouts."""


@dataclass(frozen=True)
class Ways:
    """How far a check goes.

    Attributes:
        sample: candidates to roll out again; 0: none.
        seed: of the sample; default: the record's own, from its hash.
        weights: file or folder of the parameters, where they are not in the record's folder.
        hub: whether parameters may be downloaded from the Hub dataset that the record names.
        regenerate: make the candidates again from the seeds, all of them.
        dataset: folder of the dataset for that; default: the suite's own.
        cache_dir, how, progress: for that.
    """

    sample: int = SAMPLE
    seed: int | None = None
    weights: Path | None = None
    hub: bool = True
    regenerate: bool = False
    dataset: Path | None = None
    cache_dir: Path | None = None
    how: Execution = field(default_factory=Execution)
    progress: Progress | None = None


def judge(folder: Path, ways: Ways) -> Verdict:
    """Check one record's folder, whatever it holds. Changes nothing but, with `regenerate`, the cache."""
    verdict = Verdict(folder)
    try:
        verdict.problems += folder_problems(folder)
        if verdict.problems:
            return verdict  # links and giants are not opened
        record = load_record(folder)
    except (MaaBenchError, OSError) as error:
        verdict.problems.append(str(error))
        return verdict
    if (folder.absolute().parent.name, folder.absolute().name) != (record.method.name, record.run_id):
        verdict.problems.append(f"its place is {record.method.name}/{record.run_id}/, by the record")
    for check in (suite_problems, protocol_problems, seed_problems, card_problems, failure_problems):
        _collect(verdict, lambda check=check: verdict.problems.extend(check(record)))  # type: ignore[misc]
    sound = _collect(verdict, lambda: validate_record(folder))
    verdict.notes += claim_notes(record)
    if not is_own(record.method):
        verdict.notes.append("no method of this package: what its card says cannot be looked up")
        if record.method.deterministic_candidates:
            verdict.notes.append(
                "one candidate was evaluated for each task and seed: its card says that all are the same"
            )
    if CANDIDATE_ROWS not in record.files:
        verdict.notes.append(f"has no {CANDIDATE_ROWS}: made by an older version")
    if sound and known_suite(record) is not None:
        _collect(verdict, lambda: _again(verdict, record, ways))
    else:
        _not_rolled(verdict, "what is said above comes first")
    return verdict


def _collect(verdict: Verdict, check: Callable[[], object]) -> bool:
    """Whether a check could be made; what it raises is a problem like others."""
    try:
        check()
    except MaaBenchError as error:
        verdict.problems.append(str(error))
        return False
    return True


def _again(verdict: Verdict, record: RunRecord, ways: Ways) -> None:
    """Hold the candidates against their hashes, and roll a sample of them out again, or all of them."""
    suite = known_suite(record)
    assert suite is not None
    with found_weights(verdict.folder, record, ways.weights, ways.hub and ways.sample > 0) as weights:
        if weights is not None:
            found = list(weights_problems(weights, verdict.folder, record, suite.policy))
            verdict.problems += found
            if found:
                return
        if ways.regenerate:
            _regenerate(verdict, record, ways)
            return
        if ways.sample < 1:
            _not_rolled(verdict, "not asked for")
        elif weights is None and record.method.name != SCRIPTED:
            _not_rolled(verdict, _why_not(record, ways))
        else:
            seed = own_seed(verdict.folder) if ways.seed is None else ways.seed
            drawn = draw(record, ways.sample, seed)
            try:
                verdict.episodes, lines = reroll(verdict.folder, record, weights, drawn)
            except SuiteError as error:  # of this machine, not of the record
                _not_rolled(verdict, str(error))
                return
            verdict.candidates = len(drawn)
            verdict.problems += [f"rolled out again: {line}" for line in lines]
            if lines:
                _tell_what_else_differs(verdict, record)


def _why_not(record: RunRecord, ways: Ways) -> str:
    if CANDIDATES not in record.files:
        return "its candidates are no flat policies, only --regenerate makes them again"
    if record.weights is not None and not ways.hub:
        return f"{CANDIDATES} was not to be fetched from {record.weights}"
    return (
        f"{CANDIDATES} is neither in the folder nor on the Hub by the record: name it as --weights, or use --regenerate"
    )


def _regenerate(verdict: Verdict, record: RunRecord, ways: Ways) -> None:
    from maa_bench.validation.regenerate import plan_of, regenerate

    if not is_own(record.method):
        _not_rolled(verdict, f"{record.method.name} is not installed here, so it cannot be made again")
        return
    plan = plan_of(record, ways.dataset)
    cache = Cache(ways.cache_dir or default_cache_dir())
    progress = ways.progress or Progress()
    verdict.candidates, verdict.episodes, lines = regenerate(verdict.folder, record, plan, cache, progress, ways.how)
    verdict.problems += [f"made again: {line}" for line in lines]
    if lines:
        _tell_what_else_differs(verdict, record)


def _tell_what_else_differs(verdict: Verdict, record: RunRecord) -> None:
    """What may give other numbers though nobody did anything wrong: docs/cluster.md."""
    ours, theirs = environment_info(), record.environment
    processor = "the processor"
    here = {**software(), processor: ours.cpu}
    there = {**theirs.packages, processor: theirs.cpu}
    if ours.cpu.startswith(f"{theirs.cpu} ("):  # of before names had details: as far as it goes, the same
        there[processor] = here[processor]
    other = [f"{name} {there[name]} (here {here[name]})" for name in here if there.get(name, here[name]) != here[name]]
    if other:
        verdict.notes.append(f"was made with others, which may be why: {', '.join(other)}")


def _not_rolled(verdict: Verdict, why: str) -> None:
    verdict.notes.append(f"NOT CHECKED: no candidate was rolled out again: {why}")
