"""The page in a real browser: it sorts, filters, opens cards, works with keys alone, and asks nothing of anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from board_samples import HOSTILE, METHODS, conditions, hostile_record
from devtools import CHROMIUM, Browser, chromium
from record_samples import sample

from maa_bench.record import AGGREGATE, RunRecord
from maa_bench.report.board_data import board_data
from maa_bench.report.board_types import Board
from maa_bench.report.site import page
from maa_bench.report.tables import NOTHING, Extra, Ranged

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH (Debian: apt-get install chromium)"),
]

CARD = "document.getElementById('card')"
CELLS = "[...document.querySelectorAll('#table tbody tr')].map((row) => row.querySelector('.open').textContent)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def board() -> Board:
    records = conditions()
    seen = [r.model_copy(update={"split": r.split.model_copy(update={"name": "seen"}), "run_id": f"{r.run_id}-seen"})
            for r in records if r.protocol.condition == "base"]  # fmt: skip
    plain = sample("synthetic_generator", run_id="synthetic-plain")[0]  # Another protocol, without a name.
    own = Extra(Ranged(0.625, (0.5, 0.75)), distances={AGGREGATE: {"spread": 1.25}})
    extras = {"synthetic_generator/synthetic-base": own}
    return board_data([*records, plain, *(RunRecord.model_validate(r.model_dump()) for r in seen)], extras)


def written(board: Board, folder: Path) -> str:
    """The address of a page."""
    path = folder / "index.html"
    path.write_bytes(page(board).encode())
    return path.as_uri()


@pytest.fixture(scope="module")
def address(board: Board, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(board, tmp_path_factory.mktemp("site"))


@pytest.fixture
def opened(browser: Browser, address: str) -> Iterator[Browser]:
    """The page as it opens; afterwards nobody was asked and nothing was complained of."""
    browser.open(address)
    yield browser
    assert browser.errors == []
    assert [url.partition("#")[0] for url in browser.requests] == [address]


def choose(browser: Browser, select: str, value: str) -> None:
    """What picking an option of a select does."""
    browser.run(
        f"(() => {{ const node = document.getElementById({json.dumps(select)}); node.value = {json.dumps(value)}; "
        "node.dispatchEvent(new Event('change', {bubbles: true})) })()"
    )


def values(board: Board, method: str, metric: str = "mean", split: str = "unseen") -> Any:
    """A method's number in the base group."""
    (row,) = (
        row
        for group in board["groups"]
        if group["split"] == split and group["condition"] == "base"
        for row in group["rows"]
        if row["method"] == method
    )
    return row["metrics"][metric]


def test_it_opens_on_the_headline_with_every_method(opened: Browser, board: Board) -> None:
    order = sorted(METHODS, key=lambda name: -values(board, name)[0])
    assert opened.run(CELLS) == order
    assert opened.run("document.getElementById('choose-split').value") == "unseen"
    shown = opened.run("document.querySelector('#table tbody tr:nth-child(2) td').innerText.split(/\\s/)[0]")
    assert float(shown) == pytest.approx(values(board, order[1])[0], abs=0.0051)


def test_a_click_on_a_header_sorts_and_says_so(opened: Browser, board: Board) -> None:
    opened.click("[data-sort='qualified_rate']")
    ordered = opened.run(CELLS)
    rates = [values(board, name, "qualified_rate")[0] for name in ordered]
    assert rates == sorted(rates, reverse=True)
    sorts = (
        "[...document.querySelectorAll('th[aria-sort]')].map((th) => [th.textContent, th.getAttribute('aria-sort')])"
    )
    assert opened.run(sorts) == [["qualified_rate", "descending"]]
    opened.click("[data-sort='qualified_rate']")
    assert [values(board, name, "qualified_rate")[0] for name in opened.run(CELLS)] == sorted(rates)
    assert opened.run(sorts) == [["qualified_rate", "ascending"]]
    opened.click("[data-sort='best_selected']")
    assert opened.run(CELLS)[-1] == "expert", "what has no value is last"
    opened.click("[data-sort='best_selected']")
    assert opened.run(CELLS)[-1] == "expert", "in either direction"


def test_filters_hide_methods_and_never_controls(opened: Browser) -> None:
    controls = {"random_seen", "bc_on_prompts", "expert"}
    opened.click("#families input[value='meta']")
    assert set(opened.run(CELLS)) == controls | {"synthetic_generator"}
    opened.click("#search")
    opened.type("no such method")
    opened.wait(f"{CELLS}.length === 3")
    assert set(opened.run(CELLS)) == controls
    assert opened.run("document.activeElement.id") == "search", "typing goes on"


def test_the_split_and_the_condition_change_the_table(opened: Browser) -> None:
    choose(opened, "choose-condition", "shots=50")
    assert "shots=50" in opened.run("document.getElementById('caption').textContent")
    choose(opened, "choose-split", "seen")
    assert opened.run("document.getElementById('choose-condition').value") == "base", "seen has no other"
    assert "split=seen" in opened.run("location.hash")


def test_a_legacy_metric_carries_a_warning(opened: Browser) -> None:
    assert opened.run("document.getElementById('legacy-note').hidden") is True
    choose(opened, "choose-metric", "legacy_top5")
    assert opened.run("document.getElementById('legacy-note').hidden") is False
    assert "selects on the very rollouts" in opened.run("document.getElementById('legacy-note').innerText")
    assert "legacy_top5 †" in opened.run("document.querySelector('#table thead').innerText")


def test_the_interquartile_mean_can_be_chosen_and_tasks_show_the_mean_beside_it(opened: Browser) -> None:
    choose(opened, "choose-metric", "iqm")
    row = "document.querySelector('tr[data-row=\"synthetic_generator/synthetic-base\"]').innerText"
    assert ".63 [.50, .75]" in opened.run(row)
    opened.click("[data-row='synthetic_generator/synthetic-base'] .open")
    headings = opened.run(f"[...{CARD}.querySelectorAll('h3')].map((node) => node.textContent)")
    assert "By task: mean" in headings
    assert any(heading.startswith("iqm over shots") for heading in headings)


def test_a_card_shows_diversity_and_what_was_not_measured(opened: Browser) -> None:
    opened.click("[data-row='synthetic_generator/synthetic-base'] .open")
    section = f"[...{CARD}.querySelectorAll('section')].find((node) => node.innerText.startsWith('Diversity'))"
    cells = opened.run(f"[...{section}.querySelectorAll('tr')].map((row) => row.lastChild.textContent)")
    assert cells == [NOTHING, "1.25", NOTHING]


def test_a_card_opens_with_everything_and_escape_closes_it(opened: Browser) -> None:
    opened.click("[data-row='synthetic_generator/synthetic-base'] .open")
    assert opened.run(f"{CARD}.open && {CARD}.matches(':modal')") is True
    text = opened.run(f"{CARD}.innerText")
    for words in ("A made-up method of the family generator.", "Nobody et al., Made Up, 2099", "made-up-east",
                  "mean over shots", "mean over prompt_noise", "mean over prompt_source", "Cost against success",
                  "synthetic-base", "numpy 1.26.4", "a CPU"):  # fmt: skip
        assert words in text
    assert opened.run(f"{CARD}.querySelectorAll('svg.chart').length") == 4
    href = opened.run(f"{CARD}.querySelector('.files a').getAttribute('href')")
    assert href == "../../results/synthetic_generator/synthetic-base/record.json"
    named = f"document.getElementById({CARD}.getAttribute('aria-labelledby')).textContent"
    assert opened.run(named).startswith("synthetic_generator")
    opened.press("Escape")
    opened.wait(f"!{CARD}.open")
    opened.wait("!location.hash.includes('card=')")  # the event of closing comes after it
    assert opened.run("document.activeElement.textContent") == "synthetic_generator", "the focus is back"


def test_a_card_shows_the_curves_of_other_protocols_on_the_same_suite_and_split(opened: Browser, board: Board) -> None:
    plain = next(group for group in board["groups"] if group["condition"] == "")
    choose(opened, "choose-protocol", plain["protocol"])
    opened.click("#table .open")
    assert "mean over shots, synthetic-v1" in opened.run(f"{CARD}.innerText")


def test_the_card_s_cost_can_be_chosen(opened: Browser) -> None:
    opened.click("[data-row='synthetic_generator/synthetic-base'] .open")
    opened.run("document.getElementById('cost').focus()")
    choose(opened, "cost", "peak_mb")
    assert "peak MB (logarithmic)" in opened.run(f"{CARD}.textContent")
    assert opened.run("document.activeElement.id") == "cost", "the focus stays"
    opened.click("#close")
    opened.wait(f"!{CARD}.open")


def test_back_closes_a_card(opened: Browser) -> None:
    opened.click("[data-row='synthetic_meta/synthetic-base'] .open")
    opened.wait(f"{CARD}.open")
    opened.run("history.back()")
    opened.wait(f"!{CARD}.open")


def test_keys_alone_are_enough(opened: Browser) -> None:
    for _ in range(60):
        opened.press("Tab")
        if opened.run("document.activeElement.dataset.sort === 'lift'"):
            break
    focus = "(() => { const style = getComputedStyle(document.activeElement); return style.outlineStyle })()"
    assert opened.run(focus) == "solid", "the focus is seen"
    opened.press("Enter")
    assert opened.run("document.querySelector('th[aria-sort]').textContent") == "lift"
    assert opened.run("document.activeElement.dataset.sort") == "lift", "and stays where it was"
    for _ in range(60):
        opened.press("Tab")
        if opened.run("document.activeElement.className === 'open'"):
            break
    name = opened.run("document.activeElement.textContent")
    opened.press("Enter")
    opened.wait(f"{CARD}.open")
    for _ in range(12):
        opened.press("Tab")
        inside = f"{CARD}.contains(document.activeElement) || document.activeElement === document.body"
        assert opened.run(inside) is True, "the focus does not leave an open card"
    opened.press("Escape")
    opened.wait(f"!{CARD}.open")
    assert opened.run("document.activeElement.textContent") == name


def test_a_view_can_be_linked(browser: Browser, address: str) -> None:
    browser.open(address)
    choose(browser, "choose-condition", "prompt_noise=0.4")
    choose(browser, "choose-metric", "oracle_best")
    browser.click("[data-sort='lift']")
    browser.click("[data-row='synthetic_meta/synthetic-prompt_noise-0.4'] .open")
    link, order = browser.run("location.href"), browser.run(CELLS)
    browser.open(link)
    assert browser.run("document.getElementById('choose-condition').value") == "prompt_noise=0.4"
    assert browser.run("document.getElementById('choose-metric').value") == "oracle_best"
    assert browser.run("document.querySelector('th[aria-sort]').textContent") == "lift"
    assert browser.run(CELLS) == order
    assert browser.run(f"{CARD}.open && {CARD}.innerText").startswith("synthetic_meta")
    assert browser.run("location.href") == link
    browser.open(f"{address}#card=expert/synthetic-shots-1")
    assert browser.run("document.getElementById('choose-condition').value") == "shots=1", "a card finds its group"


@pytest.mark.parametrize(
    "hash_", ["#suite=<img src=x onerror=alert(1)>&metric=x&sort=x&card=../..", "#%ff%00&&==", "#card"]
)
def test_a_broken_link_shows_the_headline(browser: Browser, address: str, hash_: str) -> None:
    browser.open(address + quote(hash_, safe="#&=%"))
    assert len(browser.run(CELLS)) == len(METHODS)
    assert browser.errors == []


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_and_do_nothing(browser: Browser, tmp_path: Path, text: str) -> None:
    board = board_data([hostile_record(text)])
    browser.open(written(board, tmp_path))
    browser.click("#table .open")
    browser.wait(f"{CARD}.open")
    assert browser.errors == []
    assert len(browser.requests) == 1
    assert browser.run("document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert browser.run("document.scripts.length") == 2
    assert browser.run(f"{CARD}.querySelectorAll('a').length") == 0
    for where in ("#card-title bdi", ".summary bdi", "#table .open bdi"):
        assert browser.run(f"document.querySelector({json.dumps(where)}).textContent") == text


@pytest.mark.parametrize("width", [360, 390, 700, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, address: str, width: int) -> None:
    for hash_ in ("", "#card=synthetic_generator/synthetic-base"):
        browser.open(address + hash_, width=width, height=800)
        assert browser.run("document.documentElement.scrollWidth") == width
        assert browser.run(f"{CARD}.scrollWidth <= {CARD}.clientWidth") is True
    browser.open(address, width=width, height=800)
    mean = browser.run("document.querySelector('#table tbody td').getBoundingClientRect().right")
    assert mean <= width, "the chosen metric is seen without scrolling"


def test_light_and_dark_follow_the_system_until_the_button_says_otherwise(browser: Browser, address: str) -> None:
    light = "getComputedStyle(document.body).backgroundColor"
    browser.open(address, dark=False)
    white = browser.run(light)
    browser.open(address, dark=True)
    black = browser.run(light)
    assert black != white
    browser.click("#theme")
    assert browser.run(light) == white
    browser.click("#theme")
    assert browser.run(light) == black
    assert browser.errors == []
    browser.run("localStorage.clear()")
