"""Methods that work, and some that break the contract of `generate` or `fit`: see tests/unit/test_run.py.

To be copied into a folder of the test's own, where they log what is called of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maa_bench.method import FlatPolicies, MethodCard
from maa_bench.policy import PolicySpec

LOG = Path(__file__).with_suffix(".log")


def card(name: str) -> MethodCard:
    return MethodCard(name=name, family="generator", summary="A stranger's.")


def log(word: str) -> None:
    with LOG.open("a") as file:
        file.write(word + "\n")


class Mean:
    """The mean of the training set, a little off for each candidate."""

    card = card("mean_of_seen")

    def __init__(self, scale: str = "small") -> None:
        self.scale = scale

    def fit(self, training_set: Any, context: Any) -> None:
        log("fit")
        context.progress("adding up", 1, 1)
        self.spec, self.params = training_set.spec, training_set.params.mean(axis=0)

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        log("generate " + prompts.task)
        noise = context.rng(*prompts.task.encode()).standard_normal((n, len(self.params)))
        return FlatPolicies(self.spec, (self.params + 0.01 * noise).astype(np.float32))


class Saved(Mean):
    card = card("saved")

    def save(self, folder: Path) -> None:
        np.save(folder / "mean.npy", self.params)

    def load(self, folder: Path, training_set: Any) -> None:
        log("load")
        self.spec, self.params = training_set.spec, np.load(folder / "mean.npy")


class Heading:
    """Not a flat policy: remembers where the prompt ended and steers there."""

    card = card("heading")

    def __init__(self, scale: str = "small") -> None:
        pass

    def fit(self, training_set: Any, context: Any) -> None:
        pass

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        goals = prompts.behaviors.outcome[:, 0, :2].astype(np.float64)
        return Headings(goals[np.arange(n) % len(goals)])


class Headings:
    def __init__(self, goals: Any) -> None:
        self.goals = goals

    def __len__(self) -> int:
        return len(self.goals)

    def agent(self, index: int) -> Steer:
        return Steer(self.goals[index])


class Steer:
    def __init__(self, goal: Any) -> None:
        self.goal = goal

    def reset(self) -> None:
        pass

    def act(self, obs: Any) -> Any:
        return np.clip(4 * (self.goal - obs[:2]), -1, 1)


class Broken(Mean):
    """Each class below gives another answer."""

    card = card("broken")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        return self.answer(super().generate(prompts, n, context).params)

    def answer(self, good: Any) -> Any:
        raise NotImplementedError


class Nothing(Broken):
    def answer(self, good: Any) -> Any:
        return None


class Array(Broken):
    def answer(self, good: Any) -> Any:
        return good


class TooFew(Broken):
    def answer(self, good: Any) -> Any:
        return FlatPolicies(self.spec, good[:-1])


class Nan(Broken):
    def answer(self, good: Any) -> Any:
        return FlatPolicies(self.spec, np.where(np.arange(good.shape[1]) == 3, np.nan, good))


class WrongSize(Broken):
    def answer(self, good: Any) -> Any:
        return FlatPolicies(self.spec, good[:, :-1])


class Raises(Broken):
    def answer(self, good: Any) -> Any:
        return 1 / 0


class OtherSpec(Broken):
    def answer(self, good: Any) -> Any:
        spec = PolicySpec(4, (5,), 2, ("relu",))
        return FlatPolicies(spec, np.zeros((len(good), spec.n_params), np.float32))


class FitRaises(Mean):
    def fit(self, training_set: Any, context: Any) -> None:
        raise RuntimeError("no luck")


class Writes(Mean):
    def fit(self, training_set: Any, context: Any) -> None:
        training_set.params[0] = 0.0
