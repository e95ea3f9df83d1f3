"""Simulators, one file (or folder) each, imported only when one of its tasks is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from maa_bench.errors import SuiteError, did_you_mean
from maa_bench.forward import PackedPolicy
from maa_bench.method import Agent
from maa_bench.policy import Float32
from maa_bench.suite import Suite, Task

_MODULES = {"metaworld": "maa_bench.simulators.metaworld", "toy": "maa_bench.simulators.toy"}

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trajectory:
    """What a policy saw and did: (steps + 1, obs_dim) float64, (steps, action_dim) float32, first success or -1."""

    observations: Float64
    actions: Float32
    first_success: int


@dataclass(frozen=True)
class Resets:
    """Seconds of a reset: the simulator's own, the physics steps inside it, ours of a new layout and of a known one."""

    stock: float
    physics: float
    first: float
    later: float


class TaskSimulator(Protocol):
    """One task, ready to be reset and stepped. Not shared between threads."""

    def reset(self, layout: Float64) -> Float64:
        """Put the task into a frozen initial state; returns the first observation (obs_dim,) float64.

        The result depends on `layout` alone, not on what was done before.
        """

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Float64, bool]:
        """One control step with an action in [-1, 1]; returns the observation and whether this step is a success."""

    def expert(self) -> Agent:
        """The task's scripted expert."""

    def first_success(self, policy: PackedPolicy, layout: Float64, horizon: int) -> tuple[int, int]:
        """A whole episode of a flat policy, ended at the first success.

        Returns:
            (first_success_step, steps): the number of steps up to and with the first success, -1 if there is none
            within `horizon`; and the number of steps taken.
        """

    def trajectory(self, policy: PackedPolicy, layout: Float64, horizon: int, after: int, least: int) -> Trajectory:
        """An episode that ends `after` steps after its first success, but not before `least` steps."""


class Simulator(Protocol):
    """What a simulator module offers."""

    def open_task(self, task: Task) -> TaskSimulator:
        """The task, made once and reset many times."""

    def draw_layouts(self, task: Task, layout_set: str, count: int) -> Float64:
        """Draw a layout set as it was drawn when the suite was frozen: (count, layout_dim) float64."""

    def versions(self) -> dict[str, str]:
        """Versions of the packages that decide the physics."""


def simulator_of(suite: Suite) -> Simulator:
    """Import the suite's simulator and check that its versions are those that the suite was frozen with.

    Raises:
        SuiteError: unknown simulator, a missing package, or another version.
    """
    name = suite.simulator
    if name not in _MODULES:
        raise SuiteError(f"suite {suite.name} needs the simulator {name!r}.{did_you_mean(name, _MODULES)}")
    try:
        module: Simulator = importlib.import_module(_MODULES[name])
    except ImportError as error:
        raise SuiteError(
            f"suite {suite.name} needs the package {error.name!r}: pip install 'maa-bench[{name}]'"
        ) from error
    installed = module.versions()
    for package, frozen in suite.versions.items():
        if installed.get(package) != frozen:
            raise SuiteError(
                f"suite {suite.name} was frozen with {package} {frozen}, but {installed.get(package)} is installed, "
                f"which gives other observations: pip install {package}=={frozen}"
            )
    return module


def step_until_success(simulator: TaskSimulator, agent: Agent, layout: Float64, horizon: int) -> tuple[int, int]:
    """The plain episode loop, for any agent; returns (first_success_step or -1, steps taken)."""
    agent.reset()
    obs = simulator.reset(layout)
    for step in range(1, horizon + 1):
        obs, success = simulator.step(agent.act(obs))
        if success:
            return step, step
    return -1, horizon


def step_trajectory(
    simulator: TaskSimulator, policy: PackedPolicy, layout: Float64, horizon: int, after: int, least: int
) -> Trajectory:
    """The plain loop behind `TaskSimulator.trajectory`."""
    observations = [simulator.reset(layout)]
    actions: list[Float32] = []
    first = -1
    while len(actions) < horizon and (first < 0 or len(actions) < max(least, first + after)):
        actions.append(policy.act(observations[-1]))
        obs, success = simulator.step(actions[-1])
        observations.append(obs)
        if success and first < 0:
            first = len(actions)
    return Trajectory(np.array(observations), np.array(actions, np.float32), first)
