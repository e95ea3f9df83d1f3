"""What a run will do, settled and checked before any work: cells, and the content addresses of everything in them.

The unit of work is a cell: one method, one training seed, one task. A finished cell lies in the cache under an
address made of everything that decides its bytes, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from maa_bench import evaluator
from maa_bench.dataset.build import DatasetConfig, dataset_config, dataset_id, max_prompts
from maa_bench.errors import MethodError, ProtocolError
from maa_bench.files import digest
from maa_bench.protocol import Protocol
from maa_bench.registry import CONTROLS, LoadedMethod, load_methods
from maa_bench.software import software
from maa_bench.suite import Split, Suite, load_suite


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
        dataset_config, dataset_id: the dataset that is needed.
        cells: all of them, by method, training seed and task.
    """

    suite: Suite
    split: Split
    tasks: tuple[str, ...]
    protocol: Protocol
    train_seeds: tuple[int, ...]
    methods: list[LoadedMethod]
    dataset_config: DatasetConfig
    dataset_id: str
    base_seed: int
    cells: list[Cell] = field(default_factory=list)

    def layouts(self) -> tuple[tuple[str, int], ...]:
        """(layout set, episodes a candidate) in the order of a cell's columns."""
        return ("select", self.protocol.select_episodes), ("test", self.protocol.episodes)

    def fit_key(self, method: LoadedMethod, train_seed: int) -> str:
        """Content address of a fit."""
        return digest(
            {
                "method": [method.card.name, method.fingerprint],
                "scale": self.protocol.scale,
                "device": self.protocol.device,
                "dataset": self.dataset_id,
                "train": self.split.train,
                "train_seed": train_seed,
                "software": software(),
            }
        )[:32]


def make_plan(
    methods: Sequence[str],
    suite: str = "metaworld-v1",
    split: str = "unseen",
    tasks: Sequence[str] | None = None,
    protocol: Protocol | None = None,
    seeds: int = 1,
    seed: int = 0,
) -> Plan:
    """Check everything that can be checked before work begins.

    Raises:
        MaaBenchError: an unknown or ill-fitting name or number.
    """
    protocol = protocol or Protocol()
    if seeds < 1:
        raise ProtocolError(f"--seeds must be at least 1, not {seeds}")
    if seed < 0:
        raise ProtocolError(f"--seed must be 0 or more, not {seed}")
    if not methods:
        raise MethodError("name at least one --method")
    loaded_suite = load_suite(suite)
    chosen = loaded_suite.split(split)
    for task in tasks or ():
        loaded_suite.task(task)
        if task not in chosen.test:
            raise ProtocolError(f"split {split!r} does not test {task!r}; its tasks are {', '.join(chosen.test)}")
    protocol.check_serves(loaded_suite)
    check_device(protocol.device)
    loaded_suite.layouts(chosen.test[0], "test")  # reads and checks the layout file
    config = dataset_config(loaded_suite, protocol.scale)
    at_most = max_prompts(config)
    if protocol.shots > at_most:
        raise ProtocolError(
            f"--shots {protocol.shots}: a {protocol.scale} dataset of {loaded_suite.name} has at most {at_most} "
            "prompts a task"
        )
    names = list(dict.fromkeys([*methods, *CONTROLS]))
    plan = Plan(
        suite=loaded_suite,
        split=chosen,
        tasks=tuple(t for t in chosen.test if not tasks or t in tasks),
        protocol=protocol,
        train_seeds=tuple(range(seed, seed + seeds)),
        methods=load_methods(names),
        dataset_config=config,
        dataset_id=dataset_id(loaded_suite, config),
        base_seed=seed,
    )
    plan.cells = [
        Cell(method, train_seed, task, _cell_key(plan, method, train_seed, task))
        for method in plan.methods
        for train_seed in plan.train_seeds
        for task in plan.tasks
    ]
    return plan


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


def _cell_key(plan: Plan, method: LoadedMethod, train_seed: int, task: str) -> str:
    protocol = {k: v for k, v in plan.protocol.as_dict().items() if k not in ("scale", "device")}
    return digest(
        {
            "version": evaluator.VERSION,
            "fit": plan.fit_key(method, train_seed),
            "task": task,
            "horizon": plan.suite.horizon,
            **protocol,
        }
    )[:32]
