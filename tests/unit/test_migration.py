"""Records of older schema versions still load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from maa_bench.errors import RecordError
from maa_bench.metrics import METRICS
from maa_bench.results import CANDIDATE_ROWS, load_candidate_rows, load_record, validate_record

OLD = Path(__file__).parents[1] / "data" / "record-v1"
"""A record as version 1 wrote it, of the control `random_weights` on Meta-World."""


def test_a_record_of_version_1_loads_and_says_what_it_said() -> None:
    raw = json.loads((OLD / "record.json").read_text())
    assert raw["schema_version"] == 1
    record = validate_record(OLD)
    assert record.schema_version == 2
    again = record.model_dump(mode="json")
    for task, values in raw["metrics"]["tasks"].items():
        for metric, value in values.items():
            told = again["metrics"]["tasks"][task][metric]
            assert told["value"] == value["value"]
            assert told["ci"][0] <= value["value"] <= told["ci"][1]
    for key in ("method", "suite", "split", "dataset", "protocol", "seeds", "environment", "cost", "files"):
        told = raw[key]
        assert {name: again[key][name] for name in told} == told


def test_what_version_1_lacked_is_made_of_its_episodes_or_says_as_before() -> None:
    record = load_record(OLD)
    for _, values in record.metric_sets():
        assert values.mean.value <= values.oracle_best.value
        assert values.legacy_top5.value <= values.legacy_best.value
        assert values.steps_to_success is None or values.steps_to_success.value >= 1
        assert all(values[metric] for metric in METRICS)
    assert (record.protocol.name, record.protocol.prompt_noise, record.protocol.mass) == (None, 0, 1)
    assert record.weights is None
    assert CANDIDATE_ROWS not in record.files
    assert load_candidate_rows(OLD, record) is None


def test_a_damaged_record_of_version_1_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(OLD, folder)
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text.replace('"metrics"', '"metricks"'))
    with pytest.raises(RecordError, match="key 'metrics' is missing"):
        load_record(folder)
    (folder / "record.json").write_text(text)
    (folder / "episodes.parquet").unlink()
    with pytest.raises(RecordError, match=r"episodes\.parquet"):
        load_record(folder)
