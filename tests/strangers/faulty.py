"""Methods that hang, die, raise or leave, where `maa_bench` must go on: see tests/unit/test_faults.py."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from maa_bench import FlatPolicies, MethodCard


def card(name: str) -> MethodCard:
    return MethodCard(name=name, family="generator", summary="A stranger's.")


class Mean:
    """Nothing is wrong with it: the mean of the training set, a little off for each candidate."""

    card = card("mean")

    def __init__(self, scale: str = "small") -> None: ...

    def fit(self, training_set: Any, context: Any) -> None:
        self.spec, self.params = training_set.spec, training_set.params.mean(axis=0)

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        noise = context.rng(*prompts.task.encode()).standard_normal((n, len(self.params)))
        return FlatPolicies(self.spec, (self.params + 0.1 * noise).astype(np.float32))

    def save(self, folder: Path) -> None:
        np.save(folder / "mean.npy", self.params)

    def load(self, folder: Path, training_set: Any) -> None:
        self.spec, self.params = training_set.spec, np.load(folder / "mean.npy")


# What a fit, or generating, may do


def hang() -> None:
    """Until there is a file `go` in the current folder."""
    while not Path("go").exists():
        time.sleep(0.02)


class HangingFit(Mean):
    card = card("hanging_fit")

    def fit(self, training_set: Any, context: Any) -> None:
        hang()
        super().fit(training_set, context)


class HangingGenerate(Mean):
    card = card("hanging_generate")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        context.progress("nothing to do", 0, 0)  # must not pass for a step of its own
        if prompts.task == "goal-030":
            hang()
        return super().generate(prompts, n, context)


class Missing(Mean):
    card = card("missing")

    def fit(self, training_set: Any, context: Any) -> None:
        Path("weights-that-are-not-there.pt").read_bytes()


class Leaving(Mean):
    card = card("leaving")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        raise SystemExit(0)


class Overflowing(Mean):
    card = card("overflowing")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        params = super().generate(prompts, n, context).params.copy()
        params[1] = np.where(np.arange(params.shape[1]) % 2, 1e38, -1e38)  # infinity minus infinity
        return FlatPolicies(self.spec, params)


# What agents may do: candidate 1, in its third step


class Wanderer:
    def __init__(self, index: int, bad: Any) -> None:
        self.index, self.bad = index, bad

    def reset(self) -> None:
        self.step = 0

    def act(self, obs: Any) -> Any:
        self.step += 1
        if self.step == 3 and self.index == 1 and self.bad:
            self.bad()
        return np.array([np.cos(self.step + self.index), np.sin(self.step)])


class Wanderers:
    def __init__(self, n: int, bad: Any = None) -> None:
        self.n, self.bad = n, bad

    def __len__(self) -> int:
        return self.n

    def agent(self, index: int) -> Wanderer:
        return Wanderer(index, self.bad)


class Wandering(Mean):
    """Nothing is wrong with it: what the others below would be without their faults."""

    card = card("wandering")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        return Wanderers(n)


def die() -> None:
    assert multiprocessing.parent_process(), "this would end the tests, and not a worker"
    os.kill(os.getpid(), signal.SIGKILL)


def die_once() -> None:
    try:
        Path("died").touch(exist_ok=False)
    except FileExistsError:
        return
    die()


def die_and_leave_a_child() -> None:
    subprocess.Popen(["sleep", "600"], close_fds=False)
    if os.fork() == 0:
        time.sleep(600)
    die()


def stumble() -> None:
    raise RuntimeError("stumbled")


def shout() -> None:
    raise RuntimeError("one\nFAILED two\n" + "x" * 10000)


def leave() -> None:
    raise SystemExit("enough")


class Hanging(Mean):
    card = card("wandering")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        return Wanderers(n, hang)


class DyingOnce(Mean):
    card = card("wandering")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        return Wanderers(n, die_once)


class Dying(Mean):
    card = card("wandering")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        return Wanderers(n, die)


class Childish(Mean):
    card = card("wandering")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        return Wanderers(n, die_and_leave_a_child)


class Stumbling(Mean):
    card = card("wandering")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        return Wanderers(n, stumble)


class Wordy(Mean):
    card = card("wandering")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        return Wanderers(n, shout)


class LeavingLater(Mean):
    card = card("wandering")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        return Wanderers(n, leave)


class Odd(Wanderers):
    def __getstate__(self) -> Any:
        return self.__dict__

    def __setstate__(self, state: Any) -> None:
        raise ValueError("not twice")


class Unreadable(Mean):
    card = card("unreadable")

    def generate(self, prompts: Any, n: int, context: Any) -> Any:
        return Odd(n)
