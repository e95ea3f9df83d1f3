"""The leaderboard's page: a contents list, then each family of records, what is current first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from maa_bench.metrics import METRICS
from maa_bench.record import ProtocolInfo, RunRecord
from maa_bench.report.contrast import contrast_table, contrast_words
from maa_bench.report.curve_tables import SETTINGS, curve_table, value_text
from maa_bench.report.diversity import DISTANCES, diversity_table
from maa_bench.report.gallery import FOLDER, KINDS
from maa_bench.report.order import Entry
from maa_bench.report.render import markdown_text, to_markdown
from maa_bench.report.tables import (
    IQM,
    IQM_DEFINITION,
    LIFT,
    LIFT_DEFINITION,
    Extras,
    cost_table,
    in_order,
    key_of,
    method_rows,
    metric_table,
)
from maa_bench.report.wording import dataset_text, suite_text, tasks_text

_INTRODUCTION = """\
# Leaderboard

Made from the run records under `results/` by `maa-bench leaderboard`; never edited by hand. Methods are compared within
a group only: same suite and layouts, split, dataset and protocol. All numbers: `table.csv` (a row a run and task), with
every setting and cost in `runs.csv`; what their columns are: `docs/metrics.md`; for a paper: `table.tex`.
"""

_OLDER = "Older suites, and protocols without a name"

_NOTES = """\
**Order.** Methods by their mean; below them the controls, then the ceilings.

**Intervals** are of 95 %: Student's, with the spread that resampled training seeds, candidates and layouts show; tasks
are fixed (`docs/metrics.md`). Where all outcomes are alike, Wilson's score interval. The aggregate is the unweighted
mean over tasks. With one training seed the interval is about that one fit: another fit may well lie outside it.

**Controls.** `random_seen` draws checkpoints of the training tasks, `nearest_checkpoint` takes the training
checkpoint whose behaviour is nearest to the prompt, `random_weights` is a freshly initialised policy,
`mean_checkpoint` averages those near the prompts, `bc_on_prompts` clones the prompts from nothing. Ceilings are the
scripted `expert` and, where it was run, `single_task`: checkpoints of the test task itself. A method that does not beat
the first two controls has not been shown to generate anything.
"""


def index_page(made: Sequence[Entry], extras: Extras, figures: Mapping[str, Sequence[str]]) -> str:
    """The page.

    Args:
        made: in order.
        extras: of the records.
        figures: names of the SVG files of each entry, by its slug.
    """
    page = [_INTRODUCTION, "\n## Contents\n\n", *_contents(made)]
    for heading, group in groupby(made, key=_heading):
        page.append(f"\n## {markdown_text(heading)}\n")
        page += [_section(entry, extras, figures.get(entry.slug, ())) for entry in group]
    defined = {**METRICS, IQM: IQM_DEFINITION, LIFT: LIFT_DEFINITION, **DISTANCES}
    notes = "".join(f"- `{name}`: {definition}\n" for name, definition in defined.items())
    return "".join([*page, "\n## Notes\n\n", notes, "\n", _NOTES])


def _heading(entry: Entry) -> str:
    return entry.place if entry.current else _OLDER


def _contents(made: Sequence[Entry]) -> list[str]:
    lines = []
    for heading, group in groupby(made, key=_heading):
        lines.append(f"- {markdown_text(heading)}\n")
        for entry in group:
            title = entry.title if entry.current else f"{entry.place}: {entry.title}"
            lines.append(f"  - [{markdown_text(title)}](#{entry.slug}): {_extent(entry)}\n")
    return lines


def _extent(entry: Entry) -> str:
    conditions = entry.family.conditions
    methods = {record.method.name for records in conditions for record in records}
    return f"{len(methods)} method(s), {len(conditions)} condition(s)"


def _section(entry: Entry, extras: Extras, figures: Sequence[str]) -> str:
    """One family: what it is, the base's results, the curves, and the runs."""
    family = entry.family
    title = entry.title if entry.current else f"{entry.place}: {entry.title}"
    parts = [f'\n<a id="{entry.slug}"></a>\n\n### {markdown_text(title)}\n\n', _about(entry)]
    if family.base:
        parts += ["\n#### Success (mean) by task\n\n", to_markdown(method_rows(family.base))]
        parts += ["\n#### Metrics\n\n", to_markdown(metric_table(family.base, extras))]
        parts += _contrast(family.base)
        diversity = diversity_table(family.base, extras)
        parts += [f"\n#### {diversity.title}\n\n", to_markdown(diversity)] if diversity else []
        parts += ["\n#### Cost\n\n", to_markdown(cost_table(family.base))]
    for axis in family.axes:
        text = f": {SETTINGS[axis.setting]}" if axis.setting in SETTINGS else ""
        parts.append(f"\n#### By {axis.setting}{text}\n\nSuccess (mean).\n\n{to_markdown(curve_table(axis))}")
    for name in figures:
        what = KINDS[name.partition("-")[0]]
        parts.append(f"\n![{what}]({FOLDER}/{name})\n\n{what}.\n")
    return "".join([*parts, _runs(entry)])


def _about(entry: Entry) -> str:
    first, family = entry.family.first, entry.family
    protocol = first.protocol
    varied = [f"{axis.setting} {', '.join(map(value_text, axis.values))}" for axis in family.axes]
    about = [
        ("Suite", suite_text(first.suite)),
        ("Trained on", tasks_text(first.split.train)),
        ("Tested on", tasks_text(first.split.test)),
        ("Dataset", dataset_text(first.dataset)),
        (
            "Protocol",
            f"scale {protocol.scale}, {protocol.shots} prompts a task ({protocol.prompt_source}), "
            f"{protocol.candidates} candidates, {protocol.episodes} {protocol.test_layouts} layouts, "
            f"{protocol.select_episodes} select layouts, {protocol.horizon} steps; "
            f"success: {protocol.success_rule}{_unusual(first)}",
        ),
        *([("Varied, one at a time", "; ".join(varied))] if varied else []),
    ]
    return "".join(f"- **{what}**: {markdown_text(text)}\n" for what, text in about)


def _unusual(record: RunRecord) -> str:
    """Settings that have a default and do not stand at it."""
    said = ("name", "condition", "test_layouts")
    fields = ProtocolInfo.model_fields.items()
    own = {name: getattr(record.protocol, name) for name, field in fields if name not in said}
    odd = [
        f"{name} {value_text(value)}"
        for name, value in own.items()
        if not ProtocolInfo.model_fields[name].is_required() and value != ProtocolInfo.model_fields[name].default
    ]
    return f"; {', '.join(odd)}" if odd else ""


def _contrast(base: Sequence[RunRecord]) -> list[str]:
    table = contrast_table(base)
    if table is None:
        return []
    words = "".join(f"- {markdown_text(line)}\n" for line in contrast_words(base))
    return ["\n#### How far the metrics lie apart\n\n", to_markdown(table), *(["\n", words] if words else [])]


def _runs(entry: Entry) -> str:
    """Where each number comes from, folded away: a line a record."""
    lines = []
    for records in entry.family.conditions:
        for record in in_order(records):
            condition = f"{record.protocol.condition}: " if record.protocol.condition else ""
            seeds = f"{len(record.seeds.train)} training seed(s), {record.candidates_evaluated} candidates a task"
            made = f"{record.method.source}, recorded by maa-bench {record.created_with}"
            lines.append(f"- {markdown_text(f'{condition}{key_of(record)}, {seeds}, {made}')}\n")
    return f"\n<details><summary>{len(lines)} runs</summary>\n\n{''.join(lines)}\n</details>\n"
