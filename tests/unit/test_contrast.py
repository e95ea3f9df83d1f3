"""How far the metrics lie apart: the words say what the records say."""

from __future__ import annotations

from record_samples import sample

from maa_bench.record import Seeds
from maa_bench.report.contrast import SIDE_BY_SIDE, contrast_table, contrast_words
from maa_bench.report.tables import NOTHING, format_value


def test_words_are_made_of_the_records() -> None:
    made = [sample(name, success=s)[0] for name, s in (("make_an_agent", 0.6), ("random_seen", 0.3), ("other", 0.9))]
    words = contrast_words(made)
    assert len(words) == 3
    for record, line in zip(made[:2], words, strict=False):
        assert line.startswith(f"{record.method.name} reads ")
        for metric in SIDE_BY_SIDE:
            assert f"{format_value(record.metrics.aggregate[metric].value)} by {metric}" in line
    gap = made[0].metrics.aggregate.mean.value - made[1].metrics.aggregate.mean.value
    assert words[2].startswith(f"From random_seen to make_an_agent it is {format_value(gap)} by mean, ")


def test_every_control_is_there_and_a_method_that_was_run_twice_is_read_by_its_better_founded_run() -> None:
    few = sample("random_seen", 0.9, run_id="few", seeds=Seeds(train=(0,), base=0))[0]
    control = sample("bc_on_prompts", 0.5, method__family="control")[0]
    made = [sample("make_an_agent")[0], sample("random_seen", 0.2, run_id="many")[0], few, control]
    table = contrast_table(made)
    assert table is not None
    assert {row[0] for row in table.rows} == {
        "make_an_agent", "random_seen (few)", "random_seen (many)", "bc_on_prompts",
    }  # fmt: skip
    gap = made[0].metrics.aggregate.mean.value - made[1].metrics.aggregate.mean.value
    assert f"make_an_agent it is {format_value(gap)} by mean" in contrast_words(made)[-1]


def test_table_has_make_an_agent_and_the_controls_only() -> None:
    one = sample("expert", method__deterministic_candidates=True)[0]
    made = [sample("make_an_agent")[0], sample("random_seen")[0], sample("other")[0], one]
    table = contrast_table(made)
    assert table is not None
    assert [row[0] for row in table.rows] == ["make_an_agent", "random_seen", "expert"]
    assert table.header == ("method", "mean", "best_selected", "oracle_best (‡)", "legacy_top5 (†)", "legacy_best (†)")
    assert table.rows[2][2:] == (NOTHING,) * 4
    assert not any(line.startswith("expert") for line in contrast_words(made)), "one policy has nothing to select"
    assert contrast_table(made[2:3]) is None
