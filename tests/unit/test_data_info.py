"""`data info` and `data card`: counts, diversity, figures, and bad input."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from maa_bench.cli import main
from maa_bench.dataset.card import card_text
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.dataset.summary import summary
from maa_bench.errors import ProtocolError
from maa_bench.protocol import PROMPT_SOURCES
from maa_bench.report.dataset_plots import write_plots
from maa_bench.report.pca import principal_components

FIGURES = ("success_by_step", "first_success", "parameter_map")


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ended]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_suite: Path) -> Cli:
    """`data VERB` on the tiny suite's dataset, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(verb: str, folder: Path, *args: object) -> Ended:
        code = main(["data", verb, str(folder), "--suite", str(tiny_suite), *map(str, args)])
        return Ended(code, *capfd.readouterr())

    return run


@pytest.fixture
def copy(tiny_dataset: CheckpointDataset, tmp_path: Path) -> CheckpointDataset:
    """The tiny dataset, to be damaged."""
    shutil.copytree(tiny_dataset.folder, tmp_path / "copy")
    return CheckpointDataset(tmp_path / "copy", tiny_dataset.suite)


def one_line(ended: Ended, *parts: str) -> None:
    assert ended.code == 2, ended
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("error: ")
    for part in parts:
        assert part in ended.err


def test_counts_are_those_of_the_rows(tiny_dataset: CheckpointDataset) -> None:
    about = summary(tiny_dataset)
    assert [task["task"] for task in about["tasks"]] == list(tiny_dataset.tasks)
    for task in about["tasks"]:
        rows = tiny_dataset.hf(task["task"], ["run", "role", "success"])
        success = np.array(rows["success"])
        kinds = {"verified": success == 1, "partial": (success > 0) & (success < 1), "failing": success == 0}
        for kind, mask in kinds.items():
            assert task[kind] == mask.sum()
            assert about[kind] == sum(other[kind] for other in about["tasks"])
        for run in task["runs"]:
            own = np.array(rows["run"]) == run["run"]
            assert run["rows"] == own.sum()
            assert run["mean_success"] == pytest.approx(success[own].mean(), abs=1e-6)
        for source, n in task["prompts"].items():
            assert n > 0
            assert len(set(tiny_dataset.prompts(task["task"], n, 0, source).sources)) == n
            with pytest.raises(ProtocolError):
                tiny_dataset.prompts(task["task"], n + 1, 0, source)
    assert about["transitions"] == sum(
        len(tiny_dataset.transitions(t, r)) for t in tiny_dataset.tasks for r in ("train", "prompt")
    )
    assert about["bytes"] == sum((tiny_dataset.folder / shard).stat().st_size for shard in tiny_dataset.shards)


def test_info_reads_no_parameters(cli: Cli, tiny_dataset: CheckpointDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    seen: list[Any] = []
    read = pq.ParquetFile.read

    def watched(self: Any, columns: Any = None, *args: Any, **options: Any) -> Any:
        seen.append(columns)
        return read(self, columns, *args, **options)

    monkeypatch.setattr(pq.ParquetFile, "read", watched)
    monkeypatch.setattr("maa_bench.dataset.store.CheckpointDataset.hf", None)
    assert cli("info", tiny_dataset.folder).code == 0
    assert seen
    assert all(columns == ["success"] for columns in seen)


def test_info_as_text_and_as_json(cli: Cli, tiny_dataset: CheckpointDataset) -> None:
    about = json.loads(cli("info", tiny_dataset.folder, "--json").out)
    assert about == json.loads(json.dumps(summary(tiny_dataset)))
    text = cli("info", tiny_dataset.folder).out
    assert about["id"] in text.splitlines()[0]
    lines = [line.split() for line in text.splitlines() if line.startswith("goal-030")]
    (task,) = [task for task in about["tasks"] if task["task"] == "goal-030"]
    counts = [str(task[name]) for name in ("rows", "verified", "partial", "failing")]
    success = sum(run["rows"] * run["mean_success"] for run in task["runs"]) / task["rows"]
    prompts = " + ".join(str(task["prompts"][source]) for source in PROMPT_SOURCES)
    assert lines == [["goal-030", "prompt", "2", *counts, f"{success:.2f}", *prompts.split()]]
    assert f"{about['rows']:,} checkpoints: {about['verified']:,} verified" in text


def test_diversity_is_shown_and_given(cli: Cli, tiny_dataset: CheckpointDataset) -> None:
    about = json.loads(cli("info", tiny_dataset.folder, "--diversity", "--json").out)
    assert [one["task"] for one in about["diversity"]] == list(tiny_dataset.tasks)
    one = about["diversity"][0]
    assert 0 < one["nearest"]["median"] < one["params_within"]["median"] < one["params_between"]["median"]
    text = cli("info", tiny_dataset.folder, "--diversity").out
    spread = one["params_between"]
    assert f"{spread['median']:.3f} [{spread['low']:.3f}, {spread['high']:.3f}]" in text


def test_figures(cli: Cli, copy: CheckpointDataset, tmp_path: Path) -> None:
    shards = {shard: e for shard, e in copy.shards.items() if e["task"] in ("goal-000", "goal-030")}
    (copy.folder / "manifest.json").write_text(json.dumps({**copy.manifest, "shards": shards}))
    few = CheckpointDataset(copy.folder, copy.suite)
    about = json.loads(cli("info", few.folder, "--plots", tmp_path / "figures", "--json").out)
    assert [Path(path).name for path in about["plots"]] == [f"{name}.{s}" for name in FIGURES for s in ("png", "svg")]
    for path in map(Path, about["plots"]):
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert min(image.size) > 300
                assert len(image.convert("RGB").getcolors(10**6)) > 20  # type: ignore[arg-type]
        else:
            assert ET.parse(path).getroot().tag.endswith("svg")

    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before = dict(mpl.rcParams)
    for path in write_plots(few, tmp_path / "again"):
        assert path.read_bytes() == (tmp_path / "figures" / path.name).read_bytes(), path.name
    assert dict(mpl.rcParams) == before, "matplotlib is left as it was"
    assert plt.get_fignums() == []


def test_the_lines_of_a_figure_are_the_runs(tiny_dataset: CheckpointDataset) -> None:
    from maa_bench.report import dataset_plots

    figure = dataset_plots.success_by_step(dataset_plots._light_columns(tiny_dataset))
    drawn = {axes.get_title(): axes.lines for axes in figure.axes}
    for task in tiny_dataset.tasks:
        rows = tiny_dataset.hf(task, ["run", "step", "success"]).to_pandas()
        expected = {tuple(zip(own["step"], own["success"], strict=True)) for _, own in rows.groupby("run")}
        assert {tuple(map(tuple, line.get_xydata())) for line in drawn[task]} == expected


def test_principal_components_are_those_of_a_singular_value_decomposition() -> None:
    x = np.random.default_rng(0).standard_normal((30, 5000)).astype(np.float32)
    x[:, :3] *= [90, 60, 30]
    scores, shares = principal_components(x, 2)
    left, sizes, _ = np.linalg.svd(x.astype(np.float64) - x.mean(axis=0, dtype=np.float64), full_matrices=False)
    expected = left[:, :2] * sizes[:2]
    expected *= np.sign(expected[np.abs(expected).argmax(axis=0), [0, 1]])
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(shares, (sizes**2)[:2] / (sizes**2).sum(), rtol=1e-9)
    scores, shares = principal_components(np.ones((3, 4)), 2)
    assert not scores.any()
    assert not shares.any()


def test_card_is_written_again_or_printed(cli: Cli, copy: CheckpointDataset, tmp_path: Path) -> None:
    text = card_text(copy)
    (copy.folder / "README.md").unlink()
    assert cli("card", copy.folder).out.strip() == str(copy.folder / "README.md")
    assert (copy.folder / "README.md").read_text() == text
    assert cli("card", copy.folder, "--output", "-").out == text
    assert cli("card", copy.folder, "--output", tmp_path / "new" / "CARD.md").code == 0
    assert (tmp_path / "new" / "CARD.md").read_text() == text


def test_bad_input_is_one_line(cli: Cli, copy: CheckpointDataset, tmp_path: Path) -> None:
    one_line(cli("info", tmp_path / "nowhere"), "nowhere")
    one_line(cli("card", tmp_path / "nowhere"), "nowhere")
    (tmp_path / "file").write_text("")
    one_line(cli("info", copy.folder, "--plots", tmp_path / "file"), str(tmp_path / "file"))
    one_line(cli("card", copy.folder, "--output", tmp_path), str(tmp_path))
    shard = next(iter(copy.entries("checkpoints", "goal-090")))
    path = copy.folder / shard
    path.write_bytes(path.read_bytes()[:-100])
    for options in ([], ["--diversity"], ["--plots", tmp_path / "figures"]):
        one_line(cli("info", copy.folder, *options), str(path), "truncated")
    assert cli("card", copy.folder).code == 0, "the manifest is enough"
    path.unlink()
    one_line(cli("info", copy.folder), str(path), "data build")


def test_a_dataset_without_transitions_has_no_expert_prompts(copy: CheckpointDataset) -> None:
    copy.shards = copy.entries("checkpoints")
    about = summary(copy)
    assert about["transitions"] == 0
    assert {task["prompts"]["expert"] for task in about["tasks"]} == {0}
    assert "load_dataset" in card_text(copy)
    assert "transitions" not in card_text(copy).partition("## Columns")[0].partition("## Contents")[0]
