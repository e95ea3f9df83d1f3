"""The errors that a user may meet: one line each, saying what is wrong, where, and what to do.

The command line prints the line and exits 2. Anything that is not a `MaaBenchError` is a bug of ours
(or of a plugged-in method) and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 500
"""Characters of a reason that is kept."""


class MaaBenchError(Exception):
    """Base of every error that is the user's to mend."""


class SuiteError(MaaBenchError):
    """A suite, task, split or layout file is wrong or unknown."""


class SpecError(MaaBenchError):
    """A policy specification, or parameters that do not fit one."""


class DataError(MaaBenchError):
    """A dataset on disk is truncated, altered, or of another version."""


class LeakError(DataError):
    """Something of a test task was about to reach a method's `fit`."""


class CacheError(MaaBenchError):
    """The cache folder cannot be used."""


class MethodError(MaaBenchError):
    """A method is unknown, cannot be loaded, or broke its contract."""


class ProtocolError(MaaBenchError):
    """A number or choice of the evaluation protocol is out of range."""


class DrawingError(MaaBenchError):
    """Pictures cannot be drawn on this machine, or a video not be written as asked."""


class ClusterError(MaaBenchError):
    """A Ray cluster cannot be reached, or its nodes are not alike."""


class RecordError(MaaBenchError):
    """A run record cannot be read or does not follow the schema."""


class OptionError(MaaBenchError, ValueError):
    """An argument of a Gymnasium environment is unknown or out of range; a `ValueError` too, as is usual there."""


def one_line(text: str, longest: int = LONGEST) -> str:
    """A stranger's words, fit for a line of ours: no line breaks, and not endless."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the nearest known names, or the whole list where none is near."""
    options = sorted(known)
    near = difflib.get_close_matches(name, options, n=3, cutoff=0.6)
    if near:
        return " Did you mean " + " or ".join(repr(n) for n in near) + "?"
    return " Known: " + ", ".join(options) + "." if options else ""
