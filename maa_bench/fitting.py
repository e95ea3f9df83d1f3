"""Fitting a method and asking it for candidates: a job for one training seed and some tasks.

A method is a stranger's code: whatever it raises, or returns that it should not, fails its own cells and no others.
"""

from __future__ import annotations

import errno
import pickle
import time
import traceback
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maa_bench.cache import Cache, FitCost
from maa_bench.dataset.shaky import ShakyError
from maa_bench.dataset.shown import RewardsError, shown_prompts
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import MaaBenchError, MethodError
from maa_bench.execution import Report
from maa_bench.files import hashes, whole_folder, write_json
from maa_bench.method import Agents, Context, FlatPolicies, Method, Saveable, TrainingSet
from maa_bench.novelty import train_distance
from maa_bench.prompts import PromptSet
from maa_bench.protocol import Protocol
from maa_bench.registry import load_method
from maa_bench.resources import peak_mb, restart_peak
from maa_bench.simulators import STEPS
from maa_bench.suite import load_suite

VERSION = 1
"""Part of every fit's identity; raise it when what the core lends to methods could change a fit or a candidate:
`maa_bench.differentiable`, `Context`, `initial_params`, what `generate` is shown, what training sets hold."""

MAY_ACT = "prompts+rewards"
"""What a card must say of a method that acts in the test task before it is tested: the environment tells rewards."""

DISK_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors that would hit any method."""


@dataclass(frozen=True)
class Generated:
    """One task's candidates, and what they took.

    Attributes:
        agents: the candidates.
        seconds: wall clock of `generate`.
        steps: environment steps taken in `generate`.
        peak_mb: peak memory of the process meanwhile, in MB (10^6 bytes).
        train_distance: (n,) float64, see `maa_bench.novelty`; None where agents are not flat.
    """

    agents: Agents
    seconds: float
    steps: int
    peak_mb: float
    train_distance: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Fitted:
    """What a `FitJob` came to: each of its tasks has candidates, or the reason why there are none."""

    generated: dict[str, Generated]
    failures: dict[str, str]


def step_name(task: str) -> str:
    """How a `FitJob` reports for which task it generates."""
    return f"generate for task {task!r}"


@dataclass(frozen=True)
class FitJob:
    """Fit a method for one training seed and generate candidates for some tasks; picklable, runs anywhere.

    Attributes:
        method: as `load_method` takes it.
        uses: what its card says that it uses of a test task: it is shown that and no more.
        fingerprint: of its source when the run was planned; another source is refused.
        suite, split, protocol: as in the plan.
        dataset: the dataset's folder.
        train_seed: seed of the fit, of the candidates and of the draw of prompts.
        tasks: test tasks to generate for.
        cache: where fits are kept. key: the fit's address.
        afresh: fit even if the cache has the fit.
    """

    method: str
    uses: str
    fingerprint: str
    suite: str
    split: str
    protocol: Protocol
    dataset: Path
    train_seed: int
    tasks: tuple[str, ...]
    cache: Path
    key: str
    afresh: bool = False

    def __call__(self, report: Report) -> Fitted:
        # A total of 0 names a step of ours, with a time limit of its own: not for a method to say.
        context = Context(self.train_seed, self.protocol.device, lambda *told: report(*told) if told[2] else None)
        data, training_set = _training_set(self.dataset, self.suite, self.split)
        generated: dict[str, Generated] = {}
        failures: dict[str, str] = {}
        prompts: dict[str, PromptSet] = {}
        for task in self.tasks:
            try:
                prompts[task] = shown_prompts(data, task, self.uses, self.protocol, self.train_seed, self.cache)
            except RewardsError as error:
                failures[task] = f"method {self.method!r} needs rewards: {error}"
            except ShakyError as error:
                failures[task] = str(error)
        if not prompts:
            return Fitted({}, failures)
        report("fit", 0, 0)
        try:
            fitted = self._fitted(training_set, context)
        except MethodError as error:
            return Fitted({}, failures | dict.fromkeys(prompts, str(error)))
        for task, shown in prompts.items():
            report(step_name(task), 0, 0)
            restart_peak()
            started, steps = time.monotonic(), STEPS.taken
            try:
                agents = self._generate(fitted, shown, training_set, context)
                taken = STEPS.taken - steps
                if taken and self.uses != MAY_ACT:
                    raise MethodError(
                        f"method {self.method!r}: {step_name(task)} took {taken} environment steps, "
                        f"whose rewards its card does not declare: it must say uses={MAY_ACT!r}"
                    )
            except MethodError as error:
                failures[task] = str(error)
            else:
                made = Generated(agents, time.monotonic() - started, taken, peak_mb())
                if isinstance(agents, FlatPolicies):
                    made = replace(made, train_distance=train_distance(agents.params, training_set.params))
                generated[task] = made
        return Fitted(generated, failures)

    def without(self, tasks: set[str]) -> FitJob | None:
        """The same job but for some tasks; None if nothing is left."""
        kept = tuple(task for task in self.tasks if task not in tasks)
        return replace(self, tasks=kept) if kept else None

    def _fitted(self, training_set: TrainingSet, context: Context) -> Method:
        loaded = load_method(self.method)
        if loaded.fingerprint != self.fingerprint:  # its results would stand under the address of the other
            raise MethodError(f"method {self.method!r}: its source changed since the run began: give the command again")
        made: Method = self._guard("calling it with scale=...", lambda: loaded.make(scale=self.protocol.scale))
        cache = Cache(self.cache)
        if isinstance(made, Saveable) and not self.afresh and cache.fit_cost(self.key) is not None:
            state = cache.check_fit(self.key)
            self._guard(f"load from {state}", lambda: made.load(state, training_set))
            return made
        restart_peak()
        started = time.monotonic()
        self._guard("fit", lambda: made.fit(training_set, context))
        cost = FitCost(round(time.monotonic() - started, 3), peak_mb(), self._n_parameters(made))
        with whole_folder(cache.fit_folder(self.key), replace=self.afresh) as folder:
            if isinstance(made, Saveable):
                (folder / "state").mkdir()
                self._guard("save", lambda: made.save(folder / "state"))
            write_json(folder / "meta.json", {**asdict(cost), "files": hashes(folder / "state")})
        return made

    def _n_parameters(self, fitted: Method) -> int | None:
        count = self._guard("n_parameters", lambda: getattr(fitted, "n_parameters", None))
        if count is None:
            return None
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 0:
            raise MethodError(f"method {self.method!r}: n_parameters must be an int of 0 or more, not {count!r}")
        return int(count)

    def _generate(self, fitted: Method, prompts: PromptSet, training_set: TrainingSet, context: Context) -> Agents:
        n = 1 if fitted.card.deterministic_candidates else self.protocol.candidates
        agents = self._guard(step_name(prompts.task), lambda: fitted.generate(prompts, n, context))
        where = f"method {self.method!r}: {step_name(prompts.task)} returned"
        if not isinstance(agents, Agents):
            raise MethodError(f"{where} {type(agents).__name__}, not Agents (such as FlatPolicies)")
        count = self._guard("len() of its agents", lambda: len(agents))
        if count != n:
            raise MethodError(f"{where} {count} candidates, not {n}")
        if isinstance(agents, FlatPolicies) and agents.spec != training_set.spec:
            raise MethodError(f"{where} policies {agents.spec.id}, not {training_set.spec.id}")
        # What other processes have to receive is tried here, where the method can be named.
        travelled: Agents = self._guard(
            "its agents cannot be pickled and read again: sending them", lambda: pickle.loads(pickle.dumps(agents))
        )
        return travelled

    def _guard(self, what: str, call: Any) -> Any:
        try:
            return call()
        except MaaBenchError as error:
            raise MethodError(f"method {self.method!r}: {what}: {error}") from error
        except (Exception, SystemExit) as error:
            if isinstance(error, OSError) and error.errno in DISK_TROUBLE:
                raise  # not the method's fault
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise MethodError(
                f"method {self.method!r}: {what} raised {type(error).__name__}: {error} "
                f"({Path(last.filename).name}, line {last.lineno})"
            ) from error


@lru_cache(maxsize=1)
def _training_set(folder: Path, suite: str, split: str) -> tuple[CheckpointDataset, TrainingSet]:
    data = CheckpointDataset(folder, load_suite(suite))
    return data, data.training_set(split)
