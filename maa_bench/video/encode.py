"""Frames into a file: gif by Pillow, mp4 by the ffmpeg that comes with the package imageio-ffmpeg."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from maa_bench.errors import DrawingError, did_you_mean
from maa_bench.simulators import Pixels

FORMATS = ("mp4", "gif")

MAX_FPS = 50
"""A gif counts in hundredths of a second, and viewers slow down what is faster than two of them."""

# One thread and no dates or versions: the same frames give the same bytes.
_X264 = ["-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart", "-crf", "20"]


def choose_format(wanted: str | None) -> str:
    """The format asked for, or mp4 if it can be written here, else gif.

    Raises:
        DrawingError: an unknown format, or mp4 without the package for it.
    """
    if wanted is None:
        return "mp4" if _has_ffmpeg() else "gif"
    if wanted not in FORMATS:
        raise DrawingError(f"--format {wanted!r} is unknown.{did_you_mean(wanted, FORMATS)}")
    if wanted == "mp4" and not _has_ffmpeg():
        raise DrawingError("--format mp4 needs ffmpeg: pip install 'maa-bench[video]', or use --format gif")
    return wanted


def encode(frames: Iterator[Pixels], fps: int, kind: str, later: Sequence[tuple[int, int, int]] = ()) -> bytes:
    """All frames as the bytes of a gif or mp4 file.

    Args:
        frames: (height, width, 3) uint8, of one size with even sides.
        fps: frames a second. kind: `gif` or `mp4`.
        later: colours that must be true though the first frame lacks them: a gif has 256, taken from there.
    """
    return _gif(frames, fps, later) if kind == "gif" else _mp4(frames, fps)


def _gif(frames: Iterator[Pixels], fps: int, later: Sequence[tuple[int, int, int]]) -> bytes:
    # One palette for all frames: what stands still has the same colours in all of them, and is stored once.
    first = next(frames)
    bars = np.repeat(np.array(later, np.uint8).reshape(-1, 1, 3), first.shape[1], axis=1).repeat(3, axis=0)
    palette = Image.fromarray(np.concatenate([first, bars])).quantize(dither=Image.Dither.NONE)
    images = (
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in chain([first], frames)
    )
    buffer = io.BytesIO()
    next(images).save(buffer, "gif", save_all=True, append_images=images, duration=gif_delay(fps), loop=0)
    return buffer.getvalue()


def gif_delay(fps: int) -> int:
    """Milliseconds a frame, in the tens that a gif knows."""
    return 10 * round(100 / fps)


def _mp4(frames: Iterator[Pixels], fps: int) -> bytes:
    import imageio_ffmpeg

    first = next(frames)
    height, width, _ = first.shape
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        writer = imageio_ffmpeg.write_frames(
            path, (width, height), fps=fps, codec="libx264", quality=None, macro_block_size=2, output_params=_X264
        )
        try:
            writer.send(None)
            writer.send(np.ascontiguousarray(first))
            for frame in frames:
                writer.send(np.ascontiguousarray(frame))
        finally:
            writer.close()
        return path.read_bytes()


def _has_ffmpeg() -> bool:
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # not installed; or no binary for this machine
        return False
    return True
