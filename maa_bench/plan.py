"""What a run will do, settled and checked before any work: cells, and the content addresses of everything in them.

The unit of work is a cell: one method, one training seed, one task. A finished cell lies in the cache under an
address made of everything that decides its bytes, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from maa_bench import evaluator, fitting
from maa_bench.conditions import Conditions
from maa_bench.dataset import shaky
from maa_bench.dataset.config import DatasetPlan, plan_dataset
from maa_bench.dataset.manifest import open_dataset
from maa_bench.dataset.shown import BLIND
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import DataError, MethodError, ProtocolError
from maa_bench.files import digest
from maa_bench.named_protocol import labelled
from maa_bench.protocol import PROMPT_SETTINGS, Protocol
from maa_bench.registry import CONTROLS, Chosen, LoadedMethod, load_methods
from maa_bench.software import software
from maa_bench.suite import DEFAULT_SUITE, Split, Suite, load_suite

ADDRESSED = ("shots", "candidates", "episodes", "select_episodes", "prompt_source")
"""Settings that are in the address of a cell at any value, if they decide it. Others came later: they are only where
they are not at their defaults, so that older cells keep their addresses."""


@dataclass(frozen=True)
class Cell:
    """One method, one training seed, one task."""

    method: LoadedMethod
    train_seed: int
    task: str
    key: str


@dataclass
class Plan:
    """Everything a run will do, settled before any work.

    Attributes:
        suite, split, tasks, protocol, train_seeds: what was asked for; `tasks` are the test tasks, in order.
        methods: methods asked for, then the controls.
        asked: how many of `methods` were asked for.
        broken: why a method that `all` stands for cannot be run, by its name.
        dataset: the dataset that is needed: one to be built, or one that was given.
        cells: all of them, by method, training seed and task.
    """

    suite: Suite
    split: Split
    tasks: tuple[str, ...]
    protocol: Protocol
    train_seeds: tuple[int, ...]
    methods: list[LoadedMethod]
    dataset: DatasetPlan | CheckpointDataset
    base_seed: int
    asked: int
    broken: dict[str, str]
    cells: list[Cell] = field(default_factory=list)

    @cached_property
    def dataset_id(self) -> str:
        """Address of the dataset; that of a given one follows its content."""
        return self.dataset.id if isinstance(self.dataset, DatasetPlan) else self.dataset.address

    def check_prompts(self, data: CheckpointDataset) -> None:
        """Refuse what a dataset has not enough prompts for.

        Raises:
            ProtocolError: fewer prompts of a task than shots.
        """
        wanted, source = self.protocol.shots, self.protocol.prompt_source
        for task in self.tasks:
            found = data.n_prompts(task, source)
            if found < wanted:
                raise ProtocolError(
                    f"--shots {wanted}: dataset {data.id} has {found} prompts of task {task!r} (source {source!r})"
                )

    def layouts(self) -> tuple[tuple[str, int], ...]:
        """(layout set, episodes a candidate) in the order of a cell's columns; "test" are those that are reported."""
        return ("select", self.protocol.select_episodes), ("test", self.protocol.episodes)

    @property
    def conditions(self) -> Conditions:
        """The layouts that "test" stands for, and the dynamics of all."""
        return Conditions.of(self.protocol)

    def fit_key(self, method: LoadedMethod, train_seed: int) -> str:
        """Content address of a fit."""
        return digest(
            {
                "version": fitting.VERSION,
                "method": [method.card.name, method.fingerprint],
                "scale": self.protocol.scale,
                "device": self.protocol.device,
                "dataset": self.dataset_id,
                "layouts": self.suite.layouts_sha256,  # a given dataset says nothing of the suite that it is used with
                "train": [_settled(self.suite, task) for task in self.split.train],
                "train_seed": train_seed,
                "software": software(),
            }
        )[:32]


def make_plan(
    methods: Sequence[str],
    suite: str = DEFAULT_SUITE,
    split: str = "unseen",
    tasks: Sequence[str] | None = None,
    protocol: Protocol | None = None,
    seeds: int = 1,
    seed: int = 0,
    dataset: Path | None = None,
) -> Plan:
    """Check everything that can be checked before work begins.

    Args:
        methods, suite, split, tasks, protocol, seeds, seed: as in `run_methods`.
        dataset: folder of a dataset; default: the suite's own at the protocol's scale.

    Raises:
        MaaBenchError: an unknown or ill-fitting name or number.
    """
    return _make_plan(_Asked(methods), suite, split, tasks, protocol or Protocol(), seeds, seed, dataset)


def make_plans(
    methods: Sequence[str],
    suite: str,
    parts: Sequence[tuple[str, Sequence[str] | None]],
    protocols: Sequence[Protocol],
    seeds: int = 1,
    seed: int = 0,
    dataset: Path | None = None,
) -> list[Plan]:
    """A plan for each split and condition, all checked before any work begins.

    Args:
        parts: splits, and those of their tasks that are wanted.
        protocols: conditions of one protocol.
        methods, suite, seeds, seed, dataset: as in `make_plan`.

    Raises:
        MaaBenchError: as `make_plan`; a condition that cannot be is named.
    """
    asked, plans = _Asked(methods), []
    for split, tasks in parts:
        for protocol in protocols:
            try:
                plans.append(_make_plan(asked, suite, split, tasks, protocol, seeds, seed, dataset))
            except ProtocolError as error:
                if not protocol.name:
                    raise
                raise ProtocolError(f"protocol {protocol.name}, condition {protocol.condition}: {error}") from None
    return plans


@dataclass
class _Asked:
    """Methods that are asked for, loaded once for all plans, and not before all else is known to be right."""

    names: Sequence[str]

    @cached_property
    def loaded(self) -> Chosen:
        return load_methods(self.names)

    @cached_property
    def with_controls(self) -> list[LoadedMethod]:
        return load_methods([*(method.name for method in self.loaded.methods), *CONTROLS]).methods


def _make_plan(
    asked: _Asked,
    suite: str,
    split: str,
    tasks: Sequence[str] | None,
    protocol: Protocol,
    seeds: int,
    seed: int,
    dataset: Path | None,
) -> Plan:
    protocol = labelled(protocol)
    if seeds < 1:
        raise ProtocolError(f"--seeds must be at least 1, not {seeds}")
    if seed < 0:
        raise ProtocolError(f"--seed must be 0 or more, not {seed}")
    if not asked.names:
        raise MethodError("name at least one --method")
    loaded_suite = load_suite(suite)
    chosen = loaded_suite.split(split)
    for task in tasks or ():
        loaded_suite.task(task)
        if task not in chosen.test:
            raise ProtocolError(
                f"split {split!r} does not test {task!r}; its tasks are {', '.join(chosen.test)}"
                + "".join(
                    [f" (--split {name} tests it)" for name, s in loaded_suite.splits.items() if task in s.test][:1]
                )
            )
    protocol.check_serves(loaded_suite)
    check_device(protocol.device)
    loaded_suite.layouts(chosen.test[0], "test")  # reads and checks the layout file
    test_tasks = tuple(t for t in chosen.test if not tasks or t in tasks)
    data = _dataset(loaded_suite, chosen, test_tasks, protocol, dataset)
    plan = Plan(
        suite=loaded_suite,
        split=chosen,
        tasks=test_tasks,
        protocol=protocol,
        train_seeds=tuple(range(seed, seed + seeds)),
        methods=asked.with_controls,
        dataset=data,
        base_seed=seed,
        asked=len(asked.loaded.methods),
        broken=asked.loaded.broken,
    )
    if isinstance(data, CheckpointDataset):
        plan.check_prompts(data)
    for method in plan.methods:
        for train_seed in plan.train_seeds:
            fit = plan.fit_key(method, train_seed)
            plan.cells += [Cell(method, train_seed, task, _cell_key(plan, method, fit, task)) for task in plan.tasks]
    return plan


def _dataset(
    suite: Suite, split: Split, tasks: tuple[str, ...], protocol: Protocol, folder: Path | None
) -> DatasetPlan | CheckpointDataset:
    """The dataset, once it is known to serve the split and the protocol."""
    wanted, source = protocol.shots, protocol.prompt_source
    if folder is None:
        plan = plan_dataset(suite, protocol.scale, name=split.dataset)
        at_most = plan.max_prompts(tasks, source)
        if wanted > at_most:
            raise ProtocolError(
                f"--shots {wanted}: a {protocol.scale} dataset of {suite.name} has at most {at_most} prompts a task "
                f"(source {source!r}); build a larger one (`maa-bench data build --per-task`) and name it as --dataset"
            )
        return plan
    data = open_dataset(folder, suite.source)
    for task in split.train:
        if not any(entry["verified"] for entry in data.entries("checkpoints", task, "train").values()):
            raise DataError(
                f"dataset {data.id} has no train checkpoints of success 1 of {task!r}, on which {split.name!r} trains"
            )
    return data


def check_device(device: str) -> None:
    """Before minutes of work, not after.

    Raises:
        ProtocolError: a CUDA device was asked for, and torch finds none.
    """
    if device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise ProtocolError(f"--device {device}: torch {torch.__version__} finds no CUDA device here; use --device cpu")


def _cell_key(plan: Plan, method: LoadedMethod, fit: str, task: str) -> str:
    return digest(
        {
            "version": evaluator.VERSION,
            "fit": fit,
            "task": _settled(plan.suite, task),
            "horizon": plan.suite.horizon,
            **_deciding(plan.protocol, method.card.uses),
        }
    )[:32]


def _deciding(protocol: Protocol, uses: str) -> dict[str, Any]:
    """The settings that decide a cell beside its fit's: what is at its default is left out, but for the first few."""
    asked = {name: getattr(protocol, name) for name in ADDRESSED} | protocol.changed
    unseen = PROMPT_SETTINGS if uses in BLIND else ()
    deciding = {name: value for name, value in asked.items() if name not in ("scale", "device", *unseen)}
    return {**deciding, "shaky": shaky.VERSION} if "action_noise" in deciding else deciding


def _settled(suite: Suite, task: str) -> list[Any]:
    """What a task is, whatever its name."""
    return [task, suite.task(task).env, dict(suite.task(task).options)]
