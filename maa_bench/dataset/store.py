"""Reading a checkpoint dataset, through Hugging Face `datasets`, into what methods are given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maa_bench.errors import DataError, ProtocolError
from maa_bench.files import sha256_of
from maa_bench.method import TrainingSet
from maa_bench.policy import Float32
from maa_bench.prompts import OUTCOME, SEGMENT, Behaviors, PromptSet
from maa_bench.suite import Suite

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa


class CheckpointDataset:
    """A dataset folder: one Parquet shard a task, and a manifest with a SHA-256 a shard.

    Raises:
        DataError: no manifest, or one of another suite.
    """

    def __init__(self, folder: Path, suite: Suite) -> None:
        self.folder, self.suite = folder, suite
        try:
            self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            identity = self.manifest["identity"]
            made_for, layouts_sha256 = identity["suite"], identity["layouts_sha256"]
            self.id: str = self.manifest["id"]
            self._shards: dict[str, dict[str, Any]] = self.manifest["shards"]
        except FileNotFoundError:
            raise DataError(f"no dataset at {folder}: build it with `maa-bench data build`") from None
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{folder / 'manifest.json'} is damaged ({error}): delete the folder {folder} and build it again"
            ) from None
        if made_for != suite.name or layouts_sha256 != suite.layouts_sha256:
            raise DataError(f"dataset {folder} was made for {made_for}, not for {suite.name} as it is now")

    def hf(self, task: str, columns: Sequence[str] | None = None) -> datasets.Dataset:
        """One task's rows as a Hugging Face `datasets.Dataset`, checked against the manifest.

        Raises:
            DataError: the shard is missing, truncated or altered.
        """
        path = self.folder / f"{task}.parquet"
        advice = f"delete {path} and run `maa-bench data build` again"
        if task not in self._shards:
            raise DataError(f"dataset {self.folder} has no task {task!r}")
        try:
            if sha256_of(path) != self._shards[task]["sha256"]:
                raise DataError(f"{path} is truncated or altered (SHA-256 differs from the manifest): {advice}")
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}; {advice}") from None
        import datasets
        import pyarrow.parquet as pq

        # In memory and without the library's own cache: the shards are local and small.
        return datasets.Dataset(pq.read_table(path, columns=None if columns is None else list(columns)))

    def training_set(self, split_name: str) -> TrainingSet:
        """What `fit` may see of a split: its training tasks' train runs, checkpoints of measured success 1.

        Raises:
            DataError: damaged shard, or a task without such a checkpoint.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        split = self.suite.split(split_name)
        tables = []
        for task in split.train:
            table = self.hf(task).data.table
            keep = pc.and_(pc.equal(table["role"], "train"), pc.equal(table["success"], 1.0))
            tables.append(table.filter(keep))
            if not len(tables[-1]):
                raise DataError(f"dataset {self.id}: task {task!r} has no train checkpoint of success 1")
        rows = pa.concat_tables(tables).combine_chunks()
        spec = self.suite.policy
        return TrainingSet(
            suite=self.suite.source,
            split=split_name,
            spec=spec,
            train_tasks=split.train,
            task=np.array(rows["task"].to_pylist()),
            role=np.array(rows["role"].to_pylist()),
            run=np.array(rows["run"].to_pylist()),
            step=rows["step"].to_numpy(),
            success=rows["success"].to_numpy(),
            params=spec.check(_vectors(rows["params"], (spec.n_params,))),
            behaviors=self._behaviors(rows),
        )

    def prompts(self, task: str, shots: int, seed: int) -> PromptSet:
        """Draw `shots` prompts of a task from its prompt runs, without repeats; no parameters are read.

        Every prompt is a trajectory that succeeded, of a policy that may fail elsewhere. The draw for fewer shots is a
        prefix of the draw for more.

        Raises:
            ProtocolError: the dataset has fewer prompts.
        """
        import pyarrow.compute as pc

        columns = ["row_id", "role", "success", "behavior_layout", "observations", "actions", "outcome"]
        table = self.hf(task, columns).data.table
        table = table.filter(pc.and_(pc.equal(table["role"], "prompt"), pc.greater_equal(table["behavior_layout"], 0)))
        if shots > len(table):
            raise ProtocolError(f"--shots {shots}: dataset {self.id} has {len(table)} prompts of task {task!r}")
        index = list(self.suite.tasks).index(task)
        order = np.random.default_rng([seed, index]).permutation(len(table))[:shots]
        rows = table.take(order).combine_chunks()
        return PromptSet(self.suite.source, task, self._behaviors(rows), tuple(rows["row_id"].to_pylist()))

    def _behaviors(self, rows: pa.Table) -> Behaviors:
        spec = self.suite.policy
        return Behaviors(
            _vectors(rows["observations"], (SEGMENT, spec.obs_dim)),
            _vectors(rows["actions"], (SEGMENT, spec.action_dim)),
            _vectors(rows["outcome"], (OUTCOME, spec.obs_dim)),
        )


def _vectors(column: pa.ChunkedArray, shape: tuple[int, ...]) -> Float32:
    """A column of fixed-size lists as one array (n, *shape) float32."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.array(flat, np.float32).reshape(len(column), *shape)
