"""The dataset's card: what Hugging Face's own libraries make of it, and that it follows schema and manifest."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import yaml
from datasets.exceptions import NonMatchingSplitsSizesError
from huggingface_hub import DatasetCard

from maa_bench.dataset import card, card_header
from maa_bench.dataset.card import card_text, write_card
from maa_bench.dataset.card_header import size_category
from maa_bench.dataset.schema import COLUMNS, TRANSITIONS
from maa_bench.dataset.store import CARD, CheckpointDataset
from maa_bench.dataset.tables import write_checkpoints
from maa_bench.errors import DataError
from maa_bench.prompts import OUTCOME, SEGMENT
from maa_bench.simulators.catalogue import SIMULATORS
from maa_bench.suite import load_suite

ROOT = Path(__file__).parents[2]
Load = Callable[..., Any]


@pytest.fixture
def load(tiny_dataset: CheckpointDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """`datasets.load_dataset` of the tiny dataset's folder, offline and with a cache of its own."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    def opened(config: str, folder: Path = tiny_dataset.folder, **options: Any) -> Any:
        return datasets.load_dataset(str(folder), config, cache_dir=str(tmp_path / "hf"), **options)

    return opened


def rows(data: CheckpointDataset, table: str, task: str | None, role: str) -> int:
    return sum(entry["rows"] for entry in data.entries(table, task, role).values())


def test_the_build_wrote_the_card_that_is_written_again(tiny_dataset: CheckpointDataset, tmp_path: Path) -> None:
    assert (tiny_dataset.folder / CARD).read_text() == card_text(tiny_dataset)
    shutil.copytree(tiny_dataset.folder, tmp_path / "copy")
    path = write_card(CheckpointDataset(tmp_path / "copy", tiny_dataset.suite))
    assert path.read_bytes() == (tiny_dataset.folder / CARD).read_bytes()


def test_the_header_is_what_the_hub_reads(tiny_dataset: CheckpointDataset) -> None:
    found = DatasetCard.load(tiny_dataset.folder / CARD)
    about = found.data.to_dict()
    assert about["license"] == "cc-by-4.0"
    assert about["size_categories"] == [size_category(sum(e["rows"] for e in tiny_dataset.shards.values()))]
    assert "robotics" in about["task_categories"]
    header = yaml.safe_load((tiny_dataset.folder / CARD).read_text().split("---\n")[1])
    assert [config["config_name"] for config in header["configs"]] == [
        *tiny_dataset.tasks, "transitions", *(f"transitions-{task}" for task in tiny_dataset.tasks),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("n", "words"), [(999, "n<1K"), (1000, "1K<n<10K"), (42_000, "10K<n<100K"), (10**9, "1B<n<10B")]
)
def test_sizes_in_the_hubs_words(n: int, words: str) -> None:
    assert size_category(n) == words


@pytest.mark.parametrize("task", ["goal-000", "goal-030"])
def test_a_task_is_a_config_and_a_role_a_split(tiny_dataset: CheckpointDataset, load: Load, task: str) -> None:
    splits = load(task)
    roles = ["train", "prompt"] if task == "goal-000" else ["prompt"]
    assert list(splits) == roles
    for role in roles:
        assert set(splits[role]["role"]) == {role}
        assert set(splits[role]["task"]) == {task}
        assert len(splits[role]) == rows(tiny_dataset, "checkpoints", task, role) > 0


def test_columns_are_typed_with_vectors_of_fixed_size(tiny_dataset: CheckpointDataset, load: Load) -> None:
    spec = tiny_dataset.suite.policy
    vectors = {
        "params": spec.n_params,
        "observations": SEGMENT * spec.obs_dim,
        "actions": SEGMENT * spec.action_dim,
        "outcome": OUTCOME * spec.obs_dim,
    }
    for streaming in (False, True):
        features = load("goal-000", split="train", streaming=streaming).features
        assert list(features) == list(COLUMNS)
        for name, size in vectors.items():
            assert (features[name].length, features[name].feature.dtype) == (size, "float32"), name
        assert (features["success"].dtype, features["step"].dtype) == ("float32", "int64")
    features = load("transitions-goal-000", split="train").features
    assert list(features) == list(TRANSITIONS)
    assert (features["observation"].length, features["reward"].dtype) == (spec.obs_dim, "float32")
    assert features["success"].dtype == "bool"


def test_streaming_gives_the_same_rows(tiny_dataset: CheckpointDataset, load: Load) -> None:
    stream = load("goal-000", split="train", streaming=True)
    assert isinstance(stream, datasets.IterableDataset)
    rows = tiny_dataset.hf("goal-000", ["row_id", "params"], "train")
    streamed = list(stream)
    assert [row["row_id"] for row in streamed] == rows["row_id"]
    np.testing.assert_array_equal(streamed[3]["params"], rows[3]["params"])


def test_nobody_trains_on_an_unseen_tasks_transitions_by_accident(tiny_dataset: CheckpointDataset, load: Load) -> None:
    splits = load("transitions")
    for role in ("train", "prompt"):
        assert set(splits[role]["role"]) == {role}
        assert len(splits[role]) == rows(tiny_dataset, "transitions", None, role)
    assert set(splits["train"]["task"]) == set(tiny_dataset.suite.split("unseen").train)
    assert "expert" in splits["train"]["source"]
    of_unseen = load("transitions-goal-030")
    assert list(of_unseen) == ["prompt"]
    assert "expert" in of_unseen["prompt"]["source"]


def test_a_missing_shard_does_not_go_unseen(tiny_dataset: CheckpointDataset, load: Load, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_dataset.folder, folder)
    (folder / "checkpoints" / "goal-000" / "train-01.parquet").unlink()
    with pytest.raises(NonMatchingSplitsSizesError):
        load("goal-000", folder)


def test_the_examples_run(tiny_dataset: CheckpointDataset, load: Load, tiny_suite: Path, tmp_path: Path) -> None:
    text = card_text(tiny_dataset).replace(f"path/to/{tiny_dataset.id}", str(tiny_dataset.folder))
    text = text.replace('load_suite("tiny")', f'load_suite("{tiny_suite}")')
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 2
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
        for block in blocks:
            exec(block, found)
    spec = tiny_dataset.suite.policy
    assert (found["params"].shape, found["params"].dtype) == ((spec.n_params,), np.float32)
    assert found["first"]["task"] == "goal-000"
    assert set(found["steps"]) == {"train", "prompt"}
    assert len(found["training"].params) == 4 * 12


def table_after(text: str, words: str) -> list[list[str]]:
    """Cells of the Markdown table that follows `words`, without its header."""
    lines = text.partition(words)[2].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    table = itertools.takewhile(lambda line: line.startswith("|"), lines[first:])
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in table][2:]


def test_every_column_stands_with_type_shape_and_words(
    tiny_dataset: CheckpointDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = card_text(tiny_dataset)
    checkpoints = {line[0]: line for line in table_after(text, "Checkpoints (config")}
    assert list(checkpoints) == [f"`{name}`" for name in COLUMNS]
    assert checkpoints["`observations`"][1:4] == ["float32", f"{SEGMENT} x 4 = {SEGMENT * 4}", "the simulator's"]
    assert checkpoints["`step`"][1:4] == ["int64", "", "gradient steps"]
    assert [line[0] for line in table_after(text, "Transitions (config")] == [f"`{name}`" for name in TRANSITIONS]
    monkeypatch.setitem(COLUMNS, "new_column", "words of a new column")
    assert "| `new_column` | string |  |  | words of a new column |" in card_text(tiny_dataset)


def test_counts_are_the_manifests(tiny_dataset: CheckpointDataset) -> None:
    lines = table_after(card_text(tiny_dataset), "## Contents\n")
    found = {(line[0], line[1]): line[2:] for line in lines}
    for (task, role), cells in found.items():
        if task == "all":
            continue
        success = np.array(tiny_dataset.hf(task.strip("`"), ["success"], role)["success"])
        counts = [len(success), (success == 1).sum(), ((success > 0) & (success < 1)).sum(), (success == 0).sum()]
        assert cells[1:5] == [str(n) for n in counts]
    assert sum(int(cells[0]) for (task, _), cells in found.items() if task != "all") == int(found["all", ""][0])


def test_the_order_of_the_parameters_is_the_specs(tiny_dataset: CheckpointDataset) -> None:
    lines = table_after(card_text(tiny_dataset), "## Order of the parameters")
    spec = tiny_dataset.suite.policy
    flat = np.arange(spec.n_params)
    sizes = [np.prod([int(n) for n in shape.split(" x ")]) for _, shape, _, _ in lines]
    pieces = np.split(flat, np.cumsum(sizes)[:-1])
    assert [(int(start), int(stop)) for _, _, start, stop in lines] == [(p[0], p[-1] + 1) for p in pieces]
    assert [name.strip("`") for name, *_ in lines] == [tensor.name for tensor in spec.tensors]


def test_the_citations_are_those_of_the_repository(tiny_dataset: CheckpointDataset) -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    text = card_text(tiny_dataset)
    paper = cff["references"][0]
    assert cff["title"] in text
    assert str(cff["date-released"].year) in card.SOFTWARE_CITATION
    assert paper["title"] in card.PAPER_CITATION
    assert paper["identifiers"][0]["value"].removeprefix("arXiv:") in card.PAPER_CITATION
    for author in paper["authors"]:
        assert f"{author['family-names']}, {author['given-names']}" in card.PAPER_CITATION
    assert tiny_dataset.suite.citation in text


def test_units_of_meta_world_are_told(tiny_dataset: CheckpointDataset) -> None:
    assert "metres" in SIMULATORS[load_suite("metaworld-v1").simulator].units
    assert SIMULATORS["toy"].units in card_text(tiny_dataset)
    assert "metres" not in card_text(tiny_dataset)


def test_a_run_without_rows_leaves_its_config_readable(
    tiny_dataset: CheckpointDataset, load: Load, tmp_path: Path
) -> None:
    folder = tmp_path / "empty"
    shutil.copytree(tiny_dataset.folder, folder)
    data = CheckpointDataset(folder, tiny_dataset.suite)
    for shard, entry in data.entries("checkpoints", "goal-000").items():
        if shard.endswith(("train-01.parquet", "/prompt-00.parquet", "/prompt-01.parquet")):
            write_checkpoints(folder / shard, [], data.suite.policy)
            entry["rows"] = 0
    write_card(data)
    splits = load("goal-000", folder)
    assert list(splits) == ["train"], "a split without a row is none"
    assert set(splits["train"]["run"]) == {"train-00"}
    assert len(splits["train"]) == rows(data, "checkpoints", "goal-000", "train")


def test_a_task_may_not_take_the_name_of_a_config(tiny_dataset: CheckpointDataset) -> None:
    data = CheckpointDataset(tiny_dataset.folder, tiny_dataset.suite)
    data.shards = {shard: {**entry, "task": "transitions"} for shard, entry in data.shards.items()}
    data.tasks = ("transitions",)
    with pytest.raises(DataError, match="'transitions'"):
        card_header.configs(data)
