"""In which order the leaderboard tells of what it has: current suites and named protocols first, the standard one
before the others; then older suites and protocols without a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from maa_bench.record import RunRecord
from maa_bench.report.curves import Family, families

SPLITS = ("unseen", "seen", "unseen-hard", "ml10", "ml45")
"""First these, then others by name."""

STANDARD = "standard"


@dataclass(frozen=True)
class Entry:
    """A family with its place in the leaderboard.

    Attributes:
        family: what it shows.
        slug: names its figures and anchors: letters, digits and hyphens; no two entries share one.
        current: whether its protocol has a name and its suite no newer version among the records.
    """

    family: Family
    slug: str
    current: bool

    @property
    def place(self) -> str:
        """`metaworld-v2, split unseen`."""
        first = self.family.first
        return f"{first.suite.name}, split {first.split.name}"

    @property
    def title(self) -> str:
        """`standard-v1, dataset metaworld-v2-0a1b`."""
        return f"{self.family.name or 'protocol without a name'}, dataset {self.family.first.dataset.id}"


def entries(records: Sequence[RunRecord]) -> list[Entry]:
    """Every record's family, in order."""
    newest: dict[str, int] = {}
    for record in records:
        stem, version = _version(record.suite.name)
        newest[stem] = max(version, newest.get(stem, version))

    def current(family: Family) -> bool:
        stem, version = _version(family.first.suite.name)
        return family.name is not None and version == newest[stem]

    def place(family: Family) -> tuple[object, ...]:
        suite, suite_version = _version(family.first.suite.name)
        split = family.first.split.name
        protocol, version = _version(family.name or "")
        return (
            not current(family),
            (suite, -suite_version),
            (SPLITS.index(split) if split in SPLITS else len(SPLITS), split),
            (family.name is None, protocol != STANDARD, protocol, -version),
        )

    made: list[Entry] = []
    taken: set[str] = set()
    for family in sorted(families(records), key=place):  # stable: equals stay in the order that their records give
        first = family.first
        name = "-".join((first.suite.name, first.split.name, family.name or "unnamed"))
        stem = slug = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:80]
        number = 1
        while slug in taken:
            number += 1
            slug = f"{stem}-{number}"
        taken.add(slug)
        made.append(Entry(family, slug, current(family)))
    return made


def chosen(records: Sequence[RunRecord], suite: str, split: str, protocol: str | None = None) -> Entry | None:
    """The entry that stands for a suite and split: of that protocol, by default the standard one, else any.

    Of several, the one whose base has the most training seeds, then the most records; None if there is none.
    """
    own = [entry for entry in entries(records) if entry.family.base]
    own = [e for e in own if (e.family.first.suite.name, e.family.first.split.name) == (suite, split)]
    if protocol is not None:
        own = [entry for entry in own if entry.family.name == protocol]
    else:
        own = [entry for entry in own if _version(entry.family.name or "")[0] == STANDARD] or own
    return max(own, key=lambda e: (max(len(r.seeds.train) for r in e.family.base), len(e.family.base)), default=None)


def _version(name: str) -> tuple[str, int]:
    """`metaworld-v2`: ("metaworld", 2); (the name, 0) of what has no version."""
    found = re.fullmatch(r"(.+)-v(\d{1,9})", name)
    return (found[1], int(found[2])) if found else (name, 0)
