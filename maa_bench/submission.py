"""Preparing a pull request to `results/`: copies of records, checked, and a text that tells of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maa_bench.errors import RecordError
from maa_bench.files import whole_folder, write_bytes
from maa_bench.record import RunRecord
from maa_bench.report.render import markdown_text
from maa_bench.results import CANDIDATES, RECORD, load_record, parse_record, record_bytes
from maa_bench.validation.contents import COMMITTED
from maa_bench.validation.judge import Ways, judge
from maa_bench.validation.verdict import Verdict
from maa_bench.validation.weights import hub_path


@dataclass(frozen=True)
class Prepared:
    """One record that is ready for a pull request.

    Attributes:
        source: where it was.
        folder: where it is now.
        record: it.
        verdict: what was checked.
    """

    source: Path
    folder: Path
    record: RunRecord
    verdict: Verdict


def prepare(sources: Sequence[Path], to: Path, weights_id: str | None, ways: Ways) -> tuple[list[Prepared], list[str]]:
    """Copy records without their weights into a folder of results: all of them, once each was found to hold, or none.

    Args:
        sources: their folders.
        to: `results/` of a checkout.
        weights_id: Hub dataset that has, or will have, their weights; put into the records. Default: as they are.
        ways: how far the check goes; weights are looked for where the records are.

    Returns:
        What was copied, and nothing; or nothing, and what does not hold, a line each.

    Raises:
        RecordError: a record cannot be read, or another of the same name is in `to`.
    """
    prepared: list[Prepared] = []
    with tempfile.TemporaryDirectory(prefix="maa-bench-submit-") as temporary:
        for source in sources:
            record = load_record(source)
            staged = Path(temporary) / record.method.name / record.run_id
            if staged.exists():
                raise RecordError(f"{source}: {record.method.name} {record.run_id} is named twice")
            _stage(source, staged, weights_id)
            verdict = judge(staged, _ways(ways, source))
            verdict.folder = source
            target = to / record.method.name / record.run_id
            if target.exists() and not _same(staged, target):
                raise RecordError(f"{target}: there is another record of that name; a submission only adds")
            prepared.append(Prepared(source, target, parse_record(staged / RECORD), verdict))
        wrong = [one.verdict.line(problem) for one in prepared for problem in one.verdict.problems]
        if wrong:
            return [], wrong
        _copy_all(prepared, Path(temporary))
    return prepared, []


def pull_request_text(prepared: Iterable[Prepared]) -> str:
    """What the pull request says, in Markdown: results, what was checked, and what its author states."""
    prepared = list(prepared)
    lines = [
        "## Results",
        "",
        "| method | suite, split | protocol | seeds | mean | weights |",
        "|---|---|---|---|---|---|",
    ]
    for one in prepared:
        record, mean = one.record, one.record.metrics.aggregate.mean
        protocol = " ".join(filter(None, (record.protocol.name or "none by name", record.protocol.condition)))
        cells = (
            f"{record.method.name} {record.run_id}",
            f"{record.suite.name}, {record.split.name}",
            protocol,
            str(len(record.seeds.train)),
            f"{mean.value:.3f} ({mean.ci[0]:.3f} to {mean.ci[1]:.3f})",
            record.weights or "not published",
        )
        lines.append("| " + " | ".join(map(markdown_text, cells)) + " |")
    lines += ["", "## Methods", ""]
    for card in {one.record.method.name: one.record.method for one in prepared}.values():
        elsewhere = ", ".join(card.pretrained_on) or "nothing"
        told = f"{card.summary} Family {card.family}; trained on {card.trained_on}, elsewhere on {elsewhere}; "
        told += f"uses {card.uses} of a test task. {card.citation} Source: {card.source}."
        lines.append(f"- **{markdown_text(card.name)}**: {markdown_text(told)}")
    lines += ["", "## Checked with `maa-bench validate`", ""]
    for one in prepared:
        again = f"{one.verdict.candidates} candidates, {one.verdict.episodes} episodes rolled out again, all the same"
        found = [f"{one.record.method.name} {one.record.run_id}: metrics made again, all the same"]
        found += [again] * bool(one.verdict.episodes)
        lines.append(f"- {markdown_text('; '.join([*found, *one.verdict.notes]))}")
    return "\n".join([*lines, "", *STATEMENT, ""])


STATEMENT = (
    "## Statement",
    "",
    "- [ ] The method was trained on the split's training tasks and on what `pretrained_on` names, on nothing else.",
    "- [ ] Nothing was chosen (hyperparameters, checkpoints, seeds, prompts) by looking at test tasks or test layouts.",
    "- [ ] All runs that were made under this protocol are here, not the best of several.",
)
"""What an author states; the pull request's template asks for the same."""


def publishing(prepared: Iterable[Prepared]) -> list[str]:
    """The commands that put the weights onto the Hub, where the records say that they are."""
    return [
        f"hf upload {one.record.weights.partition('@')[0]} {one.source / CANDIDATES} {hub_path(one.record)} "
        "--repo-type dataset"
        for one in prepared
        if one.record.weights is not None and (one.source / CANDIDATES).is_file()
    ]


def _stage(source: Path, staged: Path, weights_id: str | None) -> None:
    """Copy what is committed of a record, with the Hub dataset of its weights."""
    staged.mkdir(parents=True)
    for name in COMMITTED:
        if (source / name).exists():
            shutil.copyfile(source / name, staged / name)
    if weights_id is not None:
        record = parse_record(staged / RECORD)
        if CANDIDATES not in record.files:
            raise RecordError(f"{source}: has no weights to publish: its candidates are no flat policies")
        write_bytes(staged / RECORD, record_bytes(record.model_copy(update={"weights": weights_id})))
        parse_record(staged / RECORD)  # refuses what is no id


def _ways(ways: Ways, source: Path) -> Ways:
    """Weights are looked for in the record's own folder before anywhere else."""
    return replace(ways, weights=source) if (source / CANDIDATES).is_file() else ways


def _same(staged: Path, target: Path) -> bool:
    return all(
        (target / name).is_file() and (target / name).read_bytes() == (staged / name).read_bytes()
        for name in COMMITTED
        if (staged / name).exists()
    )


def _copy_all(prepared: Iterable[Prepared], staging: Path) -> None:
    made: list[Path] = []
    try:
        for one in prepared:
            if one.folder.exists():
                continue  # the same
            staged = staging / one.record.method.name / one.record.run_id
            with whole_folder(one.folder, replace=False) as temporary:
                for path in sorted(staged.iterdir()):
                    shutil.copyfile(path, temporary / path.name)
            made.append(one.folder)
    except BaseException:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise
