"""Tables in a Markdown page, made from the committed records: `python -m maa_bench.report.readme results PAGE...`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from maa_bench.errors import RecordError
from maa_bench.report.leaderboard import read_results
from maa_bench.report.render import to_markdown
from maa_bench.report.tables import group_key, own_table, result_table, summary_table

_MEASURED = re.compile(r"(<!-- measured: (?P<methods>[^>]+?) -->\n).*?(<!-- end -->)", flags=re.DOTALL)
_BLOCK = re.compile(r"(<!-- table: (?P<suite>\S+) (?P<split>\S+) -->\n).*?(<!-- end -->)", flags=re.DOTALL)


def with_tables(page: str, results_dir: Path) -> str:
    """The page with its blocks filled from records.

    `<!-- table: SUITE SPLIT -->` gets the tables of that suite and split, `<!-- measured: METHOD ... -->` a row for
    every record of these methods; each ends with `<!-- end -->`.
    """
    records = read_results(results_dir)

    def fill(block: re.Match[str]) -> str:
        own = [r for r in records if (r.suite.name, r.split.name) == (block["suite"], block["split"])]
        if len({group_key(r) for r in own}) != 1:
            where = f"{block['suite']}, split {block['split']}"
            raise RecordError(f"{results_dir}: the table of {where} needs records of exactly one protocol")
        return f"{block[1]}\n{to_markdown(result_table(own))}\n{to_markdown(summary_table(own))}\n{block[4]}"

    def measured(block: re.Match[str]) -> str:
        names = block["methods"].split()
        own = [record for name in names for record in records if record.method.name == name]
        return f"{block[1]}\n{to_markdown(own_table(own))}\n{block[3]}"

    return _MEASURED.sub(measured, _BLOCK.sub(fill, page))


if __name__ == "__main__":
    results, *pages = map(Path, sys.argv[1:])
    for path in pages:
        path.write_text(with_tables(path.read_text(encoding="utf-8"), results), encoding="utf-8")
