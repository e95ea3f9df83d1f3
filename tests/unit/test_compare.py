"""`maa-bench compare`: which records it takes, which it refuses, and what it says of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from record_samples import LAYOUTS, TASKS, episode_rows, episode_table, make_record

from maa_bench.cli import main
from maa_bench.compare import Run, compare_runs, find_runs, format_p, format_share, verdict
from maa_bench.errors import OptionError, RecordError
from maa_bench.results import load_record, write_record
from maa_bench.stats.joint import Difference

SEEDS = (0, 1, 2, 3)


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def put(results: Path, method: str, run_id: str = "run-1", success: float = 0.5, **changes: Any) -> Path:
    """Write a record of four training seeds where it belongs; `rows__*` go to `episode_rows`."""
    of_rows = {k.removeprefix("rows__"): changes.pop(k) for k in list(changes) if k.startswith("rows__")}
    table = episode_table(episode_rows(method, **{"seeds": SEEDS, "success": success, **of_rows}))
    folder = results / method / run_id
    write_record(folder, make_record(table, run_id=run_id, **changes), table)
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A good and a poor method on two splits, and one of a single policy on one of them."""
    folder = tmp_path / "results"
    for run_id, split in (("u", "unseen"), ("s", "seen")):
        rows = {} if split == "unseen" else {"split__name": "seen"}
        for method, success in (("good", 0.95), ("poor_one", 0.1)):
            _put_split(folder, method, f"{method}-{run_id}", success, split, rows)
    put(folder, "single", "single-u", 0.5, rows__candidates=1, method__deterministic_candidates=True)
    return folder


def _put_split(results: Path, method: str, run_id: str, success: float, split: str, changes: dict[str, Any]) -> None:
    rows = [{**row, "split": split} for row in episode_rows(method, seeds=SEEDS, success=success)]
    table = episode_table(rows)
    write_record(results / method / run_id, make_record(table, run_id=run_id, **changes), table)


@pytest.fixture
def compare(
    results: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Ended]:
    """Run the verb in this process, beside the results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setenv("COLUMNS", "120")

    def run(*args: object) -> Ended:
        return Ended(main(["compare", *map(str, args)]), *capfd.readouterr())

    return run


def refused(ended: Ended, *parts: str) -> None:
    """It ended with one line that says `parts`."""
    assert (ended.code, ended.out) == (2, ""), ended
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line


def test_a_clear_difference_is_said_and_shown_by_task(compare: Callable[..., Ended]) -> None:
    ended = compare("poor_one", "good", "--split", "unseen")
    assert (ended.code, ended.err) == (0, "")
    assert "good is better than poor_one by ." in ended.out
    assert "training seeds: 4, candidates: 4" in ended.out
    assert "P(a training run of poor_one scores above one of good) = .0" in ended.out
    table = ended.out.splitlines()[-len(TASKS) :]
    assert [line.split()[0] for line in table] == list(TASKS)
    assert "p (Holm)" in ended.out


def test_json_is_one_document_with_everything(compare: Callable[..., Ended], results: Path) -> None:
    got = json.loads(compare("good", "poor_one", "--split", "unseen", "--json").out)
    records = [load_record(results / m / f"{m}-u") for m in ("good", "poor_one")]
    assert [m["run_id"] for m in got["methods"]] == ["good-u", "poor_one-u"]
    assert [m["value"] for m in got["methods"]] == [r.metrics.aggregate.mean.value for r in records]
    (pair,) = got["pairs"]
    values = [r.metrics.aggregate.mean.value for r in records]
    assert pair["difference"]["value"] == pytest.approx(values[0] - values[1], abs=2e-6)
    assert pair["difference"]["lo"] > 0
    assert pair["difference"]["p_holm"] == pair["difference"]["p"] < 0.05
    assert pair["improvement"]["value"] > 0.9
    assert [numbers["task"] for numbers in pair["tasks"]] == list(TASKS)
    for numbers in pair["tasks"]:
        assert numbers["a"] == pytest.approx(records[0].metrics.tasks[numbers["task"]].mean.value, abs=1e-6)
        assert numbers["p"] <= numbers["p_holm"] <= 2 * numbers["p"] + 1e-12


def test_a_metric_that_is_no_result_is_compared_with_a_warning(compare: Callable[..., Ended]) -> None:
    def said(metric: str) -> str:
        return compare("good", "poor_one", "--split", "unseen", "--metric", metric).out

    assert "select on the rollouts that they report" in said("legacy_top5")
    assert "an upper bound, no result" in said("oracle_best")
    assert "upper bound" not in said("mean")


def test_the_same_command_prints_the_same(compare: Callable[..., Ended]) -> None:
    first, second = (compare("good", "poor_one", "--split", "seen", "--metric", "best_selected") for _ in range(2))
    assert first.out == second.out


def test_three_methods_are_three_pairs_with_holms_p_values(compare: Callable[..., Ended]) -> None:
    pairs = json.loads(compare("good", "single", "poor_one", "--split", "unseen", "--json").out)["pairs"]
    assert [(p["a"], p["b"]) for p in pairs] == [("good", "single"), ("good", "poor_one"), ("single", "poor_one")]
    lowest = min(pairs, key=lambda p: p["difference"]["p"])
    assert lowest["difference"]["p_holm"] == pytest.approx(min(1, 3 * lowest["difference"]["p"]))
    text = compare("good", "single", "poor_one", "--split", "unseen").out
    assert "among 3 pairs" in text
    assert "P(A > B)" in text


def test_runs_are_found_by_method_run_id_and_folder(results: Path) -> None:
    for names in (
        ("good-u", "poor_one-u"),
        (str(results / "good" / "good-u"), "poor_one"),
        (str(results / "good" / "good-u") + "/", str(results / "poor_one" / "poor_one-u")),
    ):
        assert [run.record.run_id for run in find_runs(names, results)] == ["good-u", "poor_one-u"]


def test_several_groups_are_listed(compare: Callable[..., Ended]) -> None:
    refused(compare("good", "poor_one"), "2 groups", "--split", "split seen; split unseen")


def test_several_runs_of_one_group_are_listed(compare: Callable[..., Ended], results: Path) -> None:
    put(results, "good", "good-again", 0.9)
    refused(compare("good", "single"), "'good' has 2 comparable runs", "good-again, good-u")
    assert compare("good-again", "single").code == 0
    same = compare("good-again", "good-u")
    assert same.code == 0
    assert "good (good-again)" in same.out


def test_other_groups_are_refused(compare: Callable[..., Ended], results: Path) -> None:
    refused(compare("good-u", "poor_one-s"), "do not compare", "split unseen and seen")
    put(results, "elsewhere", dataset__id="zoo-2", protocol__prompt_noise=0.1)
    refused(compare("good", "elsewhere"), "dataset toy-distill-1a2b and zoo-2; protocol.prompt_noise 0.0 and 0.1")
    with pytest.raises(RecordError, match="do not compare"):
        compare_runs([Run(p, load_record(p)) for p in (results / "good/good-u", results / "elsewhere/run-1")])


def test_conditions_of_a_protocol_are_told_apart(compare: Callable[..., Ended], results: Path) -> None:
    for method in ("x", "y"):
        for noise in (0.0, 0.1):
            said = {"protocol__name": "noisy-v1", "protocol__condition": f"prompt_noise={noise}" if noise else "base"}
            put(results, method, f"{method}-{noise}", protocol__prompt_noise=noise, **said)
    ended = compare("x", "y", "--protocol", "noisy-v1")
    refused(ended, "or name runs: protocol.condition base; protocol.condition prompt_noise=0.1")
    assert "noisy-v1, base; " in compare("x", "y", "--condition", "base").out
    refused(compare("x", "y", "--condition", "bas"), "none of its 2 records has --condition bas", "prompt_noise=0.1")


def test_what_cannot_be_compared_is_said(compare: Callable[..., Ended], results: Path, tmp_path: Path) -> None:
    refused(compare("good"), "two methods")
    refused(compare("good", "good"), "'good' is named twice")
    refused(compare("good-u", results / "good" / "good-u"), "are the same run")
    refused(compare("good", "por_one"), "Did you mean 'poor_one'?")
    refused(compare("good", "../results/poor_one"), "no run folder")
    refused(compare("good", "single", "--metric", "maen"), "Did you mean 'mean'?")
    refused(compare("good", "single", "--metric", "legacy_top5"), "good 4, single 1")
    refused(compare("a", "b", "--results-dir", tmp_path / "nowhere"), "no such folder")
    (results / "good" / "good-u" / "episodes.parquet").write_bytes(b"PAR1")
    refused(compare("good", "single"), "altered")


def test_a_record_whose_numbers_its_episodes_do_not_give_is_not_compared(
    compare: Callable[..., Ended], results: Path
) -> None:
    path = results / "good" / "good-u" / "record.json"
    raw = json.loads(path.read_text())
    raw["metrics"]["aggregate"]["mean"]["ci"] = [0.0, 1.0]
    path.write_text(json.dumps(raw))
    refused(compare("good", "poor_one", "--split", "unseen"), "mean of 'aggregate' is", "but its episodes give")
    assert compare("good", "poor_one", "--split", "seen").code == 0


D = Difference


@pytest.mark.parametrize(
    ("overall", "p_holm", "pairs", "seeds", "said"),
    [
        (D(0.12, 0.05, 0.19, 0.002), 0.002, 1, 4, "a is better than b by .12 [.05, .19], p = .002."),
        (D(-0.12, -0.19, -0.05, 0.002), 0.002, 1, 4, "b is better than a by .12 [.05, .19], p = .002."),
        (D(0.02, -0.04, 0.08, 0.5), 0.5, 1, 4, "No difference shown: a - b = .02 [-.04, .08], p = .500."),
        (
            D(0.12, 0.01, 0.23, 0.03),
            0.09,
            3,
            4,
            "No difference shown: a - b = .12 [.01, .23], p = .090 among 3 pairs.",
        ),
        (
            D(0.5, 0.4, 0.6, 1e-6),
            1e-6,
            1,
            1,
            "a is better than b by .50 [.40, .60], p < .001. With one training seed this says nothing of another fit.",
        ),
    ],
)
def test_verdicts(overall: Difference, p_holm: float, pairs: int, seeds: int, said: str) -> None:
    assert verdict("a", "b", overall, p_holm, pairs, seeds) == said


def test_one_training_seed_is_said_and_has_no_interval_over_runs(compare: Callable[..., Ended], results: Path) -> None:
    for method in ("one", "other"):
        put(results, method, rows__seeds=(0,))
    out = compare("one", "other").out
    assert "With one training seed this says nothing of another fit." in out
    assert "needs two training seeds" in out


def test_numbers_in_words() -> None:
    assert [format_share(x) for x in (0.123, -0.051, 1, -1, 0, -0.001)] == [
        ".12",
        "-.05",
        "1.00",
        "-1.00",
        ".00",
        ".00",
    ]
    assert [format_p(p) for p in (0.0321, 0.0004, 1.0, 0.0005)] == ["p = .032", "p < .001", "p = 1.000", "p = .001"]


def test_an_api_for_scripts(results: Path) -> None:
    chosen = find_runs(["good", "poor_one"], results, {"split": "unseen", "suite": None})
    comparison = compare_runs(chosen, "qualified_rate")
    assert comparison.metric == "qualified_rate"
    assert list(comparison.runs) == ["good", "poor_one"]
    assert chosen[0].record.protocol.episodes == LAYOUTS
    with pytest.raises(OptionError, match="knows no"):
        compare_runs(chosen, "speed")
