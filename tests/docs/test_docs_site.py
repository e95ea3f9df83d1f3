"""The documentation site: it builds without a warning, asks nothing of anybody, and says what GitHub shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from doc_pages import PAGES, ROOT, text_of
from markdown_it import MarkdownIt

pytestmark = pytest.mark.docs

COUNTED = ("h1", "h2", "h3", "h4", "li", "table", "tr", "td", "pre", "img", "strong", "em", "p")
"""Elements of which a page has as many on the site as CommonMark says."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a warning, a dead link or a page that nothing leads to ends the build."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},  # an advertisement of its theme, printed as the theme is loaded
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


class _Elements(HTMLParser):
    """Counts elements, and collects what a browser would fetch, all inside of an element if one is named."""

    def __init__(self, html: str, inside: str = "") -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.fetched: list[str] = []
        self._inside, self._open = inside, not inside
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = self._open or tag == self._inside
        self.found[tag] += self._open
        here = dict(attrs)
        fetched = here.get("src") or (here.get("href") if tag == "link" else None)
        self.fetched += [fetched] if fetched else []

    def handle_endtag(self, tag: str) -> None:
        self._open = (self._open and tag != self._inside) or not self._inside


def _built(page: str) -> str:
    """Where a page lies on the site."""
    path = page.removeprefix("docs/")
    return str(Path(path).with_name("index.html") if path.endswith("README.md") else Path(path).with_suffix(".html"))


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        for target in _Elements(page.read_text(encoding="utf-8")).fetched:
            assert not re.match(r"(\w+:)?//", target), f"{page.relative_to(site)}: {target}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.parametrize("page", [page for page in PAGES if page != "README.md"])
def test_a_page_has_the_parts_that_it_has_on_github(site: Path, page: str) -> None:
    """Python-Markdown is not CommonMark: a list without a blank line before it, say, is no list there."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text_of(page), flags=re.DOTALL)  # a dataset's card begins with its metadata
    expected = _Elements(MarkdownIt("commonmark").enable("table").render(text)).found
    found = _Elements((site / _built(page)).read_text(encoding="utf-8"), inside="article").found
    assert {tag: found[tag] for tag in COUNTED} == {tag: expected[tag] for tag in COUNTED}


def test_readers_find_every_page(site: Path) -> None:
    assert {page for page in PAGES if page != "README.md" and not (site / _built(page)).is_file()} == set()


def test_what_is_linked_to_outside_docs_is_taken_along(tmp_path: Path) -> None:
    pages = {
        "docs/index.md": "[method](../baselines/ours/README.md#how), [board](../board/site/index.html), [a](https://a.invalid)",
        "docs/other.md": "[start](../README.md)\n\n1. a\n\n    <!-- not run: `x` -->\n    ```bash\n    b\n    ```\n",
        "README.md": "of the repository",
        "baselines/ours/README.md": "# Ours\n\n## How\n\n[code](ours.py) and [other](../../docs/other.md)",
        "baselines/ours/ours.py": "1",
        "board/site/index.html": '<a href="style.css">x</a> <script>{"href":"../../results/r.json"}</script>',
        "board/site/style.css": "",
        "results/r.json": "{}",
        "results/not-linked.json": "{}",
        "mkdocs.yml": f"site_name: s\nuse_directory_urls: false\nhooks: [{ROOT / 'docs' / 'site' / 'hooks.py'}]\n",
    }
    for name, text in pages.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    made = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert made >= {"baselines/ours/ours.py", "board/site/style.css", "results/r.json", "board/site/index.html"}
    assert "results/not-linked.json" not in made
    assert 'href="baselines/ours/index.html#how"' in (out / "index.html").read_text()
    assert 'href="../../other.html"' in (out / "baselines" / "ours" / "index.html").read_text()
    assert 'href="index.html">start' in (out / "other.html").read_text()
    assert "not run" not in (out / "other.html").read_text()
