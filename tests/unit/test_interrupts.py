"""Ctrl-C is neither lost in a library's callbacks nor delivered in the middle of what must be whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from maa_bench.execution.interrupts import ctrl_c_later, ctrl_c_when_asked


@pytest.fixture(autouse=True)
def _a_terminals_ctrl_c() -> Iterator[None]:
    """Who runs the tests in the background of a script has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Swallows:
    """Python prints what a destructor raises, and goes on: Ray has such ones."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_destructor_loses_ctrl_c_and_ours_does_not() -> None:
    Swallows()  # without us: nothing is raised
    steps = []

    def loop() -> None:
        with ctrl_c_when_asked() as deliver:
            Swallows()
            steps.append("went on")
            deliver()
            steps.append("too far")

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert steps == ["went on"]


def test_without_ctrl_c_nothing_is_delivered_and_the_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with ctrl_c_when_asked() as deliver:
        deliver()
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_background_job_that_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ctrl_c_when_asked() as deliver:
            signal.raise_signal(signal.SIGINT)
            deliver()
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("signals", "kept"), [(1, [1]), (2, [1])])
def test_one_is_delivered_at_the_end_and_a_second_at_once(signals: int, kept: list[int]) -> None:
    steps = []

    def loop() -> None:
        with ctrl_c_when_asked():
            signal.raise_signal(signal.SIGINT)
            steps.append(1)
            if signals == 2:
                signal.raise_signal(signal.SIGINT)
                steps.append(2)

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert steps == kept


def test_later_means_after_the_block() -> None:
    steps = []

    def start() -> None:
        with ctrl_c_later():
            signal.raise_signal(signal.SIGINT)
            steps.append("whole")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert steps == ["whole"]


def test_elsewhere_than_in_the_main_thread_handlers_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with ctrl_c_when_asked() as deliver, ctrl_c_later():
            deliver()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
