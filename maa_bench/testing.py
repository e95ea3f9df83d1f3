"""What the tests of a method need: a real training set and real prompts, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from maa_bench.method import TrainingSet
from maa_bench.prompts import PromptSet

if TYPE_CHECKING:
    from maa_bench.dataset.store import CheckpointDataset


@dataclass(frozen=True)
class ToyData:
    """One split of the toy suite, as methods see it.

    Attributes:
        dataset: the suite's small dataset.
        split: `unseen` or `seen`.
    """

    dataset: CheckpointDataset
    split: str

    @cached_property
    def training_set(self) -> TrainingSet:
        """What `fit` is given."""
        return self.dataset.training_set(self.split)

    @property
    def test_tasks(self) -> tuple[str, ...]:
        """The split's test tasks, in its order."""
        return self.dataset.suite.split(self.split).test

    def prompts(self, task: str, shots: int = 16, seed: int = 0, uses: str = "prompts") -> PromptSet:
        """What `generate` is given for `task` if the method's card says `uses`: `shots` prompts, drawn by `seed`.

        Raises:
            ProtocolError: more shots than there are prompts.
        """
        from maa_bench.dataset.shown import shown_prompts
        from maa_bench.protocol import Protocol

        return shown_prompts(self.dataset, task, uses, Protocol(shots=shots), seed)


def toy_data(split: str = "unseen", cache_dir: Path | None = None) -> ToyData:
    """The small dataset of the suite `toy-v1`, which is built first (seconds, one core) if the cache has none.

    Args:
        split: `unseen` or `seen`.
        cache_dir: where it is kept; default: the platform's cache folder, as for `maa-bench run`.
    """
    from maa_bench.cache import Cache, default_cache_dir
    from maa_bench.dataset.config import plan_dataset
    from maa_bench.execution.local import LocalExecutor
    from maa_bench.progress import Progress
    from maa_bench.suite import load_suite
    from maa_bench.work import ensure_dataset

    cache = Cache(cache_dir or default_cache_dir())
    with LocalExecutor(1) as executor:
        data = ensure_dataset(plan_dataset(load_suite("toy-v1")), cache, Progress(quiet=True), executor)
    return ToyData(data, split)
