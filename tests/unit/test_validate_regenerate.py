"""Records made again from their seeds: of a real run on the toy suite, agents that are no flat policies too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from submitted import edit

from maa_bench.cache import Cache
from maa_bench.errors import RecordError
from maa_bench.main_job import run_methods
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.results import CANDIDATE_ROWS, CANDIDATES, load_record
from maa_bench.validation.judge import Ways, judge
from maa_bench.validation.regenerate import cost_of, plan_of

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Results and cache of a small run on toy-v1."""
    root = tmp_path_factory.mktemp("runs")
    protocol = Protocol(shots=4, candidates=3, episodes=3, select_episodes=2)
    methods = ["mean_checkpoint", "prompt_dt"]
    options = {"results_dir": root / "results", "cache_dir": root / "cache", "workers": 1}
    run_methods(methods, suite="toy-v1", protocol=protocol, progress=Progress(quiet=True), **options)
    return root / "results", root / "cache"


def ways(cache: Path) -> Ways:
    return Ways(regenerate=True, cache_dir=cache, hub=False, progress=Progress(quiet=True))


@pytest.mark.parametrize("method", ["mean_checkpoint", "random_weights", "prompt_dt", "expert"])
def test_a_run_comes_out_again(runs: tuple[Path, Path], tmp_path: Path, method: str) -> None:
    results, cache = runs
    shutil.copytree(cache / "datasets", tmp_path / "cache" / "datasets")  # and none of its cells
    shutil.copy(cache / "format.json", tmp_path / "cache")
    (folder,) = (results / method).iterdir()
    record = load_record(folder)
    plan = plan_of(record, None)
    told = cost_of(plan, record, Cache(tmp_path / "cache"))
    assert f"{len(plan.cells)} of {len(plan.cells)} cells to do" in told
    (folder / CANDIDATES).unlink(missing_ok=True)
    verdict = judge(folder, ways(tmp_path / "cache"))
    assert verdict.problems == []
    assert verdict.candidates == len(record.split.test) * record.candidates_evaluated
    assert verdict.episodes > 0
    assert "0 of" in cost_of(plan, record, Cache(tmp_path / "cache"))


def test_what_was_not_so_is_told(runs: tuple[Path, Path]) -> None:
    results, cache = runs
    (folder,) = (results / "nearest_checkpoint").iterdir()
    import pyarrow as pa
    import pyarrow.parquet as pq
    from hostile import parquet, put

    rows = pq.read_table(folder / CANDIDATE_ROWS)
    hashes = ["0" * 64, *rows["sha256"].to_pylist()[1:]]
    (folder / CANDIDATES).unlink()
    put(folder, CANDIDATE_ROWS, parquet(rows.set_column(3, "sha256", pa.array(hashes))))
    (found,) = judge(folder, ways(cache)).problems
    assert "made again: task" in found
    assert "other parameters (1 of 3 candidates" in found
    edit(folder, lambda raw: raw["dataset"].update(id="another"))
    (found,) = judge(folder, ways(cache)).problems
    assert "it was fitted on dataset another" in found
    record = load_record(folder)
    seeds = record.seeds.model_copy(update={"train": (0, 2)})
    with pytest.raises(RecordError, match="follow one another"):
        plan_of(record.model_copy(update={"seeds": seeds}), None)
