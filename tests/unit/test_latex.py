"""LaTeX: what a name holds comes out as text, the best methods stand out, and pdflatex takes the file."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from record_samples import sample

from maa_bench.report.latex import Float, latex_document, latex_text, to_latex
from maa_bench.report.order import entries
from maa_bench.report.paper import TASKS_ABREAST, paper_tables
from maa_bench.report.tables import NOTHING, Extra, Ranged, Table, key_of

HOSTILE = (
    r"\input{/etc/passwd}",
    "[x] at the start of a row",
    "*starred",
    "50% $x_1^2$ & #3 ~ {curly}",
    "a--b ``quoted'' <<x>> ?` |\"",
    "two\nlines\\\\",
    "Grüße, naïve café, 中文 🤖 ‮x",
    "\\end{document}",
    "^^41",
)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("make_an_agent", r"make\_an\_agent"),
        (r"\x{y}", r"\textbackslash{}x\{y\}"),
        ("50% $1 & #2", r"50\% \$1 \& \#2"),
        ("a--b", "a{-}{-}b"),
        ("[x]*", "{[}x{]}{*}"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("a\nb\x1b", "a b "),
        ("é ï ç å ß", r"\'{e} \"{\i} \c{c} \r{a} \ss{}"),
        ("中", "(U+4E2D)"),
        ("(†)", r"($\dagger$)"),
    ],
)
def test_names_are_text(text: str, escaped: str) -> None:
    assert latex_text(text) == escaped


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_tex_acts_on_is_left(text: str) -> None:
    escaped = latex_text(text)
    assert escaped.isascii()
    assert "\n" not in escaped
    commands = set(re.findall(r"\\([A-Za-z]+|.)", escaped))
    known = {"textbackslash", "textasciicircum", "textasciitilde", "textless", "textgreater", "textbar", "symbol"}
    assert commands <= known | {"textasciigrave", "i", "ss", *"{}$&#%_'\"^"}
    bare = re.sub(r"\\([A-Za-z]+(\{\d*\})?|.)", "", escaped)
    assert not set(bare) & set("$&#%_^~\\")
    assert bare.count("{") == bare.count("}")


def test_the_best_methods_are_bold_and_no_control_is() -> None:
    rows = (
        ("one", Ranged(0.801, (0.7, 0.9)), 0.5, Ranged(0.9, (0.8, 1.0))),
        ("two", Ranged(0.799, (0.7, 0.9)), -0.5, NOTHING),
        ("three", Ranged(0.5, (0.4, 0.6)), 0.1, Ranged(0.2, (0.1, 0.3))),
        ("control", Ranged(0.99, (0.9, 1.0)), 0.9, Ranged(1.0, (0.9, 1.0))),
    )
    table = Table("t", ("method", "mean", "task", "legacy_top5 (†)"), rows, ("a note",))
    text = to_latex(Float(table, "A caption", "x", (0, 0, 0, 1)))
    assert r"one & \textbf{.80}\maabenchci{[.70, .90]} & \textbf{.50} & .90\maabenchci{[.80, 1.00]} \\" in text
    assert r"two & \textbf{.80}\maabenchci{[.70, .90]} & $-$.50 & -- \\" in text
    assert "three & .50" in text
    assert "control & .99" in text
    lines = text.splitlines()
    assert lines[lines.index(r"\midrule", lines.index(r"\midrule") + 1) + 1].startswith("control")
    assert text.count(r"\textbf") == 3


def test_a_paper_gets_tasks_and_metrics_of_each_family_and_a_table_an_axis() -> None:
    labels = {"protocol__name": "few-shot-v1"}
    records = [
        sample(method, run_id=f"r{shots}", protocol__shots=shots, protocol__condition=condition, **labels)[0]
        for method in ("make_an_agent", "random_seen")
        for shots, condition in ((4, "base"), (1, "shots=1"))
    ]
    extras = {key_of(records[0]): Extra(0.5, Ranged(0.25, (0.1, 0.4)))}
    text = paper_tables(entries(records), extras, "table.tex")
    slug = "toy-v1-unseen-few-shot-v1"
    assert re.findall(r"\\label\{tab:([^}]+)\}", text) == [f"{slug}-tasks", f"{slug}-metrics", f"{slug}-shots"]
    assert r"\textbf{.25}\maabenchci{[.10, .40]}" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    assert "steps to success" not in text
    assert r"method & 1 & 4 {*} \\" in text


def test_many_tasks_are_spread_over_several_tables() -> None:
    from record_samples import episode_rows, episode_table, make_record

    tasks = tuple(f"task-{i}" for i in range(TASKS_ABREAST + 2))
    record = make_record(episode_table(episode_rows(tasks=tasks)))
    text = paper_tables(entries([record]), {}, "table.tex")
    headers = [line for line in text.splitlines() if line.startswith("method &")]
    named = [re.findall(r"task\{-\}(\d+)", line) for line in headers]
    assert [name for line in named for name in line] == [str(i) for i in range(TASKS_ABREAST + 2)]
    assert max(map(len, named)) == TASKS_ABREAST


@pytest.mark.heavy
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside a paper"])
def test_pdflatex_takes_it(tmp_path: Path, inside: bool) -> None:
    if shutil.which("pdflatex") is None or shutil.which("pdftotext") is None:
        pytest.skip("pdflatex and pdftotext are not installed")
    records = [
        sample(name, success=(i + 1) / 12, dataset__id=HOSTILE[0], split__name=HOSTILE[3], protocol__name=HOSTILE[4],
               protocol__condition="base")[0]
        for i, name in enumerate((*HOSTILE, "make_an_agent"))
    ]  # fmt: skip
    many = entries(records) * 60  # More floats than LaTeX keeps in mind.
    (tmp_path / "table.tex").write_text(paper_tables(many, {}, "table.tex"), encoding="utf-8")
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}"
    (tmp_path / "paper.tex").write_text(head + r"\begin{document}Before. \input{table} After.\end{document}")
    stem = "paper" if inside else "table"
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", f"{stem}.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    subprocess.run(["pdftotext", "-layout", f"{stem}.pdf", "out.txt"], cwd=tmp_path, check=True, timeout=60)
    text = (tmp_path / "out.txt").read_text()
    for words in ("make an agent", "[x] at the start of a row", "*starred", "50%", "{curly}", "(U+4E2D)", "a--b"):
        assert words.replace(" ", "") in re.sub(r"[ _]", "", text), words
    assert "root:" not in text
    assert ("After." in text) == inside
    assert not re.search(r"Overfull \\hbox \((?:[2-9]\d|\d{3,})", (tmp_path / f"{stem}.log").read_text()) or inside


def test_the_file_says_what_it_needs() -> None:
    text = latex_document([], "table.tex")
    assert r"\usepackage{booktabs,graphicx}, then \input{table}." in text
    assert "pdflatex table.tex" in text
