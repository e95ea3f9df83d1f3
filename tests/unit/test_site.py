"""The page as text: whole, the same every time, and no text of a record can leave the place it was put in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources

import pytest
from board_samples import HOSTILE, conditions, hostile_record

from maa_bench.report.board_data import board_data
from maa_bench.report.site import embedded, page


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text of every script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str]] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag in ("script", "style"):
            self.raw.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.raw[-1] = (self._inside, self.raw[-1][1] + data)


@pytest.fixture(scope="module")
def plain() -> Elements:
    return Elements(page(board_data(conditions())))


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_breaks_out(text: str, plain: Elements) -> None:
    board = board_data([hostile_record(text)])
    made = Elements(page(board))
    assert made.tags == plain.tags, "the same elements and attributes, whatever the records say"
    style, data, script = made.raw
    assert (style, script) == (plain.raw[0], plain.raw[2])
    assert json.loads(data[1]) == json.loads(json.dumps(board)), "and the text itself is whole"


@pytest.mark.parametrize("text", HOSTILE)
def test_data_has_no_character_that_html_reads(text: str) -> None:
    data = embedded(board_data([hostile_record(text)]))
    assert data.isascii()
    assert not re.search(r"[<>&\x00-\x1f]", data)


def test_the_policy_lets_this_style_and_this_script_run_and_nothing_else(plain: Elements) -> None:
    (policy,) = (a["content"] for _, a in plain.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    style, _, script = plain.raw
    for name, (_, text) in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert directives[name] == f"'sha256-{digest}'"
    assert directives["default-src"] == directives["base-uri"] == directives["form-action"] == "'none'"


def test_nothing_is_loaded_from_elsewhere(plain: Elements) -> None:
    for tag, attributes in plain.tags:
        assert "src" not in attributes, tag
        href = attributes.get("href")
        assert href is None or re.fullmatch(r"#\w+|data:,|\.\./[\w.]+", href)
    for kind, text in plain.raw:
        addresses = set(re.findall(r"\w+://[^\s\"']+", text)) if kind == "style" or "use strict" in text else set()
        assert addresses <= {"http://www.w3.org/2000/svg"}, "a name of SVG elements, not an address that is asked"


def test_the_script_writes_no_markup() -> None:
    folder = resources.files("maa_bench.report.site")
    for file in folder.iterdir():
        if file.name.endswith(".js"):
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function", text)
            assert "</script" not in text


def test_same_records_same_page() -> None:
    records = conditions()
    assert page(board_data(records)) == page(board_data(records[::-1]))
