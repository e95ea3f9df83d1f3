"""The command line `maa-bench`: a file a verb, and here what they share: how a command ends.

Exit codes: 0 done; 1 a check of `doctor` failed, or a bug; 2 the user's to mend; 130 Ctrl-C; 143 terminated.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from maa_bench.errors import MaaBenchError

INTERRUPTED = "interrupted: finished work is kept; run the same command to go on"


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; whatever goes wrong is one line on standard error.

    Args:
        args: arguments without the program's name; default: those of this process.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in arguments  # anywhere: who adds it to a failing command puts it at the end
    try:
        with _sigterm_unwinds(), _quiet_libraries(debug):
            code = _invoke([a for a in arguments if a != "--debug"])
            sys.stdout.flush()
            return code
    except KeyboardInterrupt:
        _stop_children()
        return _fail(INTERRUPTED, 130)
    except BrokenPipeError:
        # `maa-bench ... | head`: nobody reads on. The interpreter's own last flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            raise
        if isinstance(error, MaaBenchError):
            return _fail(f"error: {error}", 2)
        if isinstance(error, OSError):
            return _fail(f"error: {_os_error_line(error)}", 2)
        if isinstance(error, MemoryError):
            return _fail("error: out of memory; use fewer --workers. Finished work is kept", 2)
        return _fail(
            f"error: a bug in maa-bench: {type(error).__name__}: {error}; "
            "run the command again with --debug and report the traceback",
            1,
        )


def _invoke(arguments: list[str]) -> int:
    """Parse and run. Usage errors become one line like all others, so click's own `main` is not used."""
    import typer

    from maa_bench.cli.app import app

    command = typer.main.get_command(app)
    try:
        with command.make_context("maa-bench", arguments or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    except Exception as error:
        # Click's exceptions, wherever this version of typer keeps them.
        if not hasattr(error, "format_message"):
            raise
        where = getattr(getattr(error, "ctx", None), "command_path", "maa-bench")
        return _fail(f"error: {error.format_message()} (see `{where} --help`)", 2)
    return 0


def _fail(line: str, code: int) -> int:
    """Say one line on standard error; returns the exit code."""
    print(" ".join(line.split()), file=sys.stderr, flush=True)
    return code


def _os_error_line(error: OSError) -> str:
    """What the operating system refused, where, and what to do."""
    where = error.filename or "a file"
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"cannot write {where}: {reason}; make room or use another disk (--cache-dir, --results-dir)"
    if error.errno is None:  # numpy's report of a short write
        return f"cannot write {where}: {reason} (disk full?)"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot use {where}: {reason}; choose a folder that you may write to (--cache-dir, --results-dir)"
    return f"cannot use {where}: {reason}"


def _stop_children() -> None:
    """No worker process outlives an interrupted command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut this short
    if "multiprocessing" not in sys.modules:
        return
    import multiprocessing

    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    for child in children:
        child.join(5)
        if child.is_alive():
            child.kill()


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """`kill` ends a command as Ctrl-C does: half-written files are removed, worker processes stopped."""

    def leave(*_: object) -> None:
        raise SystemExit(143)

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:  # not the main thread, so not a process of ours
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _quiet_libraries(debug: bool) -> Iterator[None]:
    """Warnings of libraries, here and in worker processes, are for developers: shown with --debug or -W only."""
    if debug or sys.warnoptions:
        yield
        return
    os.environ["PYTHONWARNINGS"] = "ignore"  # for workers; empty so far, or `warnoptions` were not
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        del os.environ["PYTHONWARNINGS"]
