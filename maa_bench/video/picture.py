"""One picture of a video: views side by side, each with a caption and a border that tells how it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maa_bench.simulators import Pixels
from maa_bench.video.cells import Episode
from maa_bench.video.rollout import View

RUNNING, SUCCEEDED, FAILED = (120, 120, 120), (40, 200, 70), (215, 60, 50)
"""Border: while the episode runs, from its first success on, and at an end without one."""

BORDER = 4
INK, PAPER = (235, 235, 235), (25, 25, 25)
FONT_SIZES = range(18, 6, -1)


class Frame:
    """Where everything stands in the pictures of one video.

    Args:
        title: a line on top. episodes: those that are shown, row by row. width, height: of each view, in pixels.
    """

    def __init__(self, title: str, episodes: Sequence[Episode], width: int, height: int) -> None:
        self._title = title
        self._columns = math.ceil(math.sqrt(len(episodes)))
        widest = max((_caption(e, e.steps, True) for e in episodes), key=len)
        self._font = _font(widest, width)
        self._title_font = _font(title, self._columns * (width + 2 * BORDER) - BORDER)
        self._line = _line(self._font)
        self._top = _line(self._title_font)
        self._cell = width + 2 * BORDER, height + 2 * BORDER + self._line
        rows = math.ceil(len(episodes) / self._columns)
        # mp4 wants even numbers.
        self.width = _even(self._columns * self._cell[0])
        self.height = _even(self._top + rows * self._cell[1])

    def picture(self, views: Sequence[View]) -> Pixels:
        """(self.height, self.width, 3) uint8."""
        image = Image.new("RGB", (self.width, self.height), PAPER)
        draw = ImageDraw.Draw(image)
        draw.text((BORDER, self._top // 2), self._title, INK, self._title_font, anchor="lm")
        for index, view in enumerate(views):
            row, column = divmod(index, self._columns)
            x, y = column * self._cell[0], self._top + row * self._cell[1]
            draw.text(
                (x + BORDER, y + self._line // 2), _caption(view.episode, view.step, view.over), INK, self._font, "lm"
            )
            right, bottom = x + self._cell[0] - 1, y + self._cell[1] - 1
            draw.rectangle((x, y + self._line, right, bottom), _colour(view))
            image.paste(Image.fromarray(view.pixels), (x + BORDER, y + self._line + BORDER))
        return np.asarray(image)


def _caption(episode: Episode, step: int, over: bool) -> str:
    text = f"candidate {episode.candidate}, layout {episode.layout}, step {step}"
    if not over:
        return text
    if episode.first_success > 0:
        return f"{text}: success"
    return f"{text}: {'broke off' if episode.broke_off else 'no success'}"


def _colour(view: View) -> tuple[int, int, int]:
    if not view.over:
        return RUNNING
    return SUCCEEDED if view.episode.first_success > 0 else FAILED


def _font(text: str, width: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The largest size at which a line fits, else the smallest; the font comes with Pillow."""
    for size in FONT_SIZES:
        font = ImageFont.load_default(size)
        if font.getlength(text) <= width:
            break
    return font


def _line(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    """Height of a line of text, in pixels."""
    _, top, _, bottom = font.getbbox("Áy")
    return math.ceil(bottom - top) + 6


def _even(size: int) -> int:
    return size + size % 2
