"""Tables: the right numbers in the right cells, and nothing lost or let loose in the drawing."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from record_samples import TASKS, episode_rows, episode_table, make_record, sample
from rich.console import Console

from maa_bench import registry
from maa_bench.errors import RecordError
from maa_bench.metrics import METRICS
from maa_bench.record import RunRecord
from maa_bench.record_metrics import MetricValue, StepsValue
from maa_bench.report.board_data import board_data
from maa_bench.report.csv_tables import LABELS, MEASURED, RUN_COLUMNS, TABLE_COLUMNS, run_rows, table_rows
from maa_bench.report.render import csv_text, markdown_text, to_csv, to_markdown, to_rich
from maa_bench.report.tables import (
    CONTROLS,
    IQM,
    IQM_NOTE,
    LEGACY_NOTE,
    LIFT,
    MANY,
    MARKED,
    NOTHING,
    ONE_POLICY_NOTE,
    ORACLE_NOTE,
    UNSAID_NOTE,
    Extra,
    Ranged,
    Table,
    cost_table,
    format_count,
    format_interval,
    format_seconds,
    format_value,
    group_key,
    in_order,
    key_of,
    method_labels,
    method_rows,
    metric_table,
    result_table,
    summary_table,
)

ENDS = ("", "_lo", "_hi")
FIVE = ("expert", "random_seen", "make_an_agent", "random_weights", "nearest_checkpoint")


def records(*names: str) -> list[RunRecord]:
    """A record of each method, better from one to the next."""
    return [sample(name, success=(i + 1) / 10)[0] for i, name in enumerate(names)]


def numbers(made: list[RunRecord], extras: dict[str, Extra] | None = None) -> list[dict[str, str]]:
    """The rows of `table.csv`."""
    return [dict(zip(TABLE_COLUMNS, row, strict=True)) for row in table_rows(made, extras)]


def drawn(table: Table, width: int) -> str:
    """What a terminal of that width shows; rich is given no way to help."""
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(to_rich(table, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_methods_come_first_then_the_controls_in_their_order() -> None:
    names = [r.method.name for r in in_order(records(*FIVE))]
    assert names == ["make_an_agent", "random_seen", "nearest_checkpoint", "random_weights", "expert"]


def test_the_strongest_control_stands_among_them_when_it_was_run() -> None:
    made = records("bc_on_prompts", *FIVE)
    names = [r.method.name for r in in_order(made)]
    assert names == [
        "make_an_agent", "random_seen", "nearest_checkpoint", "bc_on_prompts", "random_weights", "expert",
    ]  # fmt: skip
    kinds = {row["method"]: row["kind"] for row in board_data(made)["groups"][0]["rows"]}
    assert kinds["bc_on_prompts"] == "control", "whatever family its card names"
    assert set(registry.CONTROLS) < set(CONTROLS)


def test_several_methods_are_ordered_by_the_headline_and_other_controls_come_last() -> None:
    others = [sample("mean_of_all", method__family="control")[0], sample("own", method__family="ceiling")[0]]
    made = [*others, *records("aaa", "zzz"), *records("expert", "random_seen")]
    names = [r.method.name for r in in_order(made)]
    best = sorted(made[2:4], key=lambda r: -r.metrics.aggregate.mean.value)
    assert names == [*(r.method.name for r in best), "random_seen", "mean_of_all", "expert", "own"]


@pytest.mark.parametrize(
    "change",
    [
        {"suite__layouts_sha256": "b" * 64},
        {"suite__name": "toy-v2"},
        {"split__name": "seen"},
        {"split__train": ("other",)},
        {"dataset__id": "another"},
        {"protocol__shots": 50},
        {"protocol__scale": "paper"},
        {"protocol__prompt_source": "replay"},
    ],
)
def test_records_that_do_not_compare_are_never_in_one_table(change: dict[str, Any]) -> None:
    one, other = sample("a")[0], sample("b", **change)[0]
    assert group_key(one) != group_key(other)
    for make in (result_table, summary_table):
        with pytest.raises(RecordError, match="cannot stand in one table"):
            make([one, other])


def test_methods_compare_whatever_their_seeds_and_machine() -> None:
    fewer = make_record(episode_table(episode_rows("b", seeds=(7,))))
    assert group_key(fewer) == group_key(sample("a")[0])


def test_no_records_is_an_error() -> None:
    with pytest.raises(RecordError, match="no records"):
        result_table([])


def test_result_table_has_a_row_a_task_and_the_aggregate_last() -> None:
    made = records("make_an_agent", "random_seen")
    table = result_table(made)
    assert table.header == ("task", "make_an_agent", "random_seen")
    assert [row[0] for row in table.rows] == [*TASKS, "aggregate"]
    assert table.rows[0][1] == made[0].metrics.tasks[TASKS[0]].mean
    assert table.rows[-1][2] == made[1].metrics.aggregate.mean
    assert result_table(made, "qualified_rate").rows[-1][1] == made[0].metrics.aggregate.qualified_rate


def test_summary_table_holds_every_metric_and_marks_the_legacy_one() -> None:
    made = records("make_an_agent")
    table = summary_table(made)
    assert table.header[:4] == ("method", "mean", "best_selected", "top5_selected")
    assert table.header[5:8] == ("oracle_best (‡)", "legacy_top5 (†)", "legacy_best (†)")
    assert any("select on the rollouts that they report" in note for note in table.notes)
    assert any("an upper bound, no result" in note for note in table.notes)
    (row,) = table.rows
    aggregate = made[0].metrics.aggregate
    steps = aggregate.steps_to_success
    assert steps is not None
    assert row == (
        "make_an_agent",
        aggregate.mean,
        aggregate.best_selected,
        aggregate.top5_selected,
        aggregate.qualified_rate,
        aggregate.oracle_best,
        aggregate.legacy_top5,
        aggregate.legacy_best,
        Ranged(steps.value, steps.ci),
        "prompts",
        "2",
        NOTHING,
        "6.2",
        "0.1",
        NOTHING,
        "300",
    )
    assert UNSAID_NOTE in table.notes
    assert ONE_POLICY_NOTE not in table.notes


def test_summary_is_the_metrics_and_the_costs_side_by_side() -> None:
    made = records(*FIVE)
    whole, metrics, costs = summary_table(made), metric_table(made), cost_table(made)
    assert whole.header == (*metrics.header, *costs.header[1:])
    assert whole.rows == tuple((*a, *b[1:]) for a, b in zip(metrics.rows, costs.rows, strict=True))
    assert whole.notes == (*metrics.notes, *costs.notes)


def test_lift_stands_beside_the_mean_where_it_is_known() -> None:
    made = records("make_an_agent", "random_seen", "expert")
    lift, middle = Ranged(-0.05, (-0.2, 1.25)), Ranged(0.25, (0.125, 0.5))
    extras = {key_of(made[0]): Extra(middle, lift), key_of(made[1]): Extra(0.75, 0.0)}
    table = metric_table(made, extras)
    assert table.header[1:4] == ("mean", IQM, LIFT), "the headline stays first"
    assert [row[2:4] for row in table.rows] == [(middle, lift), (0.75, 0.0), (NOTHING, NOTHING)]
    assert any(note.startswith("lift: (method - random_seen)") for note in table.notes)
    assert IQM_NOTE in table.notes
    assert "| .25 [.12, .50] | -.05 [-.20, 1.25] |" in to_markdown(table)
    assert not {IQM, LIFT} & set(metric_table(made).header)
    assert LIFT not in metric_table(made, {key_of(made[0]): Extra(middle)}).header, "no scale, no column"
    rows = {(row["method"], row["task"]): row for row in numbers(made, extras)}
    of_all, of_task = rows["make_an_agent", "aggregate"], rows["make_an_agent", TASKS[0]]
    assert [of_all[f"{LIFT}{end}"] for end in ENDS] == ["-0.05", "-0.2", "1.25"]
    assert [of_all[f"{IQM}{end}"] for end in ENDS] == ["0.25", "0.125", "0.5"]
    assert [of_task[f"{name}{end}"] for name in (IQM, LIFT) for end in ENDS] == [""] * 6, "of the aggregate alone"
    seen = rows["random_seen", "aggregate"]
    assert [seen[f"{name}{end}"] for name in (IQM, LIFT) for end in ENDS] == ["0.75", "", "", "0", "", ""]


def test_what_never_succeeds_has_no_steps() -> None:
    never, some = sample("never", success=0.0)[0], sample("some")[0]
    rows = {row[0]: row[-1] for row in metric_table([never, some]).rows}
    steps = some.metrics.aggregate.steps_to_success
    assert steps is not None
    assert rows == {"never": NOTHING, "some": Ranged(steps.value, steps.ci)}
    assert {row["steps_to_success"] for row in numbers([never])} == {""}


def test_steps_without_an_interval_stand_alone() -> None:
    """A single success has a first step and no spread."""
    record = sample("lucky")[0]
    one = StepsValue.model_construct(value=57.0, ci=None)
    aggregate = record.metrics.aggregate.model_copy(update={"steps_to_success": one})
    metrics = record.metrics.model_copy(update={"aggregate": aggregate})
    record = record.model_copy(update={"metrics": metrics})
    table = metric_table([record])
    assert table.rows[0][-1] == 57.0
    assert "| 57 |\n" in to_markdown(table)
    assert "57 [" not in drawn(summary_table([record]), 250)
    (row,) = (row for row in numbers([record]) if row["task"] == "aggregate")
    assert [row[f"steps_to_success{end}"] for end in ENDS] == ["57", "", ""]
    (group,) = board_data([record])["groups"]
    assert group["rows"][0]["steps_to_success"] == [57.0]


def test_costs_are_of_one_training_seed() -> None:
    costs = {"cost__parameters": 12_345_678, "cost__test_environment_steps": 2400}
    table = summary_table([sample("a", **costs)[0]])
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert row["parameters"] == "12.3M"
    assert (row["fit s"], row["adapt s"], row["test env steps"]) == ("6.2", "0.1", "1.2k"), "two seeds took twice that"
    assert UNSAID_NOTE not in table.notes


def test_one_policy_never_stands_where_others_select() -> None:
    one = sample("meta_il", method__deterministic_candidates=True)[0]
    many = sample("make_an_agent")[0]
    table = summary_table([one, many])
    rows = {str(row[0]): dict(zip(table.header, row, strict=True)) for row in table.rows}
    for metric in ("best_selected", "top5_selected", *MARKED.values()):
        assert rows["meta_il"][metric] == NOTHING
        assert isinstance(rows["make_an_agent"][metric], MetricValue)
    assert rows["meta_il"]["mean"] == one.metrics.aggregate.mean
    assert rows["meta_il"]["qualified_rate"] == one.metrics.aggregate.qualified_rate
    assert ONE_POLICY_NOTE in table.notes
    by_task = result_table([one, many], "top5_selected")
    assert {row[1 + (by_task.header[2] == "meta_il")] for row in by_task.rows} == {NOTHING}
    assert by_task.notes == (ONE_POLICY_NOTE,)
    assert result_table([one, many]).notes == ()
    assert "\n" + ONE_POLICY_NOTE in to_markdown(by_task)
    (header, first, *_) = csv.reader(io.StringIO(to_csv(by_task)))
    assert len(header) == len(first), "a dash takes the place of three numbers"
    assert one.metrics.aggregate.top5_selected.value > 0, "the record keeps its numbers"


def test_many_methods_are_rows_and_only_the_aggregate_has_its_interval() -> None:
    made = records(*(f"method_{i}" for i in range(MANY + 1)))
    table = result_table(made)
    assert table.header == ("method", "aggregate", *TASKS)
    assert [row[0] for row in table.rows] == [record.method.name for record in in_order(made)]
    best = in_order(made)[0]
    assert table.rows[0] == (
        best.method.name,
        best.metrics.aggregate.mean,
        *(best.metrics.tasks[task].mean.value for task in TASKS),
    )
    line = to_markdown(table).splitlines()[2]
    assert line.count("[") == 1
    assert to_markdown(table).splitlines()[1] == "| --- | ---: | ---: | ---: |"
    assert result_table(made[:MANY]).header[0] == "task", "as ever"


def test_nineteen_methods_and_eight_tasks_fit_the_screen() -> None:
    tasks = tuple(f"handle-press-side-{i}" for i in range(8))
    tables = [episode_table(episode_rows(f"a_long_method_{i:02d}", tasks=tasks)) for i in range(19)]
    table = result_table([make_record(rows) for rows in tables])
    lines = drawn(table, 120).splitlines()
    assert max(map(len, lines)) <= 120
    for i in range(19):
        assert sum(f"a_long_method_{i:02d}" in line for line in lines) == 1, "in one table, not in parts"


def test_a_method_that_stands_there_twice_is_told_apart() -> None:
    made = [sample("a", run_id="run-1")[0], sample("a", run_id="run-2")[0], sample("b")[0]]
    assert method_labels(in_order(made)) == ["a (run-1)", "a (run-2)", "b"]


def test_numbers() -> None:
    assert [format_value(x) for x in (0, 0.05, 0.414, 1)] == [".00", ".05", ".41", "1.00"]
    assert [format_value(x) for x in (-0.051, -0.004, -1.2, 9.9, 57.31, -12.5)] == [
        "-.05", ".00", "-1.20", "9.90", "57", "-12"
    ]  # fmt: skip
    assert format_interval(MetricValue(value=0.41, ci=(0.3, 0.52))) == "[.30, .52]"
    assert [format_count(x) for x in (0, 999, 12_400, 99_960, 350_000, 1_250_000)] == [
        "0", "999", "12.4k", "100k", "350k", "1.2M"
    ]  # fmt: skip
    assert [format_seconds(x) for x in (0.04, 9.94, 12.4, 3600)] == ["0.0", "9.9", "12", "3600"]


def test_markdown() -> None:
    cell = MetricValue(value=0.41, ci=(0.3, 0.52))
    table = Table("t", ("task", "a|b", "uses"), (("reach", cell, "prompts"),))
    assert to_markdown(table) == (
        "| task | a\\|b | uses |\n| --- | ---: | --- |\n| reach | .41 [.30, .52] | prompts |\n"
    )


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("make_an_agent", "make_an_agent"),
        ("a|b", "a\\|b"),
        ("[red]x[/red]", "\\[red\\]x\\[/red\\]"),
        ("<script>", "&lt;script&gt;"),
        ("a&lt;b", "a&amp;lt;b"),
        ("_x_", "\\_x\\_"),
        ("*x* `y` \\z", "\\*x\\* \\`y\\` \\\\z"),
        ("two\nlines\x1b[31m", "two lines \\[31m"),
    ],
)
def test_names_are_text_in_markdown(name: str, escaped: str) -> None:
    assert markdown_text(name) == escaped


def test_csv_holds_the_whole_numbers() -> None:
    made = records("make_an_agent", "random_seen")
    rows = list(csv.reader(io.StringIO(to_csv(result_table(made)))))
    assert rows[0][:4] == ["task", "make_an_agent", "make_an_agent lo", "make_an_agent hi"]
    mean = made[0].metrics.aggregate.mean
    assert [float(x) for x in rows[-1][1:4]] == [mean.value, *mean.ci]
    names = Table("t", ('comma, "quote"', "x"), (("a\nb", "y"),))
    assert next(csv.reader(io.StringIO(to_csv(names)))) == ['comma, "quote"', "x"]


def test_table_csv_holds_every_number_of_every_record() -> None:
    made = records("make_an_agent", "random_seen")
    rows = numbers(made)
    assert [(row["method"], row["task"]) for row in rows] == [
        (record.method.name, task) for record in made for task in (*TASKS, "aggregate")
    ]
    for record, start in zip(made, (0, 3), strict=True):
        for row, (_, values) in zip(rows[start : start + 3], record.metric_sets(), strict=True):
            cells = {metric: values[metric] for metric in METRICS} | {"steps_to_success": values.steps_to_success}
            for name, cell in cells.items():
                assert cell is not None
                shown = [float(row[f"{name}{end}"]) for end in ENDS]
                assert shown == pytest.approx([cell.value, *cell.ci], abs=5.1e-5)
    assert set(MEASURED) == {*METRICS, IQM, LIFT, "steps_to_success"}


def test_runs_csv_joins_by_method_and_run() -> None:
    made = records("make_an_agent", "random_seen")
    run = dict(zip(RUN_COLUMNS, run_rows(made)[1], strict=True))
    row = numbers(made)[-1]
    assert {name: run[name] for name in LABELS} == {name: row[name] for name in LABELS}
    assert row["dataset"] == "toy-distill-1a2b"
    assert run["train_seeds"] == "2"
    seconds = made[1].cost.seconds
    assert (float(run["fit_s"]), float(run["adapt_s"])) == (seconds.fit / 2, seconds.generate / 2)


def test_table_csv_has_distances_of_tasks_and_aggregate() -> None:
    (record,) = records("make_an_agent")
    distances = {TASKS[1]: {"spread": 1.23456}, "aggregate": {"spread": 1.0, "train_distance": 0.00004}}
    rows = numbers([record], {key_of(record): Extra(0.5, distances=distances)})
    shown = [[row[name] for name in ("train_distance", "spread", "path_spread")] for row in rows]
    assert shown == [["", "", ""], ["", "1.2346", ""], ["0", "1", ""]]


def test_five_hundred_records_of_ten_tasks_are_small_enough() -> None:
    """GitHub shows files of up to 5 MB; names are as long as the campaign's."""
    tasks = tuple(f"handle-press-side-{i}" for i in range(10))
    table = episode_table(episode_rows("multi_task_il_finetuned", tasks=tasks))
    labels = {"protocol__name": "prompt-quality-v1", "protocol__condition": "prompt_source=partial"}
    record = make_record(
        table, run_id="metaworld-v2-unseen-hard-668a5dd8a5", dataset__id="metaworld-v2-9450cdfb6f", **labels
    )
    text = csv_text(table_rows([record]))
    assert 500 * len(text) < 2.5e6


def test_run_rows_hold_every_setting() -> None:
    labels = {"protocol__name": "noisy-v1", "protocol__condition": "prompt_noise=0.1", "protocol__prompt_noise": 0.1}
    for changes, expected in (
        (labels, ("noisy-v1", "prompt_noise=0.1", "0.1")),
        ({}, ("", "", "0")),
    ):
        row = dict(zip(RUN_COLUMNS, run_rows([sample(**changes)[0]])[0], strict=True))
        assert (row["protocol"], row["condition"], row["prompt_noise"]) == expected
        assert (row["shots"], row["prompt_source"], row["prompt_steps"], row["mass"]) == ("4", "expert", "60", "1")


def test_table_csv_never_puts_one_policy_beside_a_choice_of_many() -> None:
    (one,) = [sample("the_one", method__deterministic_candidates=True)[0]]
    for row in numbers([one]):
        assert {name for name in MEASURED if row[name]} == {"mean", "qualified_rate", "steps_to_success"}
    run = dict(zip(RUN_COLUMNS, run_rows([one])[0], strict=True))
    assert (run["policies"], run["parameters"]) == ("1", "")


@pytest.mark.parametrize("width", [40, 79, 80, 90, 100, 200])
@pytest.mark.parametrize("make", [result_table, summary_table])
def test_nothing_is_cut_off_at_any_width(make: object, width: int) -> None:
    assert callable(make)
    table: Table = make(records(*FIVE))
    text = drawn(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for name in table.header:
        assert all(piece in text for piece in re.split(r"[_ -]", name))
    values = [cell for row in table.rows for cell in row if isinstance(cell, MetricValue)]
    assert text.count(".") >= len(values)
    for row in table.rows:
        assert str(row[0]) in text  # Row names are never broken.
        for cell in row[1:]:
            if isinstance(cell, MetricValue):
                assert format_value(cell.value) in text
            elif isinstance(cell, float):
                assert format_value(cell) in text
    intervals = sum(format_interval(cell) in text for cell in values)
    assert intervals in (0, len(values))  # All of them, or none and a note that says so.
    assert (intervals == 0) == ("Too narrow for the 95 % intervals" in " ".join(text.split()))
    if width == 200:
        assert intervals == len(values)
        assert make is summary_table or all(name in text for name in FIVE)


def test_five_methods_keep_their_intervals_at_80_columns() -> None:
    table = result_table(records(*FIVE))
    text = drawn(table, 80)
    for row in table.rows:
        for cell in row[1:]:
            assert isinstance(cell, MetricValue)
            assert format_interval(cell) in text


def test_a_terminal_too_narrow_for_one_table_gets_several() -> None:
    table = result_table(records(*FIVE))
    text = drawn(table, 40)
    assert sum(line.startswith(TASKS[0]) for line in text.splitlines()) > 1
    rows = [line.split()[1:] for line in text.splitlines() if line.startswith("aggregate")]
    expected = [format_value(cell.value) for cell in table.rows[-1][1:] if isinstance(cell, MetricValue)]
    assert [value for row in rows for value in row] == expected


def test_names_are_text_in_the_terminal() -> None:
    hostile = "[red]x[/red][link=file:///]\x1b[31m"
    record = sample(hostile)[0]
    for table in (result_table([record]), summary_table([record])):  # As a column's name, and as a row's.
        text = drawn(table, 250)
        assert "[red]x[/red][link=file:///]" in text
        assert "\x1b" not in text


def test_a_table_of_a_metric_that_is_no_result_warns() -> None:
    made = [sample("make_an_agent")[0], sample("random_seen")[0]]
    for metric, note, mark in (("legacy_top5", LEGACY_NOTE, "†"), ("oracle_best", ORACLE_NOTE, "‡")):
        for table in (
            result_table(made, metric),
            method_rows(made, metric),
        ):
            assert note in table.notes
            assert mark in table.title
    assert result_table(made).notes == ()
