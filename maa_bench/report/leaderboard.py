"""The leaderboard: every record under `results/`, group by group, as a page, tables and figures.

The same results give the same bytes: groups and rows are sorted and nothing tells the time. A broken record
is an error, not a skipped row: a leaderboard that lost a method without a word would be worse than none.
"""

from __future__ import annotations

from pathlib import Path

from maa_bench.errors import RecordError
from maa_bench.files import write_bytes
from maa_bench.record import RunRecord
from maa_bench.report.board_data import board_data, board_json
from maa_bench.report.csv_tables import RUN_COLUMNS, TABLE_COLUMNS, run_rows, table_rows
from maa_bench.report.evidence import Evidence
from maa_bench.report.gallery import FOLDER, KINDS, figures_of
from maa_bench.report.index import index_page
from maa_bench.report.order import entries
from maa_bench.report.paper import paper_tables
from maa_bench.report.render import csv_text
from maa_bench.report.site import PAGE, page
from maa_bench.report.tables import Extra, in_order
from maa_bench.results import FAILURES, RECORD, validate_record

INDEX = "index.md"
TABLE = "table.csv"
RUNS = "runs.csv"
PAPER = "table.tex"
BOARD = "leaderboard.json"


def read_results(results_dir: Path) -> list[RunRecord]:
    """Every record of `results_dir`, ordered by folder; its values follow from its episodes, which is checked here.

    Its intervals are not made again, as that would take most of the time: `maa-bench validate` does so.

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
        record = validate_record(folder, intervals=False)
        if place.parts != (record.method.name, record.run_id):
            raise RecordError(
                f"{folder / RECORD}: run {record.run_id!r} of {record.method.name!r} belongs in "
                f"{results_dir / record.method.name / record.run_id}"
            )
        records.append(record)
    if not records:
        raise RecordError(f"{results_dir}: holds no records yet; `maa-bench run` makes one")
    return records


def build_leaderboard(results_dir: Path, out_dir: Path, figures: bool = True) -> list[Path]:
    """Write the page, the tables and the figures into `out_dir`; each file whole or not at all.

    Everything is made before anything is written. Figures of former builds that are no more go away.

    Args:
        results_dir: where the records are.
        out_dir: is made.
        figures: whether to draw; without, those that are there stay as they are, and the page shows none.

    Returns:
        The paths, `index.md` first.

    Raises:
        RecordError: as `read_results`; nothing is written then.
    """
    records = read_results(results_dir)
    made = entries(records)
    evidence = Evidence(results_dir)
    extras: dict[str, Extra] = {}
    for group in (group for entry in made for group in entry.family.conditions):
        extras |= evidence.extras(group)
    drawn = {entry.slug: figures_of(entry, evidence) for entry in made} if figures else {}
    shown = {slug: [name for name in files if name.endswith(".svg")] for slug, files in drawn.items()}
    ordered = [record for entry in made for group in entry.family.conditions for record in in_order(group)]
    contents = {
        INDEX: index_page(made, extras, shown).encode(),
        TABLE: csv_text([TABLE_COLUMNS, *table_rows(ordered, extras)]).encode(),
        RUNS: csv_text([RUN_COLUMNS, *run_rows(ordered)]).encode(),
        PAPER: paper_tables(made, extras, PAPER).encode(),
    }
    board = board_data(records, extras)
    contents |= {BOARD: board_json(board).encode(), PAGE: page(board).encode()}
    contents |= {f"{FOLDER}/{name}": content for files in drawn.values() for name, content in files.items()}
    for name, content in contents.items():
        write_bytes(out_dir / name, content)
    if figures:
        for kind in KINDS:
            for path in (out_dir / FOLDER).glob(f"{kind}-*"):
                if f"{FOLDER}/{path.name}" not in contents:
                    path.unlink()
    return [out_dir / name for name in contents]
