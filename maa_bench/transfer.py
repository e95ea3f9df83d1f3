"""The transfer matrix: what checkpoints of a split's training tasks achieve on every task of the suite, as they are.

No method is run: the checkpoints are rolled out on the train layouts of tasks that they were not trained on. The matrix
says where drawing a seen checkpoint already succeeds, and picks, by a stated rule, the tasks where none ever does.
Test layouts are never touched, so that choosing a split by this matrix tells nothing about them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench import evaluator
from maa_bench.cache import Cache, CellFailure, CellResult
from maa_bench.dataset.store import CheckpointDataset, params_of
from maa_bench.environment import environment_info
from maa_bench.errors import CacheError, DataError, ProtocolError
from maa_bench.evaluator import EpisodeJob, Episodes
from maa_bench.execution import Executor, Job
from maa_bench.execution.threads import JOB_THREADS
from maa_bench.files import digest
from maa_bench.method import Agent, Agents, FlatPolicies
from maa_bench.policy import Float32
from maa_bench.progress import Progress
from maa_bench.simulators import opened_task
from maa_bench.software import software
from maa_bench.suite import Split, Suite, load_suite

LAYOUT_SET = "train"

EXPERT_SUCCEEDS = 0.9
"""A task on which the expert succeeds less often is hard for another reason than transfer."""

RULE = (
    f"no checkpoint of a training task succeeds on any layout, and the scripted expert succeeds on at least "
    f"{EXPERT_SUCCEEDS:.0%} of the {LAYOUT_SET} layouts"
)
"""When a task is hard, as `TransferMatrix.hard` decides it."""

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TransferSettings:
    """How much is rolled out.

    Attributes:
        checkpoints: of each train run, evenly along those of verified success 1.
        layouts: the first so many train layouts of every task; the expert gets all of them.

    Raises:
        ProtocolError: a number below 1.
    """

    checkpoints: int = 2
    layouts: int = 4

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ProtocolError(f"--{name} must be at least 1, not {value}")


@dataclass(frozen=True)
class Source:
    """A checkpoint that was rolled out: its training task, run and step, and the SHA-256 (hex) of its parameters."""

    task: str
    run: str
    step: int
    sha256: str


@dataclass(frozen=True)
class TransferMatrix:
    """Successful episodes of seen checkpoints on all tasks.

    Attributes:
        suite, layouts_sha256, split: what it was measured on.
        dataset: address of the dataset that the checkpoints are from.
        versions: packages that decide the physics.
        settings: how much was rolled out.
        tasks: all tasks of the suite, in order.
        sources: the checkpoints, grouped by training task in the split's order.
        successes: (n_sources, n_tasks) int64, successful episodes of `settings.layouts`.
        expert: (n_tasks,) float64, success of the scripted expert.
        expert_layouts: train layouts that the expert got: all.
    """

    suite: str
    layouts_sha256: str
    split: str
    dataset: str
    versions: dict[str, str]
    settings: TransferSettings
    tasks: tuple[str, ...]
    sources: tuple[Source, ...]
    successes: Int64
    expert: Float64
    expert_layouts: int

    @property
    def train_tasks(self) -> tuple[str, ...]:
        """The training tasks, in order."""
        return tuple(dict.fromkeys(source.task for source in self.sources))

    def _by_train_task(self) -> list[Float64]:
        rates = self.successes / self.settings.layouts
        return [rates[[source.task == task for source in self.sources]] for task in self.train_tasks]

    @property
    def mean(self) -> Float64:
        """Mean success of each training task's checkpoints on each task: (n_train, n_tasks) in [0, 1]."""
        return np.stack([rates.mean(axis=0) for rates in self._by_train_task()])

    @property
    def best(self) -> Float64:
        """Success of the best single checkpoint of each training task on each task: (n_train, n_tasks) in [0, 1]."""
        return np.stack([rates.max(axis=0) for rates in self._by_train_task()])

    @property
    def hard(self) -> tuple[str, ...]:
        """The tasks that `RULE` picks, in the suite's order."""
        picked = (self.successes.sum(axis=0) == 0) & (self.expert >= EXPERT_SUCCEEDS)
        return tuple(task for task, is_hard in zip(self.tasks, picked, strict=True) if is_hard)

    def to_json(self) -> dict[str, Any]:
        """Everything, with successes as counts, from which the rest follows."""
        sources = [
            asdict(source) | {"successes": row.tolist()}
            for source, row in zip(self.sources, self.successes, strict=True)
        ]
        return {
            "suite": self.suite,
            "layouts_sha256": self.layouts_sha256,
            "split": self.split,
            "dataset": self.dataset,
            "versions": self.versions,
            "layout_set": LAYOUT_SET,
            "settings": asdict(self.settings),
            "rule": RULE,
            "hard": list(self.hard),
            "tasks": list(self.tasks),
            "expert_layouts": self.expert_layouts,
            "expert": [round(float(x), 6) for x in self.expert],
            "checkpoints": sources,
        }

    @classmethod
    def from_json(cls, value: Any) -> TransferMatrix:
        """What `to_json` gave.

        Raises:
            DataError: something else.
        """
        try:
            rows = value["checkpoints"]
            return cls(
                **{name: value[name] for name in ("suite", "layouts_sha256", "split", "dataset", "versions")},
                settings=TransferSettings(**value["settings"]),
                tasks=tuple(value["tasks"]),
                sources=tuple(Source(row["task"], row["run"], row["step"], row["sha256"]) for row in rows),
                successes=np.array([row["successes"] for row in rows], np.int64),
                expert=np.array(value["expert"], np.float64),
                expert_layouts=value["expert_layouts"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"no transfer matrix: {type(error).__name__}: {error}") from None


@dataclass(frozen=True)
class _Expert:
    """A task's scripted expert as the only candidate."""

    suite: str
    task: str

    def __len__(self) -> int:
        return 1

    def agent(self, index: int) -> Agent:
        return opened_task(load_suite(self.suite), self.task).expert()


def chosen_checkpoints(data: CheckpointDataset, task: str, per_run: int) -> tuple[list[Source], Float32]:
    """Some checkpoints of success 1 of every train run of a task, evenly along its training.

    Returns:
        What they are, and their parameters: (n, n_params) float32.

    Raises:
        DataError: a run has fewer; a damaged shard.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    sources, params = [], []
    for shard, entry in data.entries("checkpoints", task, "train").items():
        table = data.table(shard, ["step", "success", "params"])
        table = table.filter(pc.equal(table["success"], 1.0)).sort_by("step")
        if len(table) < per_run:
            raise DataError(
                f"--checkpoints {per_run}: {task}/{entry['run']} of dataset {data.id} has {len(table)} of success 1"
            )
        table = table.take(pa.array(np.linspace(0, len(table) - 1, per_run).round().astype(int)))
        own = params_of(table, data.suite.policy.n_params)
        params.append(own)
        for step, row in zip(table["step"].to_pylist(), own, strict=True):
            sources.append(Source(task, str(entry["run"]), step, _sha256(row)))
    if not params:
        raise DataError(f"dataset {data.id} has no train runs of task {task!r}")
    return sources, np.concatenate(params)


def _sha256(params: Float32) -> str:
    return hashlib.sha256(np.ascontiguousarray(params, "<f4").tobytes()).hexdigest()


@dataclass
class _Cell:
    """All candidates of one source on one task: which rows of the result they are, and where the cache keeps them."""

    job: EpisodeJob
    rows: slice
    column: int
    key: str


def transfer_matrix(
    data: CheckpointDataset,
    split: Split,
    settings: TransferSettings,
    cache: Cache,
    executor: Executor,
    progress: Progress,
) -> TransferMatrix:
    """Roll out what the cache does not have yet, and put the matrix together; the same bytes wherever it runs.

    Args:
        data: a dataset with train runs of the split's training tasks.
        split: whose training tasks give the checkpoints.
        settings: how many.
        cache: keeps finished cells, so that an interrupted command goes on.
        executor: runs them.
        progress: shows them.

    Raises:
        ProtocolError: the suite has fewer train layouts.
        DataError: the dataset has fewer checkpoints.
    """
    suite = data.suite
    available = suite.layout_counts[LAYOUT_SET]
    if settings.layouts > available:
        raise ProtocolError(f"--layouts {settings.layouts}: suite {suite.name} has {available} {LAYOUT_SET} layouts")
    tasks = tuple(suite.tasks)
    sources: list[Source] = []
    groups: list[tuple[slice, FlatPolicies]] = []
    for task in split.train:
        own, params = chosen_checkpoints(data, task, settings.checkpoints)
        groups.append((slice(len(sources), len(sources) + len(own)), FlatPolicies(suite.policy, params)))
        sources += own
    expert_row = slice(len(sources), len(sources) + 1)
    cells = []
    for column, task in enumerate(tasks):  # task by task, so that a worker seldom opens another
        cells.append(_cell(suite, task, column, expert_row, _Expert(suite.source, task), available))
        cells += [_cell(suite, task, column, rows, agents, settings.layouts) for rows, agents in groups]
    counts = np.zeros((len(sources) + 1, len(tasks)), np.int64)
    for cell, first_success in _results(cells, cache, executor, progress):
        counts[cell.rows, cell.column] = (first_success > 0).sum(axis=1)
    return TransferMatrix(
        suite=suite.name,
        layouts_sha256=suite.layouts_sha256,
        split=split.name,
        dataset=data.address,
        versions=dict(suite.versions),
        settings=settings,
        tasks=tasks,
        sources=tuple(sources),
        successes=counts[:-1],
        expert=counts[-1] / available,
        expert_layouts=available,
    )


def _cell(suite: Suite, task: str, column: int, rows: slice, agents: Agents, layouts: int) -> _Cell:
    job = EpisodeJob(suite.source, task, agents, tuple(range(len(agents))), ((LAYOUT_SET, layouts),))
    about = suite.task(task)
    key = digest(
        {
            "transfer": [_sha256(row) for row in agents.params] if isinstance(agents, FlatPolicies) else "expert",
            "task": [task, about.env, dict(about.options)],
            "layouts": [suite.name, suite.layouts_sha256, LAYOUT_SET, layouts],
            "policy": suite.policy.id,
            "horizon": suite.horizon,
            "evaluator": evaluator.VERSION,
            "versions": dict(suite.versions),
            "software": software(),
        }
    )
    return _Cell(job, rows, column, key)


def _results(cells: list[_Cell], cache: Cache, executor: Executor, progress: Progress) -> Iterable[tuple[_Cell, Int64]]:
    """Every cell with its first successes, (n_candidates, n_layouts)."""
    environment = environment_info("cpu", JOB_THREADS).model_dump(mode="json")
    missing = [cell for cell in cells if not cache.has_cell(cell.key)]
    if len(missing) < len(cells):
        progress.note(f"{len(cells) - len(missing)} of {len(cells)} cells are in the cache")
    n_episodes = sum(len(cell.job.indices) * cell.job.layouts[0][1] for cell in missing)
    with progress.stage("transfer", n_episodes, "episodes") as stage:

        def finished(index: int, episodes: Episodes) -> Iterable[Job]:
            result = CellResult(
                first_success=episodes.first_success,
                params=None,
                failures=episodes.failures,
                seconds={"evaluate": round(episodes.seconds, 3)},
                steps=episodes.steps,
                peak_mb=episodes.peak_mb,
                environment=environment,
            )
            cache.save_cell(missing[index].key, result)
            stage.advance(episodes.first_success.size)
            return ()

        executor.run([cell.job for cell in missing], finished)
    for cell in cells:
        found = cache.load_cell(cell.key)
        if isinstance(found, CellFailure):
            raise CacheError(f"cell {cell.key} of the cache is a failure: {found.reason}")
        yield cell, found.first_success
