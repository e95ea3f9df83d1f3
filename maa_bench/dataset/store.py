"""Reading a checkpoint dataset into what methods are given."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maa_bench.dataset.experts import EXPERT, expert_prompts
from maa_bench.dataset.tables import concatenated, transitions_of, vectors
from maa_bench.dataset.transitions import Transitions, joined, no_transitions
from maa_bench.errors import DataError, ProtocolError
from maa_bench.files import digest, sha256_of
from maa_bench.method import TrainingSet
from maa_bench.policy import Float32
from maa_bench.prompts import OUTCOME, SEGMENT, Behaviors, PromptSet
from maa_bench.suite import Suite, list_suites

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

MANIFEST = "manifest.json"
CARD = "README.md"

Entry = dict[str, Any]
"""What the manifest says of one shard; while it is built also `seconds`, which the manifest does not say."""


def suite_of(folder: Path, default: str) -> str:
    """Name of the suite that a dataset was made for, if it is one that comes with the package; else `default`."""
    try:
        name = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["identity"]["suite"]
    except (OSError, ValueError, KeyError, TypeError):
        return default  # opening it says what is wrong
    return name if name in list_suites() else default


class CheckpointDataset:
    """A dataset folder: Parquet shards, one a training run, and a manifest with a SHA-256 a shard.

    <folder>/README.md                             the card
    <folder>/manifest.json                         identity, shards, counts
    <folder>/checkpoints/<task>/<run>.parquet      `schema.COLUMNS`
    <folder>/transitions/<task>/<run>.parquet      `schema.TRANSITIONS`

    Raises:
        DataError: no manifest, or one of another suite.
    """

    def __init__(self, folder: Path, suite: Suite) -> None:
        self.folder, self.suite = folder, suite
        path = folder / MANIFEST
        try:
            self.manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self.identity: dict[str, Any] = self.manifest["identity"]
            made_for, layouts_sha256 = self.identity["suite"], self.identity["layouts_sha256"]
            spec_id, self.producer = self.identity["spec_id"], str(self.identity["producer"][0])
            self.id: str = self.manifest["id"]
            self.shards: dict[str, Entry] = self.manifest["shards"]
            self.tasks = tuple(dict.fromkeys(str(entry["task"]) for entry in self.shards.values()))
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(f"no dataset at {folder}: build it with `maa-bench data build`") from None
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise DataError(f"{path} is damaged ({error}): delete the folder {folder} and build it again") from None
        if made_for != suite.name or layouts_sha256 != suite.layouts_sha256:
            raise DataError(f"dataset {folder} was made for {made_for}, not for {suite.name} as it is now")
        if spec_id != suite.policy.id:
            raise DataError(f"dataset {folder} holds policies {spec_id}, but {suite.name} has {suite.policy.id}")

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 (hex) over the shards' hashes: two datasets share it only if they hold the same bytes."""
        return digest({shard: entry["sha256"] for shard, entry in self.shards.items()})

    @property
    def address(self) -> str:
        """Id and content: a dataset that was not built here may hold other bytes than its id would give here."""
        return f"{self.id}.{self.content_sha256[:10]}"

    def entries(self, table: str, task: str | None = None, role: str | None = None) -> dict[str, Entry]:
        """Shards of a table (`checkpoints` or `transitions`) by path, of one task and role if they are given."""
        return {
            shard: entry
            for shard, entry in self.shards.items()
            if entry["table"] == table and task in (None, entry["task"]) and role in (None, entry["role"])
        }

    def table(self, shard: str, columns: Sequence[str] | None = None) -> pa.Table:
        """One shard, checked against the manifest.

        Raises:
            DataError: the shard is missing, truncated or altered.
        """
        import pyarrow.parquet as pq

        path = self.folder / shard
        advice = f"delete {path} and run `maa-bench data build` (or pull) again"
        try:
            if sha256_of(path) != self.shards[shard]["sha256"]:
                raise DataError(f"{path} is truncated or altered (SHA-256 differs from the manifest): {advice}")
            return pq.read_table(path, columns=None if columns is None else list(columns))
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}; {advice}") from None

    def hf(self, task: str, columns: Sequence[str] | None = None, role: str | None = None) -> datasets.Dataset:
        """One task's checkpoints as a Hugging Face `datasets.Dataset`, of one role if it is given.

        Raises:
            DataError: no such task; a shard that is missing, truncated or altered.
        """
        if task not in self.tasks:
            raise DataError(f"dataset {self.folder} has no task {task!r}")
        import datasets

        shards = self.entries("checkpoints", task, role)
        if not shards:
            raise DataError(f"dataset {self.id} has no {role} runs of task {task!r}")
        # In memory and without the library's own cache: the shards are local.
        return datasets.Dataset(concatenated(self.table(shard, columns) for shard in shards))

    def training_set(self, split_name: str) -> TrainingSet:
        """What `fit` may see of a split: its training tasks' train runs, checkpoints of measured success 1.

        Raises:
            DataError: damaged shard, or a task without such a checkpoint.
        """
        import pyarrow.compute as pc

        split, spec = self.suite.split(split_name), self.suite.policy
        by_task = {task: self.entries("checkpoints", task, "train") for task in split.train}
        n = sum(int(entry["verified"]) for shards in by_task.values() for entry in shards.values())
        # Filled shard by shard: 15,000 policies are 1.4 GB, which need not be there twice.
        params = np.empty((n, spec.n_params), np.float32)
        observations = np.empty((n, SEGMENT, spec.obs_dim), np.float32)
        actions = np.empty((n, SEGMENT, spec.action_dim), np.float32)
        outcome = np.empty((n, OUTCOME, spec.obs_dim), np.float32)
        columns: dict[str, list[Any]] = {name: [] for name in ("task", "role", "run", "step", "success")}
        row = 0
        for task, shards in by_task.items():
            first = row
            for shard in shards:
                table = self.table(shard)
                table = table.filter(pc.equal(table["success"], 1.0)).combine_chunks()
                rows = slice(row, row + len(table))
                if rows.stop > n:
                    raise DataError(f"{self.folder / shard} has other rows than {MANIFEST} says: build it again")
                params[rows] = vectors(table["params"], (spec.n_params,))
                observations[rows] = vectors(table["observations"], observations.shape[1:])
                actions[rows] = vectors(table["actions"], actions.shape[1:])
                outcome[rows] = vectors(table["outcome"], outcome.shape[1:])
                for name, values in columns.items():
                    values += table[name].to_pylist()
                row = rows.stop
            if row == first:
                raise DataError(f"dataset {self.id}: task {task!r} has no train checkpoint of success 1")
        if row != n:
            raise DataError(f"the shards of {self.folder} have other rows than {MANIFEST} says: build it again")
        return TrainingSet(
            suite=self.suite.source,
            split=split_name,
            spec=spec,
            train_tasks=split.train,
            task=np.array(columns["task"]),
            role=np.array(columns["role"]),
            run=np.array(columns["run"]),
            step=np.array(columns["step"], np.int64),
            success=np.array(columns["success"], np.float32),
            params=spec.check(params),
            behaviors=Behaviors(observations, actions, outcome),
            transitions=_Lazy({task: partial(self.transitions, task, "train") for task in split.train}),
        )

    def transitions(self, task: str, role: str) -> Transitions:
        """Episodes of a task's runs of one role, step by step, its experts' first; empty if there are none.

        Raises:
            DataError: damaged shard.
        """
        spec = self.suite.policy
        shards = sorted(self.entries("transitions", task, role), key=lambda shard: "/expert-" not in shard)
        parts = [transitions_of(self.table(shard), spec) for shard in shards]
        return joined([no_transitions(spec), *parts])

    def n_prompts(self, task: str, source: str) -> int:
        """How many prompts of a source (see `protocol.PROMPT_SOURCES`) a task has."""
        if source == "expert":
            return len(self._expert_prompts(task)[0])
        return sum(int(e[_KIND_OF[source]]) for e in self.entries("checkpoints", task, "prompt").values())

    def prompts(self, task: str, shots: int, seed: int, source: str = "trained") -> PromptSet:
        """Draw `shots` prompts of a task, without repeats; no parameters are read.

        Every prompt is a trajectory that succeeded: of a policy of success 1 (`trained`) or of one that fails elsewhere
        (`partial`), both from prompt runs, or of the scripted expert (`expert`). The draw for fewer shots is a prefix
        of the draw for more.

        Raises:
            ProtocolError: the dataset has fewer prompts.
        """
        behaviors, names = self.all_prompts(task, source)
        if shots > len(names):
            raise ProtocolError(
                f"--shots {shots}: dataset {self.id} has {len(names)} prompts of task {task!r} (source {source!r})"
            )
        index = list(self.suite.tasks).index(task)
        order = np.random.default_rng([seed, index]).permutation(len(names))[:shots]
        return PromptSet(self.suite.source, task, behaviors.take(order), tuple(names[i] for i in order))

    def all_prompts(self, task: str, source: str) -> tuple[Behaviors, list[str]]:
        """Every prompt of a source that a task has, in the dataset's order, and the row that each is of."""
        return self._expert_prompts(task) if source == "expert" else self._run_prompts(task, source)

    def _run_prompts(self, task: str, source: str) -> tuple[Behaviors, list[str]]:
        import pyarrow.compute as pc

        table = self.hf(task, ["row_id", "success", "observations", "actions", "outcome"], "prompt").data.table
        success = table["success"]
        partial = pc.and_(pc.greater(success, 0.0), pc.less(success, 1.0))
        rows = table.filter(pc.equal(success, 1.0) if source == "trained" else partial).combine_chunks()
        spec = self.suite.policy
        behaviors = Behaviors(
            vectors(rows["observations"], (SEGMENT, spec.obs_dim)),
            vectors(rows["actions"], (SEGMENT, spec.action_dim)),
            vectors(rows["outcome"], (OUTCOME, spec.obs_dim)),
        )
        return behaviors, rows["row_id"].to_pylist()

    def _expert_prompts(self, task: str) -> tuple[Behaviors, list[str]]:
        shards = [shard for shard in self.entries("transitions", task) if "/expert-" in shard]
        parts = [transitions_of(self.table(shard), self.suite.policy) for shard in shards]
        behaviors, layouts = expert_prompts(joined([no_transitions(self.suite.policy), *parts]))
        return behaviors, [f"{task}/{EXPERT}/{layout}" for layout in layouts]


_KIND_OF = {"trained": "verified", "partial": "partial"}
"""Which checkpoints give the prompts of a source."""


class _Lazy(Mapping[str, Transitions]):
    """Transitions by training task, read when asked for; what is not in `readers` cannot be reached from here."""

    def __init__(self, readers: Mapping[str, Callable[[], Transitions]]) -> None:
        self._readers = dict(readers)

    def __getitem__(self, task: str) -> Transitions:
        return self._readers[task]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


def params_of(table: pa.Table, n_params: int) -> Float32:
    """The policies of a table: (n, n_params) float32."""
    out: Float32 = vectors(table["params"], (n_params,))
    return out
