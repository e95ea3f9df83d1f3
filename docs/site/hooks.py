"""A hook of mkdocs: what pages link to outside docs/ becomes part of the site, so that no link has to be given up.

Links are written as GitHub reads them, relative to the file that they stand in. On the site, files of docs/ lie at the
top and all others under their path in the repository: a page if it is Markdown, else the file itself. They are taken
along if the navigation names them or a page links to them, and what is taken along takes along what it links to (the
leaderboard's site, for one, its records).
The front page of the repository, README.md, is that of the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_TARGET = re.compile(r"(?<=\]\()[^)\s#?:]+(?=[)\s#?])")
_TARGET_IN_HTML = re.compile(r'(?:(?<=href=")|(?<="href":"))[^"#?:]+(?=["#?])')  # of an element, or of data inside
_MARK = re.compile(r"^ *<!-- [^\n]+ -->\n(?= *```)", flags=re.MULTILINE)
"""What tests do with the block below: for them alone, and Python-Markdown stumbles over it inside a list."""

_HERE = "docs/"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the files that lie outside docs/."""
    root = Path(config.config_file_path).parent
    waiting = [*_named(config.nav), *(target for file in files.documentation_pages() for target in _linked(file))]
    while waiting:
        path = waiting.pop()
        source = root / path
        if path.startswith((_HERE, "../")) or _on_site(path) in files.src_uris or not source.is_file():
            continue
        file = File.generated(config, _on_site(path), abs_src_path=str(source))
        files.append(file)
        if path.endswith((".md", ".html")):
            waiting += _linked(file)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between files of the repository, as links between files of the site; tests' marks go."""

    def rewritten(match: re.Match[str]) -> str:
        target = _on_site(_resolved(match[0], page.file))
        if target not in files.src_uris:
            return match[0]  # mkdocs will complain
        return posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")

    return _TARGET.sub(rewritten, _MARK.sub("", markdown))


def _named(nav: object) -> list[str]:
    """Every path in a navigation."""
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ()
    return [path for entry in entries for path in _named(entry)]


def _linked(file: File) -> list[str]:
    """Paths in the repository of what a page links to."""
    target = _TARGET if file.is_documentation_page() else _TARGET_IN_HTML
    return [_resolved(found, file) for found in target.findall(file.content_string)]


def _resolved(target: str, file: File) -> str:
    path = file.src_uri if file.generated_by else _HERE + file.src_uri
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def _on_site(path: str) -> str:
    """Where a file of the repository lies on the site."""
    return "index.md" if path == "README.md" else path.removeprefix(_HERE)
