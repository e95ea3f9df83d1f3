"""What a dataset consists of, settled before it is built: runs, checkpoints, settings, and its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from maa_bench.dataset.experts import ExpertConfig
from maa_bench.dataset.producers import TrainingRun
from maa_bench.dataset.producers.registry import load_producer, producer_names
from maa_bench.dataset.schema import FORMAT
from maa_bench.dataset.settings import MAY_BE_0, changed, identity_of
from maa_bench.errors import DataError, SuiteError
from maa_bench.files import digest
from maa_bench.software import software
from maa_bench.suite import Scale, Suite, load_suite

DEFAULT_PRODUCER = "distill"


@dataclass(frozen=True)
class DatasetConfig:
    """How many checkpoints, from how many runs, checked how.

    Attributes:
        train_runs, validation_runs, prompt_runs: runs of each task that a split of the dataset trains on; prompt runs
            only if one tests it, too.
        unseen_runs: runs of each other task; all of them only act out prompts.
        per_run: checkpoints of success 1 a run.
        prompts_per_run: the same of a run that only acts out prompts; None: `per_run`.
        partial_prompts: further checkpoints a task, of success between 0 and 1, divided among its prompt runs.
        partial_per_run: the same of each train and validation run.
        episodes: verification episodes a checkpoint, on as many train layouts.
        near_duplicate: a snapshot is dropped, unrolled, if its parameters differ from the run's last kept ones by less
            than this part of their Euclidean length.
        run_episodes: checkpoints of each run that act one more episode each, with rewards, for the transitions.
        experts: how the scripted experts are recorded.
    """

    train_runs: int = 3
    validation_runs: int = field(default=0, metadata=MAY_BE_0)
    prompt_runs: int = 1
    unseen_runs: int = 1
    per_run: int = 32
    prompts_per_run: int | None = None
    partial_prompts: int = field(default=4, metadata=MAY_BE_0)
    partial_per_run: int = field(default=0, metadata=MAY_BE_0)
    episodes: int = 3
    near_duplicate: float = field(default=1e-3, metadata=MAY_BE_0)
    run_episodes: int = field(default=2, metadata=MAY_BE_0)
    experts: ExpertConfig = field(default_factory=ExpertConfig)

    def with_per_task(self, checkpoints: int) -> DatasetConfig:
        """The same for `checkpoints` a task (at least), divided among the runs of a role.

        Raises:
            DataError: fewer than one.
        """
        if checkpoints < 1:
            raise DataError(f"--per-task must be at least 1, not {checkpoints}")
        return replace(self, per_run=-(-checkpoints // min(self.train_runs, self.unseen_runs)))


CONFIGS: dict[Scale, DatasetConfig] = {
    "small": DatasetConfig(),
    # 10 runs of 150 checkpoints: the paper's 1,500 a task.
    "paper": DatasetConfig(
        train_runs=10,
        validation_runs=1,
        prompt_runs=2,
        unseen_runs=10,
        per_run=150,
        partial_prompts=100,
        partial_per_run=4,
        episodes=5,
        run_episodes=8,
        experts=ExpertConfig(demonstrations=200, noise_std=(0.0, 0.1, 0.2, 0.5)),
    ),
}


@dataclass(frozen=True)
class DatasetPlan:
    """A dataset, settled.

    Attributes:
        suite: the suite.
        tasks: names of the tasks in it, in the suite's order.
        trained: those of them that are trained on: they get train runs.
        tested: those of them that are tested: they get prompt runs.
        config: sizes.
        producer: name of the producer.
        settings: the producer's.
        device: where it trains: it decides bits.
    """

    suite: Suite
    tasks: tuple[str, ...]
    trained: tuple[str, ...]
    tested: tuple[str, ...]
    config: DatasetConfig
    producer: str
    settings: Any
    device: str = "cpu"

    def __reduce__(self) -> tuple[Any, ...]:
        """Jobs take the suite by name: on another machine its files lie elsewhere."""
        settled = self.tasks, self.trained, self.tested, self.config, self.producer, self.settings, self.device
        return _reloaded, (type(self), self.suite.source, *settled)

    @property
    def producer_version(self) -> int:
        """The producer's own."""
        return load_producer(self.producer).version

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the dataset's numbers; its hash is the dataset's id."""
        suite = self.suite
        noise = {task: suite.task(task).expert_noise for task in self.tasks}
        gentle = {task: part for task, part in noise.items() if part != 1.0}
        return {
            "format": FORMAT,
            "suite": suite.name,
            "layouts_sha256": suite.layouts_sha256,
            "tasks": [[name, suite.task(name).env, dict(suite.task(name).options)] for name in self.tasks],
            "software": software(),
            "trained": sorted(self.trained),
            # Settings that came later are in it only where they are used: older datasets keep their ids.
            **({} if self.tested == self.tasks else {"tested": sorted(self.tested)}),
            **({"expert_noise": gentle} if gentle else {}),
            "horizon": suite.horizon,
            "spec_id": suite.policy.id,
            "versions": dict(suite.versions),
            "producer": [self.producer, self.producer_version],
            "settings": identity_of(self.settings),
            **({} if self.device == "cpu" else {"device": self.device}),
            "config": {key: value for key, value in asdict(self.config).items() if value is not None},
        }

    @property
    def id(self) -> str:
        """Content address of the dataset, e.g. `metaworld-v1-3f2a90c1d4`."""
        return f"{self.suite.name}-{digest(self.identity)[:10]}"

    def experts(self, task: str) -> ExpertConfig:
        """How a task's experts are recorded."""
        config, part = self.config.experts, self.suite.task(task).expert_noise
        return replace(config, noise_std=tuple(std * part for std in config.noise_std))

    def runs(self, task: str) -> list[TrainingRun]:
        """The training runs of a task. A run keeps its seed whatever other runs there are."""
        config, keeps_all = self.config, load_producer(self.producer).keeps_all
        counts = {"prompt": config.unseen_runs}
        if task in self.trained:
            counts = {"train": config.train_runs, "validation": config.validation_runs, "prompt": config.prompt_runs}
        if task not in self.tested:
            del counts["prompt"]
        found = []
        for role, count in counts.items():
            for number in range(count):
                partial = _share(config.partial_prompts, number, count) if role == "prompt" else config.partial_per_run
                failing = -(-partial // 4)
                if keeps_all:
                    partial = failing = ALL
                name, seed = f"{role}-{number:02d}", SEEDS[role] + number
                verified = (config.prompts_per_run if role == "prompt" else None) or config.per_run
                found.append(TrainingRun(task, role, name, seed, verified, partial, failing))
        return found

    def max_prompts(self, tasks: Iterable[str], source: str) -> int:
        """The most prompts of a source (see `protocol.PROMPT_SOURCES`) that every one of these tasks can have."""
        config = self.config
        if source == "expert":
            noise = config.experts.noise_std
            clean = sum(not noise[i % len(noise)] for i in range(config.experts.demonstrations))
            return min(clean, self.suite.layout_counts["train"])
        kind = "verified" if source == "trained" else "partial"
        runs = {task: [run for run in self.runs(task) if run.role == "prompt"] for task in tasks}
        return min(sum(int(getattr(run, kind)) for run in own) for own in runs.values())


def _reloaded(kind: type[DatasetPlan], suite: str, *rest: Any) -> DatasetPlan:
    return kind(load_suite(suite), *rest)


ALL = 1_000_000_000
"""Of a kind of checkpoints: as many as there are."""

SEEDS = {"train": 0, "validation": 500, "prompt": 1000}
"""First seed of the runs of each role."""


def _share(total: int, number: int, count: int) -> int:
    """Part `number` of `count` of `total` things."""
    return total // count + (number < total % count)


def plan_dataset(
    suite: Suite,
    scale: Scale = "small",
    *,
    name: str | None = None,
    per_task: int | None = None,
    tasks: tuple[str, ...] = (),
    producer: str = DEFAULT_PRODUCER,
    changes: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> DatasetPlan:
    """Settle a dataset.

    Args:
        suite: the suite, whose TOML may change sizes of a scale (`[dataset.<scale>]`, `.experts`, `.<producer>`).
        scale: `small` or `paper`.
        name: which of the suite's datasets, for a suite with several; default: its first.
        per_task: checkpoints of success 1 a task, of the paper's scale in all else.
        tasks: only these; default: all of the dataset.
        producer: a registered producer.
        changes: of the producer's settings.
        device: where it trains, if it can choose: `cpu` or `cuda`.

    Raises:
        SuiteError: no such dataset; a task that it lacks; the suite names a setting that does not exist, or gives one a
            value that cannot be.
        DataError: the same of `changes`; an unknown producer.
    """
    own_tasks = suite.dataset_tasks(name)
    for task in tasks:
        suite.task(task)
        if task not in own_tasks.tasks:
            others = [other for other, having in suite.datasets.items() if task in having.tasks]
            raise SuiteError(
                f"dataset {name or next(iter(suite.datasets))!r} of suite {suite.name} has no task {task!r}"
                + (f"; {', '.join(others)} {'has' if len(others) == 1 else 'have'} it" if others else "")
            )
    loaded = load_producer(producer)
    if device != "cpu" and not loaded.uses_device:
        raise DataError(f"producer {producer!r} trains on the CPU alone: leave --device out")
    if per_task is not None:
        scale = "paper"
    own = dict(suite.dataset.get(scale, {}))
    where = f"suite {suite.name}: 'dataset.{scale}"
    of_experts = own.pop("experts", {})
    of_producers = {name: own.pop(name) for name in producer_names() if name in own}
    experts = changed(CONFIGS[scale].experts, of_experts, f"{where}.experts", SuiteError)
    config = replace(changed(CONFIGS[scale], own, where, SuiteError), experts=experts)
    if per_task is not None:
        config = config.with_per_task(per_task)
    settings = changed(loaded.settings(scale), of_producers.get(producer, {}), f"{where}.{producer}", SuiteError)
    settings = changed(settings, changes or {}, f"producer setting '{producer}", DataError)
    chosen, trained, tested = (
        tuple(task for task in group if not tasks or task in tasks)
        for group in (own_tasks.tasks, own_tasks.trained, own_tasks.tested)
    )
    return DatasetPlan(suite, chosen, trained, tested, config, producer, settings, device)
