"""What all figures share: style, files with the same bytes for the same data, and colours of methods and controls."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def style() -> Iterator[None]:
    """seaborn's white grid at paper size; matplotlib's global state is left as it was."""
    import matplotlib as mpl
    import seaborn as sns

    # The salt makes the ids inside an SVG the same every time.
    with sns.axes_style("whitegrid"), sns.plotting_context("paper"), mpl.rc_context({"svg.hashsalt": "maa-bench"}):
        yield


def file_bytes(figure: Figure, stem: str) -> dict[str, bytes]:
    """The figure as PNG and SVG, by file name; without the time, and with the letters of the SVG as outlines."""
    formats: dict[str, dict[str, Any]] = {"png": {"dpi": 200}, "svg": {"metadata": {"Date": None}}}
    files = {}
    for suffix, options in formats.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, **options)
        figure.set_layout_engine("none")  # Laid out once: it takes as long as drawing.
        files[f"{stem}.{suffix}"] = buffer.getvalue()
    return files


def plain(name: str, most: int = 40) -> str:
    """A name as matplotlib draws it as it stands: no mathematics, no line break, not so long that nothing else fits."""
    text = "".join(c if c.isprintable() else " " for c in name)
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text  # matplotlib leaves labels with `_` out of legends
