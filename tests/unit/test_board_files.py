"""The leaderboard's command writes the page and its data, both from the results alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from board_samples import METHODS, write_conditions

from maa_bench.report.leaderboard import BOARD, build_leaderboard
from maa_bench.report.site import PAGE


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("campaign") / "results"
    write_conditions(folder)
    return folder


def test_page_and_json_hold_the_same_data_with_lifts(results: Path, tmp_path: Path) -> None:
    paths = build_leaderboard(results, tmp_path / "out", figures=False)
    assert {tmp_path / "out" / BOARD, tmp_path / "out" / PAGE} <= set(paths)
    board = json.loads((tmp_path / "out" / BOARD).read_text(encoding="utf-8"))
    page = (tmp_path / "out" / PAGE).read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="board">(.*?)</script>', page, flags=re.DOTALL)
    assert json.loads(data) == board
    assert [group["condition"] for group in board["groups"]] == ["base", "shots=1"]
    for group in board["groups"]:
        lifts = {row["method"]: row["lift"] for row in group["rows"]}
        means = {row["method"]: row["metrics"]["mean"][0] for row in group["rows"]}
        assert set(lifts) == set(METHODS)
        span = means["expert"] - means["random_seen"]
        assert (lifts["random_seen"], lifts["expert"]) == ([0], [1]), "by definition, without an interval"
        for method in ("synthetic_generator", "synthetic_meta", "bc_on_prompts"):
            value, *interval = lifts[method]
            assert value == pytest.approx((means[method] - means["random_seen"]) / span, abs=1e-5)
            assert not interval or interval[0] <= value <= interval[1]


def test_same_results_elsewhere_give_the_same_page(results: Path, tmp_path: Path) -> None:
    again = tmp_path / "somewhere" / "runs"
    for run in sorted(results.glob("*/*"), reverse=True):
        shutil.copytree(run, again / run.relative_to(results))
    build_leaderboard(results, tmp_path / "one", figures=False)
    build_leaderboard(again, tmp_path / "two" / "deep", figures=False)
    for name in (BOARD, PAGE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / "deep" / name).read_bytes()


def test_every_link_of_the_page_leads_to_a_file(results: Path) -> None:
    out = results.parent / "leaderboard"  # As in the repository: beside the results.
    build_leaderboard(results, out, figures=False)
    page, board = out / PAGE, json.loads((out / BOARD).read_text(encoding="utf-8"))
    links = re.findall(r'href="(\.\.[^"]+)"', page.read_text(encoding="utf-8"))
    links += [file["href"] for group in board["groups"] for row in group["rows"] for file in row["files"]]
    assert len(links) > 2 * len(METHODS)
    for link in links:
        assert (page.parent / link).is_file(), link
