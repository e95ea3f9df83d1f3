"""Drawing a `Table`: for the terminal (rich), as Markdown, as CSV. Names are escaped for each of them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from maa_bench.report.tables import Cell, Measured, Table, format_interval, format_value

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table as RichTable

_Style = Callable[[Measured | float], str]
_NARROW = 10
"""Names are not broken over lines to make a column narrower than this."""


def to_markdown(table: Table) -> str:
    """A GitHub-flavoured table with its notes, without its title; ends with a newline."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |\n"

    def text(cell: Cell) -> str:
        return markdown_text(cell) if isinstance(cell, str) else _inline(cell)

    numeric = [_is_numeric([row[i] for row in table.rows]) for i in range(len(table.header))]
    return (
        line(map(markdown_text, table.header))
        + line("---:" if right else "---" for right in numeric)
        + "".join(line(map(text, row)) for row in table.rows)
        + ("\n" + "  \n".join(map(markdown_text, table.notes)) + "\n" if table.notes else "")
    )


def markdown_text(text: str) -> str:
    """Any text as itself in Markdown, also inside a table: no markup, no HTML, no cell border, no line
    break."""
    text = _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|~#])", r"\\\1", text)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)


def to_csv(table: Table) -> str:
    """Comma-separated, a metric with its interval in three columns: value, low end, high end; 6 decimals."""
    metric = [any(isinstance(row[i], Measured) for row in table.rows) for i in range(len(table.header))]
    header: list[str] = []
    for name, is_metric in zip(table.header, metric, strict=True):
        header += [name, f"{name} lo", f"{name} hi"] if is_metric else [name]
    rows = []
    for row in table.rows:
        cells: list[str] = []
        for cell, is_metric in zip(row, metric, strict=True):
            if isinstance(cell, Measured):
                cells += [f"{x:.6f}" for x in (cell.value, *cell.ci)]
            else:
                cells += [cell if isinstance(cell, str) else f"{cell:.6f}", *[""] * (2 * is_metric)]
        rows.append(cells)
    return csv_text([header, *rows])


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows as CSV with newlines as line ends, on every platform."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def to_rich(table: Table, width: int = 100) -> Group:
    """The table for a terminal of `width` columns, whole at any width.

    Tried in turn: value and interval in a line; the interval under its value; and last, that in several tables
    under one another, each with some of the columns. No interval is ever left out.
    """
    from rich.console import Group
    from rich.text import Text

    every = range(1, len(table.header))
    title = Text(_one_line(table.title), style="bold")
    notes = [Text(_one_line(note), style="dim") for note in table.notes]
    for style, whole_names in ((_inline, True), (_inline, False), (_stacked, False)):
        drawn = _draw(table, every, style, whole_names)
        if _width(drawn) <= width:
            return Group(title, drawn, *notes)
    parts: list[list[int]] = []
    for column in every:
        if parts and _width(_draw(table, [*parts[-1], column], _stacked)) <= width:
            parts[-1].append(column)
        else:
            parts.append([column])
    spaced = [item for part in parts for item in (_draw(table, part, _stacked), Text(""))]
    return Group(title, *spaced, *notes)


def _draw(table: Table, columns: Iterable[int], style: _Style, whole_names: bool = False) -> RichTable:
    """The first column and `columns`; every cell a `Text`, which takes no markup. Other names may be broken."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = [0, *columns]
    gap = 0 if style is _stacked else 1  # the box itself leaves one space between columns
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap, 0, 0))
    wrapped: list[list[str]] = []
    for i in shown:
        column = [row[i] for row in table.rows]
        cells = [_one_line(cell) if isinstance(cell, str) else style(cell) for cell in column]
        is_metric = _is_numeric(column)
        if i and not is_metric and not whole_names:
            cells = [_broken(cell, _NARROW) for cell in cells]
        need = max((len(line) for cell in cells for line in cell.split("\n")), default=0)
        header = _one_line(table.header[i])
        drawn.add_column(
            Text(_broken(header, max(need, _NARROW)) if i and not whole_names else header),
            justify="right" if is_metric else "left",
            overflow="fold",
        )
        wrapped.append(cells)
    for row in zip(*wrapped, strict=True):
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


def _broken(name: str, width: int) -> str:
    """A name over several lines: broken after `_`, `-`, `+` and spaces, no line longer than it needs to
    be."""
    pieces = re.findall(r"[^_\-+ ]*[_\-+ ]|[^_\-+ ]+", name) or [name]
    width = max(width, *(len(piece.rstrip()) for piece in pieces))
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _width(drawn: RichTable) -> int:
    from rich.console import Console

    return Console(width=10_000).measure(drawn).maximum


def _is_numeric(column: Sequence[Cell]) -> bool:
    return any(not isinstance(cell, str) for cell in column)


def _inline(cell: Measured | float) -> str:
    return format_value(cell) if isinstance(cell, float) else f"{format_value(cell.value)} {format_interval(cell)}"


def _stacked(cell: Measured | float) -> str:
    return _inline(cell).replace(" ", "\n", 1)


def _one_line(text: str) -> str:
    """Without line breaks, escape sequences and other control characters."""
    return "".join(c if c.isprintable() else " " for c in text)
