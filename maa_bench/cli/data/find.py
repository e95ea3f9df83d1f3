"""Which dataset a verb is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from maa_bench.dataset.store import CheckpointDataset
    from maa_bench.suite import Scale


def find_dataset(
    name: str | None, suite: str, scale: str, cache_dir: Path | None, checked: bool = True
) -> CheckpointDataset:
    """The dataset of that id or folder; without one, the suite's own at a scale. Makes nothing.

    A dataset names its suite; `suite` is asked only for one that does not come with the package.

    Args:
        name: an id in the cache, or a folder.
        suite, scale: of the suite's own dataset.
        cache_dir: the cache.
        checked: whether the manifest must be sound; else it is only opened, for a verb that tells what is wrong.

    Raises:
        DataError: there is none, or it is damaged.
    """
    from maa_bench.cache import dataset_folder, default_cache_dir
    from maa_bench.dataset.config import plan_dataset
    from maa_bench.dataset.store import suite_of
    from maa_bench.errors import DataError
    from maa_bench.protocol import Protocol
    from maa_bench.suite import load_suite

    root = cache_dir or default_cache_dir()
    if name is not None:
        folder = dataset_folder(name, root)
        return _opened(folder, suite_of(folder, suite), checked)
    loaded = load_suite(suite)
    wanted = plan_dataset(loaded, Protocol(scale=cast("Scale", scale)).scale).id
    folder = root / "datasets" / wanted
    if not (folder / "manifest.json").exists():  # looking must not make a cache
        raise DataError(
            f"no dataset {wanted} in {root}: build it with `maa-bench data build --suite {suite} --scale {scale}`, "
            "or name another one"
        )
    return _opened(folder, suite, checked)


def _opened(folder: Path, suite: str, checked: bool) -> CheckpointDataset:
    from maa_bench.dataset.manifest import open_dataset
    from maa_bench.dataset.store import CheckpointDataset
    from maa_bench.suite import load_suite

    return open_dataset(folder, suite) if checked else CheckpointDataset(folder, load_suite(suite))
