"""Ctrl-C at the moments that it is meant for: never halfway through what must be done whole, and never lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def ctrl_c_later() -> Iterator[None]:
    """Workers are started whole or not at all, and never see Ctrl-C; ours is delivered afterwards.

    A child inherits the blocked signal, so it is deaf even while it still imports. Here the mask alone would not do:
    it holds for this thread only, and the kernel may hand the signal to another one, for which Python then raises
    KeyboardInterrupt here, between the start of a worker and the message that tells it what to be.
    """
    if not _raises_here():
        yield
        return
    from multiprocessing.resource_tracker import ensure_running

    ensure_running()  # a start would do it, and lift our mask as it does
    caught: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler or signal.SIG_DFL)
        if caught:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def ctrl_c_when_asked() -> Iterator[Callable[[], None]]:
    """Gives a function that delivers a Ctrl-C that came since; the second one is delivered at once.

    For loops around a library whose callbacks and destructors swallow exceptions, and a KeyboardInterrupt with them.
    """
    handler = signal.getsignal(signal.SIGINT) or signal.SIG_DFL
    if not _raises_here() or handler == signal.SIG_IGN:  # of a shell's background job, which Ctrl-C is not for
        yield lambda: None
        return
    caught: list[int] = []

    def deliver() -> None:
        if caught:
            signal.signal(signal.SIGINT, handler)
            caught.clear()
            signal.raise_signal(signal.SIGINT)

    def note(number: int, _: object) -> None:
        caught.append(number)
        if len(caught) > 1:
            deliver()

    signal.signal(signal.SIGINT, note)
    try:
        yield deliver
    finally:
        signal.signal(signal.SIGINT, handler)
        deliver()


def _raises_here() -> bool:
    """Ctrl-C is raised in the main thread only."""
    return threading.current_thread() is threading.main_thread()
