"""Tables in a Markdown page, made from the committed records: `python -m maa_bench.report.readme results PAGE...`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from maa_bench.errors import RecordError
from maa_bench.report.curve_tables import curve_table
from maa_bench.report.evidence import Evidence
from maa_bench.report.leaderboard import read_results
from maa_bench.report.order import Entry, chosen
from maa_bench.report.render import to_markdown
from maa_bench.report.tables import cost_table, metric_table, own_table, result_table

_BLOCK = re.compile(
    r"(<!-- (?P<kind>table|curve|measured): (?P<what>[^>\n]+?) -->\n).*?(<!-- end -->)", flags=re.DOTALL
)


def with_tables(page: str, results_dir: Path) -> str:
    """The page with its blocks filled from records: see `table_filler`."""
    return table_filler(results_dir)(page)


def table_filler(results_dir: Path) -> Callable[[str], str]:
    """What fills the blocks of pages from records, which it reads once; each block ends with `<!-- end -->`.

    `<!-- table: SUITE SPLIT -->` or `<!-- table: SUITE SPLIT PROTOCOL -->` gets the base's tables of that suite, split
    and protocol (by default the standard one, else the one with the most training seeds).
    `<!-- curve: SUITE SPLIT PROTOCOL SETTING -->` gets the table along that axis.
    `<!-- measured: METHOD ... -->` gets a row a method for each suite and split, of the protocol that a `table` takes.

    What it gives raises RecordError where a block has no records, or too few or too many words.
    """
    records = read_results(results_dir)
    evidence = Evidence(results_dir)

    def entry(suite: str, split: str, protocol: str | None = None) -> Entry:
        found = chosen(records, suite, split, protocol)
        if found is None:
            named = f", protocol {protocol}" if protocol else ""
            raise RecordError(f"{results_dir}: no records of suite {suite}, split {split}{named}")
        return found

    def table(suite: str, split: str, protocol: str | None = None) -> str:
        base = entry(suite, split, protocol).family.base
        tables = result_table(base), metric_table(base, evidence.extras(base)), cost_table(base)
        return "\n".join(map(to_markdown, tables))

    def curve(suite: str, split: str, protocol: str, setting: str) -> str:
        for axis in entry(suite, split, protocol).family.axes:
            if axis.setting == setting:
                return to_markdown(curve_table(axis))
        raise RecordError(f"{results_dir}: protocol {protocol} has no records along {setting!r}")

    def measured(*methods: str) -> str:
        places = sorted({(record.suite.name, record.split.name) for record in records})
        bases = [entry.family.base for place in places if (entry := chosen(records, *place)) is not None]
        own = [record for name in methods for base in bases for record in base if record.method.name == name]
        return to_markdown(own_table(own))

    kinds: dict[str, Callable[..., str]] = {"table": table, "curve": curve, "measured": measured}

    def fill(block: re.Match[str]) -> str:
        try:
            text = kinds[block["kind"]](*block["what"].split())
        except TypeError as error:
            raise RecordError(f"block <!-- {block['kind']}: {block['what']} -->: {error}") from None
        return f"{block[1]}\n{text}\n{block[4]}"

    return lambda page: _BLOCK.sub(fill, page)


if __name__ == "__main__":
    results, *pages = map(Path, sys.argv[1:])
    filled = table_filler(results)
    for path in pages:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
