r"""Drawing a `Table` in LaTeX, with booktabs: the best method of each column in bold, intervals small beside the value.

The file that is made of such tables is both a document (`pdflatex table.tex`) and a part of one (`\input{table}`); what
a paper has to load stands at its top. Whatever a name holds comes out as text that compiles: no command, no line break,
no ligature, no character that pdflatex has no glyph for.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from maa_bench.report.tables import Cell, Measured, Table, format_interval, format_value

_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,:;!?()/+=@")
_COMMANDS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\symbol{34}", "'": "{'}", "`": r"\textasciigrave{}", "-": "{-}", "–": "--",  # noqa: RUF001
    "[": "{[}", "]": "{]}", "*": "{*}", "†": r"$\dagger$", "‡": r"$\ddagger$", "…": r"\dots{}",
    "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "æ": r"\ae{}", "Æ": r"\AE{}",
}  # fmt: skip
r"""A bracket or a star behind `\\` would be its argument; two hyphens would be a dash."""
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u030a": "r", "\u030c": "v",
    "\u0327": "c",
}  # fmt: skip

_ABREAST = 8
"""With more columns than these, their names stand upright."""

_HEAD = r"""% Made from the run records under results/ by `maa-bench leaderboard`; never edited by hand.
% By itself: pdflatex {name}. In a paper: \usepackage{booktabs,graphicx}, then \input{{stem}}.
% Best method of each column in bold (ties too), among methods only; controls and ceilings stand below the rules.
% Columns with a dagger select on what they report and have no best.
\expandafter\ifx\csname @nodocument\endcsname\relax % inside a document
  \def\maabenchbegin{}\def\maabenchend{}
\else
  \documentclass[10pt]{article}
  \usepackage[a4paper,margin=15mm]{geometry}
  \usepackage{booktabs,graphicx}
  \def\maabenchbegin{\begin{document}}\def\maabenchend{\end{document}}
\fi
\providecommand\maabenchci[1]{\,{\tiny#1}}
\maabenchbegin
"""


@dataclass(frozen=True)
class Float:
    """A table with what it needs to stand in a paper.

    Attributes:
        table: a row a method; what is drawn.
        caption, label: plain text; the label's letters, digits and hyphens.
        kinds: (n_rows,) 0 of a method under test, others of what stands apart from them; a rule where it changes.
    """

    table: Table
    caption: str
    label: str
    kinds: tuple[int, ...]


def latex_document(groups: Iterable[Iterable[Float]], name: str) -> str:
    """All tables in one file of that name, which compiles by itself and inside a paper.

    Args:
        groups: tables that belong together. Each group ends with a clear page: LaTeX gives up on a long file of nothing
            but floats.
        name: of the file.
    """
    head = _HEAD.replace("{name}", name).replace("{{stem}}", "{" + name.removesuffix(".tex") + "}")
    parts = ("".join("\n" + to_latex(item) for item in group) + "\\clearpage\n" for group in groups)
    return head + "".join(parts) + "\n\\maabenchend\n"


def to_latex(item: Float) -> str:
    """One table environment; ends with a newline."""
    table = item.table
    tall = len(table.header) > _ABREAST
    best = [_best(table, column, item.kinds) for column in range(len(table.header))]
    lines = [
        r"\begin{table}[htbp]", r"\centering", rf"\caption{{{latex_text(item.caption)}}}",
        rf"\label{{tab:{item.label}}}", r"\scriptsize", r"\setlength{\tabcolsep}{3pt}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}", r"\toprule",
    ]  # fmt: skip
    names = [latex_text(name) for name in table.header]
    lines.append(" & ".join([names[0], *(_upright(name, tall) for name in names[1:])]) + r" \\")
    before: int | None = None
    for number, (row, kind) in enumerate(zip(table.rows, item.kinds, strict=True)):
        if kind != before:
            lines.append(r"\midrule")
        before = kind
        cells = (_cell(cell, number in best[column]) for column, cell in enumerate(row))
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\footnotesize {latex_text(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}", ""])


def latex_text(text: str) -> str:
    """Any text as itself, on one line. What has no glyph becomes its code point, e.g. `(U+4E2D)`."""
    return "".join(map(_letter, text))


def _letter(c: str) -> str:
    if c in _PLAIN:
        return c
    if c in _COMMANDS:
        return _COMMANDS[c]
    if c.isspace() or not c.isprintable():
        return " "
    parts = unicodedata.normalize("NFD", c)
    if len(parts) == 2 and parts[1] in _ACCENTS and parts[0].isascii() and parts[0].isalpha():
        letter = {"i": r"\i", "j": r"\j"}.get(parts[0], parts[0])
        return rf"\{_ACCENTS[parts[1]]}{{{letter}}}"
    return f"(U+{ord(c):04X})"


def _best(table: Table, column: int, kinds: Sequence[int]) -> set[int]:
    """Rows of the methods under test whose number, as it is shown, is the column's highest."""
    if any(mark in table.header[column] for mark in "†‡"):
        return set()
    cells = [row[column] for row in table.rows]
    numbers = {
        i: round(cell.value if isinstance(cell, Measured) else cell, 2)
        for i, (cell, kind) in enumerate(zip(cells, kinds, strict=True))
        if kind == 0 and not isinstance(cell, str)
    }
    return {i for i, number in numbers.items() if number == max(numbers.values())}


def _cell(cell: Cell, best: bool) -> str:
    if isinstance(cell, str):
        return latex_text(cell)
    value = format_value(cell.value if isinstance(cell, Measured) else cell).replace("-", "$-$")
    interval = rf"\maabenchci{{{format_interval(cell).replace('-', '$-$')}}}" if isinstance(cell, Measured) else ""
    return (rf"\textbf{{{value}}}" if best else value) + interval


def _upright(name: str, tall: bool) -> str:
    return rf"\rotatebox{{90}}{{{name}}}" if tall else name
