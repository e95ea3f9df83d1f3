"""The leaderboard as one static page, with its style, its script and its data inside.

It works from `file://`, asks nothing of any server and needs no build step. Everything that comes from records is data:
it lies in a script element of type `application/json`, escaped so that no text can end it, and the page's script turns
it into text nodes only. A content security policy names the one script and the one style by their hashes, so that a
browser would run nothing else even if something did get in.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib import resources

from maa_bench.report.board_types import Board

PAGE = "site/index.html"
"""The page's place in the leaderboard's folder; its links depend on it."""

_SCRIPTS = ("dom.js", "state.js", "charts.js", "table.js", "card.js", "main.js")
"""In the order in which they need each other; they become one script."""


def page(board: Board) -> str:
    """The whole page."""
    style = _read("style.css")
    script = "".join(map(_read, _SCRIPTS))
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": html.escape(policy, quote=True),
        "style": style,
        "board": embedded(board),
        "script": script,
    }
    # One pass: a text of a record that looks like a placeholder is not one.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _read("index.html"))


def embedded(board: Board) -> str:
    """JSON that can stand inside a script element: ASCII, and no character that means something to HTML."""
    text = json.dumps(board, allow_nan=False, separators=(",", ":"))  # U+2028 and its like are escaped: ASCII only
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The text's hash as a content security policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
