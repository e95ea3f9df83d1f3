"""The cache folder: other versions and damaged files are one clear error each."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maa_bench import cache as cache_module
from maa_bench.cache import FORMAT, Cache, CellFailure, CellResult
from maa_bench.episodes import FailedEpisode
from maa_bench.errors import CacheError

CELL = CellResult(
    first_success=np.array([[3, -1], [7, 2]]),
    params=np.arange(6, dtype=np.float32).reshape(2, 3),
    failures=(FailedEpisode(1, "test", 1, "the simulation diverged in step 2"),),
    seconds={"generate": 0.5, "evaluate": 1.25},
    steps=312,
    peak_mb=100.5,
    environment={"python": "3.11"},
)
KEY = "0123456789abcdef"


def test_a_cell_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert not cache.has_cell(KEY)
    cache.save_cell(KEY, CELL)
    loaded = Cache(tmp_path / "cache").load_cell(KEY)
    assert loaded.first_success.dtype == np.int64
    np.testing.assert_array_equal(loaded.first_success, CELL.first_success)
    assert loaded.params is not None
    np.testing.assert_array_equal(loaded.params, CELL.params)  # type: ignore[arg-type]
    assert loaded.failures == CELL.failures
    assert (loaded.seconds, loaded.steps, loaded.peak_mb) == (CELL.seconds, CELL.steps, CELL.peak_mb)


def test_a_cell_of_agents_that_are_no_flat_policies_has_no_parameters(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.save_cell(KEY, CellResult(CELL.first_success, None, (), CELL.seconds, 1, 1.0, {}))
    assert cache.load_cell(KEY).params is None


def test_a_failure_comes_back_and_gives_way_to_a_result(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.save_failure(KEY, CellFailure("out of memory"))
    cache.save_failure(KEY, CellFailure("out of ideas"))
    assert cache.has_cell(KEY)
    assert cache.load_cell(KEY) == CellFailure("out of ideas")
    cache.save_cell(KEY, CELL, replace=False)
    assert cache.load_cell(KEY).steps == CELL.steps
    cache.save_failure(KEY, CellFailure("too late"))
    assert cache.load_cell(KEY).steps == CELL.steps, "a result stays"


def test_a_result_gives_way_only_if_told_so(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    other = replace(CELL, steps=999)
    for overwrite, steps in ((False, CELL.steps), (True, 999)):
        cache.save_cell(KEY, CELL)
        cache.save_cell(KEY, other, replace=overwrite)
        assert cache.load_cell(KEY).steps == steps
    assert [p.name for p in (tmp_path / "cells").iterdir()] == [KEY], "nothing is left beside it"


def test_half_a_cell_gives_way(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.save_cell(KEY, CELL)
    (tmp_path / "cells" / KEY / "meta.json").unlink()  # by something that tidies up, say
    assert not cache.has_cell(KEY)
    cache.save_cell(KEY, CELL, replace=False)
    assert cache.load_cell(KEY).steps == CELL.steps


def test_what_killed_processes_left_half_written_is_removed_after_a_day(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.save_cell(KEY, CELL)
    old, new = tmp_path / "cells" / f".{KEY}.abc", tmp_path / "cells" / f".{KEY}.def"
    shard = tmp_path / "datasets" / "some" / ".reach.parquet.xyz"
    shard.parent.mkdir(parents=True)
    for folder in (old, new):
        folder.mkdir()
        (folder / "params.npy").write_bytes(b"half")
    shard.write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    prompts = tmp_path / "prompts" / ".half"
    prompts.mkdir(parents=True)
    for path in (old, shard, prompts):
        os.utime(path, (yesterday, yesterday))
    Cache(tmp_path)
    assert not old.exists()
    assert not prompts.exists()
    assert not shard.exists()
    assert new.exists(), "another process may be writing it now"
    assert cache.load_cell(KEY).steps == CELL.steps


@pytest.mark.parametrize(
    "stamp",
    [
        json.dumps({"format": FORMAT + 1, "maa_bench": "9.9.9"}),
        json.dumps({"format": FORMAT - 1, "maa_bench": "9.9.9"}),
        json.dumps({"maa_bench": "9.9.9"}),
    ],
)
def test_a_cache_of_another_version_is_refused(tmp_path: Path, stamp: str) -> None:
    (tmp_path / "format.json").write_text(stamp)
    with pytest.raises(CacheError, match=r"another version \(maa-bench 9\.9\.9\).* --cache-dir"):
        Cache(tmp_path)


@pytest.mark.parametrize("stamp", ["{", "[]", "1", ""])
def test_a_damaged_stamp_is_refused(tmp_path: Path, stamp: str) -> None:
    (tmp_path / "format.json").write_text(stamp)
    with pytest.raises(CacheError, match=r"another version \(maa-bench \?\)"):
        Cache(tmp_path)


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match=r"cannot use the cache folder .*choose --cache-dir"):
        Cache(tmp_path / "file" / "cache")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


def flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
@pytest.mark.parametrize("name", ["first_success.npy", "params.npy"])
def test_a_damaged_array_of_a_cell_is_named(tmp_path: Path, damage: Callable[[Path], None], name: str) -> None:
    cache = Cache(tmp_path)
    cache.save_cell(KEY, CELL)
    damage(tmp_path / "cells" / KEY / name)
    with pytest.raises(CacheError, match=rf"{name} is truncated or altered: delete .*{KEY} and run the same command"):
        cache.load_cell(KEY)


@pytest.mark.parametrize("content", ["{", "", "[]", "{}", '{"files": {}}', '{"files": 3}'])
def test_a_damaged_description_of_a_cell_is_named(tmp_path: Path, content: str) -> None:
    cache = Cache(tmp_path)
    cache.save_cell(KEY, CELL)
    (tmp_path / "cells" / KEY / "meta.json").write_text(content)
    with pytest.raises(CacheError, match=r"meta\.json is damaged: delete .* and run the same command again"):
        cache.load_cell(KEY)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"seconds": "long"}'])
def test_a_damaged_description_of_a_fit_is_named(tmp_path: Path, content: str) -> None:
    cache = Cache(tmp_path)
    assert cache.fit_cost(KEY) is None
    folder = cache.fit_folder(KEY)
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(content)
    with pytest.raises(CacheError, match=r"meta\.json is damaged: delete"):
        cache.fit_cost(KEY)


def test_a_cell_that_cannot_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        cache.save_cell(KEY, CELL)
    assert not cache.has_cell(KEY)
    assert list((tmp_path / "cells").iterdir()) == []


def test_a_folder_that_is_there_already_is_replaced(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for steps in (1, 2):
        cache.save_cell(KEY, replace(CELL, steps=steps))
    assert cache.load_cell(KEY).steps == 2
