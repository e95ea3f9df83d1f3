"""What a record claims of suite, split, protocol and machine, held against the package's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from maa_bench.errors import MaaBenchError, did_you_mean
from maa_bench.named_protocol import OWN_TO_A_RUN, list_protocols, load_protocol
from maa_bench.protocol import LABELS, Protocol
from maa_bench.record import RunRecord
from maa_bench.suite import Suite, list_suites, load_suite


def known_suite(record: RunRecord) -> Suite | None:
    """The package's suite of the record's name, if there is one."""
    return load_suite(record.suite.name) if record.suite.name in list_suites() else None


def protocol_of(record: RunRecord) -> Protocol:
    """The record's protocol, as a run takes it (on a CPU).

    Raises:
        ProtocolError: a value that cannot be.
    """
    own = {f.name: getattr(record.protocol, f.name) for f in fields(Protocol) if hasattr(record.protocol, f.name)}
    return Protocol(**own)


def suite_problems(record: RunRecord) -> Iterator[str]:
    """Where the suite or the split is not the package's of that name."""
    suite = known_suite(record)
    if suite is None:
        yield f"suite {record.suite.name!r} is none of the package's.{did_you_mean(record.suite.name, list_suites())}"
        return
    yield from _differ(
        f"those of suite {suite.name}",
        [
            ("suite.layouts_sha256", record.suite.layouts_sha256, suite.layouts_sha256),
            ("suite.simulator_versions", record.suite.simulator_versions, dict(suite.versions)),
            ("protocol.horizon", record.protocol.horizon, suite.horizon),
            ("protocol.success_rule", record.protocol.success_rule, suite.success),
        ],
    )
    for package, version in suite.versions.items():
        ran = record.environment.packages.get(package)
        if ran != version:
            said = "environment.packages lacks" if ran is None else f"it ran with {package} {ran}, not"
            yield f"{said} {package} {version}, for which suite {suite.name} holds"
    if record.split.name not in suite.splits:
        yield f"suite {suite.name} has no split {record.split.name!r}.{did_you_mean(record.split.name, suite.splits)}"
        return
    split = suite.split(record.split.name)
    if set(record.split.test) < set(split.test):
        missing = ", ".join(task for task in split.test if task not in record.split.test)
        yield f"only some tasks of split {split.name!r} were tested: run it again without --tasks; missing: {missing}"
    elif record.split.test != split.test:
        yield f"split.test is not that of split {split.name!r} of {suite.name}"
    if record.split.train != split.train:
        yield f"split.train is not that of split {split.name!r} of {suite.name}"
    try:
        protocol_of(record).check_serves(suite)
    except MaaBenchError as error:
        yield f"protocol: {error}"


def protocol_problems(record: RunRecord) -> Iterator[str]:
    """Where the settings are not those of the named protocol's condition."""
    name, condition = record.protocol.name, record.protocol.condition
    if name is None:
        if condition:
            yield f"protocol.condition is {condition!r}, but the protocol has no name"
        return
    if name not in list_protocols():
        yield f"protocol {name!r} is none of the package's.{did_you_mean(name, list_protocols())}"
        return
    named = load_protocol(name)
    conditions = {wanted.condition: wanted for wanted in named.conditions(scale=record.protocol.scale)}
    if condition not in conditions:
        yield f"protocol {name} has no condition {condition!r}.{did_you_mean(condition, conditions)}"
        return
    wanted = conditions[condition]
    settings = [f.name for f in fields(Protocol) if f.name not in (*LABELS, *OWN_TO_A_RUN)]
    yield from _differ(
        f"those of {name}, condition {condition}",
        [(f"protocol.{key}", getattr(record.protocol, key), getattr(wanted, key)) for key in settings],
    )
    if len(record.seeds.train) < named.seeds:
        yield (
            f"{len(record.seeds.train)} training seeds, but a whole run of {name} has {named.seeds}: run it again "
            "without --seeds; what is in the cache is not done anew"
        )


def seed_problems(record: RunRecord) -> Iterator[str]:
    """Where training seeds may have been picked: a run has those that follow one another."""
    seeds, base = sorted(record.seeds.train), record.seeds.base
    if seeds != list(range(base, base + len(seeds))):
        yield f"seeds.train {seeds} are not those of a run, which are {base}, {base + 1}, ... from seeds.base on"


def failure_problems(record: RunRecord) -> Iterator[str]:
    """Where the failures tell of candidates that there are not."""
    most = record.protocol.episodes + record.protocol.select_episodes
    for failure in record.failures:
        where = f"failures: task {failure.task!r}, seed {failure.train_seed}, candidate {failure.candidate}"
        known = failure.task in record.split.test and failure.train_seed in record.seeds.train
        if not known or failure.candidate >= record.candidates_evaluated:
            yield f"{where}: the run has no such candidate"
        elif failure.episodes > most:
            yield f"{where}: {failure.episodes} episodes broke off, but a candidate has {most}"


def claim_notes(record: RunRecord) -> Iterator[str]:
    """What holds, and what a reader should know all the same."""
    suite = known_suite(record)
    if suite is not None and suite.superseded_by is not None:
        yield f"suite {suite.name} is superseded by {suite.superseded_by}"
    if record.seeds.base != 0:
        yield f"its seeds begin at {record.seeds.base}, not at 0: they may be the best of several runs"
    if record.failures:
        yield f"episodes of {len(record.failures)} candidates broke off: whether these fail again is not compared"
    if record.protocol.name is None:
        yield "under no named protocol: it will stand in a table of its own"
    git = record.environment.git
    if git is not None and git.dirty:
        yield "made with a checkout that differed from its commit"


def _differ(what: str, pairs: list[tuple[str, Any, Any]]) -> Iterator[str]:
    for where, stated, wanted in pairs:
        if stated != wanted:
            yield f"{where} is {stated!r}, not {wanted!r}: it must be {what}"
