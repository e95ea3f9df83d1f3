"""Progress where standard error is no terminal, and where nobody wants it."""

from __future__ import annotations

import re

import pytest

from maa_bench import progress
from maa_bench.progress import Progress


class Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress.time, "monotonic", made)
    return made


def test_plain_lines_have_a_rate_and_an_eta(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().stage("evaluate", 100, "episodes") as stage:
        clock.now += 10.0
        stage.advance(20)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "evaluate: 20/100 episodes, 2 episodes/s, ETA 40 s",
        "evaluate: 20/100 episodes in 10.0 s",
    ]


def test_plain_lines_come_every_few_seconds_only(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().stage("fit", 1000, "steps") as stage:
        for _ in range(999):
            clock.now += 0.02
            stage.advance()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 + int(999 * 0.02 / progress.LINE_EVERY)
    assert all(re.search(r"steps/s, ETA \d+ s$", line) for line in lines[:-1])


def test_no_rate_yet_is_no_error(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().stage("dataset", 18, "tasks") as stage:
        clock.now += 10.0
        stage.update(0, 18)
    assert "0/18 tasks, 0 tasks/s, ETA ?" in capsys.readouterr().err


def test_what_was_done_before_is_no_part_of_the_rate(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress().stage("checkpoints", 912, "checkpoints", found=400) as stage:
        clock.now += 10.0
        stage.advance(12)
    assert capsys.readouterr().err.splitlines()[0] == ("checkpoints: 412/912 checkpoints, 1.2 checkpoints/s, ETA 417 s")


def test_quiet_is_silent(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = Progress(quiet=True)
    quiet.note("nobody reads this")
    with quiet.stage("evaluate", 10, "episodes") as stage:
        clock.now += 10.0
        stage.advance(5)
    assert (stage.done, stage.total) == (5, 10)
    assert capsys.readouterr() == ("", "")


def test_notes_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Progress().note("building [it]")
    assert capsys.readouterr() == ("", "building [it]\n")


def test_a_terminal_gets_one_display_also_for_stages_within_stages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = Progress()
    with shown.stage("evaluate", 10, "episodes") as outer:
        display = shown._bars
        with shown.stage("make_an_agent: diffusion [1]", 4, "steps") as inner:
            inner.update(4, 4)
            assert shown._bars is display, "two displays at once overwrite each other"
            shown.note("a note in between")
        outer.advance(10)
        assert shown._bars is display
        shown.note("a later note")
    text = capsys.readouterr().err
    assert "evaluate" in text
    assert "diffusion [1]" in text
    assert "10/10" in text
    assert "a later note" in text


def test_a_bar_begins_where_the_stopped_command_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    shown = Progress()
    with shown.stage("checkpoints", 912, "checkpoints", found=400):
        (bar,) = shown._bars.tasks
        assert (bar.completed, bar.total) == (400, 912)
        assert bar.speed is None, "nothing was done yet"
    assert "400/912" in capsys.readouterr().err
