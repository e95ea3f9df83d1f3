"""What a method is: the protocol `fit` / `generate`, its card, what it is given and what it gives back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from maa_bench.errors import LeakError, MethodError, did_you_mean
from maa_bench.policy import Float32, PolicySpec
from maa_bench.prompts import Behaviors, PromptSet
from maa_bench.suite import Scale as Scale

if TYPE_CHECKING:
    import torch

    from maa_bench.dataset.transitions import Transitions

ProgressCallback = Callable[[str, int, int], None]
"""Called with (stage, done, total)."""

USES = ("prompts", "prompts+rewards", "test_checkpoints", "scripted_expert", "nothing")
"""What a method may look at on a test task; declared in its card, shown in every table, and all that it is given:

* `prompts`: a `PromptSet`;
* `prompts+rewards`: a `RewardedPromptSet`, with the reward of every step;
* `test_checkpoints`: a `CheckpointPromptSet`, with the task's own checkpoints;
* `scripted_expert`, `nothing`: a `PromptSet` that names the task and has no behaviours.
"""

FAMILIES = ("generator", "hypernetwork", "multi-task", "meta", "control", "ceiling")
"""Kinds of method, in the order in which `--method all` runs them. Controls and the ceiling come last: their episodes
occupy the other workers while the last long fit runs."""


@dataclass(frozen=True)
class MethodCard:
    """What a reader must know of a method before comparing it.

    Attributes:
        name: registry name, e.g. `make_an_agent`; it also names the folder of its records.
        family: one of `FAMILIES`.
        summary: one sentence.
        trained_on: `seen` (the split's training tasks) or `nothing`.
        uses: what it looks at on the test task, one of `USES`.
        citation: paper or repository, empty for controls.
        deterministic_candidates: True if all its candidates are the same agent (then one is evaluated).
        pretrained_on: tasks that it learned from elsewhere, beside the split's training tasks: by name.

    Raises:
        MethodError: a name that cannot be a folder's, an unknown family or use.
    """

    name: str
    family: str
    summary: str
    trained_on: str = "seen"
    uses: str = "prompts"
    citation: str = ""
    deterministic_candidates: bool = False
    pretrained_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.name):  # it names a folder under results/
            raise MethodError(f"method card name {self.name!r} must be letters, digits, '.', '_' or '-' (at most 64)")
        if self.family not in FAMILIES:
            hint = did_you_mean(self.family, FAMILIES)
            raise MethodError(f"method card {self.name!r}: family={self.family!r} is none.{hint}")
        if self.uses not in USES:
            raise MethodError(f"method card {self.name!r}: uses={self.uses!r} must be one of {', '.join(USES)}")


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Context:
    """What the evaluator lends to `fit` and `generate`: a seed, a device and a way to report progress."""

    seed: int
    device: str = "cpu"
    progress: ProgressCallback = field(default=_silent, compare=False)

    def rng(self, *stream: int) -> np.random.Generator:
        """A NumPy generator of this seed; `stream` numbers give independent ones."""
        return np.random.default_rng([self.seed, *stream])

    def torch_generator(self, *stream: int) -> torch.Generator:
        """A CPU torch generator of this seed; `stream` numbers give independent ones."""
        import torch

        return torch.Generator().manual_seed(int(self.rng(*stream).integers(2**62)))


@dataclass(frozen=True)
class TrainingSet:
    """All that `fit` may see: checkpoints of the split's training tasks, from training runs only.

    The constructor refuses anything else, so that a test task's checkpoints cannot reach a method by mistake.

    Attributes:
        suite: suite name, or the path of its TOML file.
        split: split name.
        spec: what the parameters mean.
        train_tasks: the split's training tasks, in the suite's order.
        task: (n,) task name of each row.
        role: (n,) `train` in every row.
        run: (n,) training run of each row (the unit of every split of these rows).
        step: (n,) producer's step of each row.
        success: (n,) float32, measured success rate in [0, 1].
        params: (n, n_params) float32.
        behaviors: n behaviours, one of each checkpoint.
        transitions: episodes of the training tasks' train runs and experts, step by step with rewards, by task; read
            when asked for. Empty if the dataset has none.

    Raises:
        LeakError: a row of a task outside `train_tasks`, or of another role than `train`.
    """

    suite: str
    split: str
    spec: PolicySpec
    train_tasks: tuple[str, ...]
    task: npt.NDArray[np.str_]
    role: npt.NDArray[np.str_]
    run: npt.NDArray[np.str_]
    step: npt.NDArray[np.int64]
    success: Float32
    params: Float32
    behaviors: Behaviors
    transitions: Mapping[str, Transitions] = field(default_factory=dict)

    def __post_init__(self) -> None:
        foreign = sorted(set(self.task.tolist()) - set(self.train_tasks))
        if foreign:
            raise LeakError(
                f"training set of split {self.split!r} holds checkpoints of {', '.join(foreign)}, "
                "which the split does not train on"
            )
        outside = sorted(set(self.transitions) - set(self.train_tasks))
        if outside:
            raise LeakError(f"training set of split {self.split!r} holds transitions of {', '.join(outside)}")
        roles = sorted(set(self.role.tolist()) - {"train"})
        if roles:
            raise LeakError(f"training set of split {self.split!r} holds rows of role {', '.join(roles)}")
        n = len(self.params)
        if not n:
            raise LeakError(f"training set of split {self.split!r} is empty")
        if any(len(a) != n for a in (self.task, self.role, self.run, self.step, self.success, self.behaviors)):
            raise LeakError(f"training set of split {self.split!r} has columns of different lengths")
        for array in (self.task, self.role, self.run, self.step, self.success, self.params):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.params)


@runtime_checkable
class Agent(Protocol):
    """One thing that acts. It may keep state between `reset` and the end of an episode."""

    def reset(self) -> None:
        """Forget the last episode."""

    def act(self, obs: npt.NDArray[np.float64]) -> npt.NDArray[np.floating]:
        """The action for one observation: (obs_dim,) float64 -> (action_dim,) in [-1, 1]."""


@runtime_checkable
class Agents(Protocol):
    """n candidates. They travel to worker processes, so they must be picklable."""

    def __len__(self) -> int: ...

    def agent(self, index: int) -> Agent:
        """Candidate `index`, made fresh."""


@dataclass(frozen=True)
class FlatPolicies:
    """Candidates that are plain policies: (n, n_params) float32. The fast path of the evaluator.

    Raises:
        SpecError: wrong shape, NaN or infinity.
    """

    spec: PolicySpec
    params: Float32

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", self.spec.check(self.params))

    def __len__(self) -> int:
        return len(self.params)

    def agent(self, index: int) -> Agent:
        from maa_bench.forward import PackedPolicy

        return PackedPolicy(self.spec, self.params[index])


class Method(Protocol):
    """A policy generator. Any class with this shape can be run; there is nothing to inherit.

    The class is called with one keyword, `scale` (`small` or `paper`). `save` and `load` are optional: a method that
    has both is not fitted again when its fit is found in the cache. So is the attribute `n_parameters` of a fitted
    method: an int, how many numbers it has learned, for the tables.
    """

    card: MethodCard

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Learn from the seen tasks' checkpoints. Called once, before any `generate`."""

    def generate(self, prompts: PromptSet, n: int, context: Context) -> Agents:
        """Make n candidates for one task; candidate i answers prompt i mod len(prompts), or is made from all prompts.

        Which type the prompts are of follows from the card, see `USES`.
        """


@runtime_checkable
class Saveable(Protocol):
    """The optional half of `Method`."""

    def save(self, folder: Path) -> None:
        """Write everything that `generate` needs into an existing empty folder."""

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Read what `save` wrote."""


def prompt_of_candidate(n: int, n_prompts: int) -> npt.NDArray[np.int64]:
    """Which prompt each of n candidates answers: (n,) int64, i mod n_prompts."""
    return np.arange(n, dtype=np.int64) % n_prompts
