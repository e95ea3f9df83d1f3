"""Simulators, one file (or folder) each, imported only when one of its tasks is used."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from maa_bench import gl
from maa_bench.errors import ProtocolError, SuiteError, did_you_mean
from maa_bench.forward import PackedPolicy
from maa_bench.method import Agent
from maa_bench.policy import Float32
from maa_bench.simulators.catalogue import SIMULATORS, optional_simulators
from maa_bench.simulators.dynamics import NOMINAL, Dynamics
from maa_bench.software import software
from maa_bench.suite import Suite, Task, load_suite

Float64 = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]


@dataclass
class StepCount:
    """Environment steps that this process has taken in our simulators, by whomever; read before and after something.

    Attributes:
        taken: how many. Steps of processes that a method starts of its own are not among them.
    """

    taken: int = 0


STEPS = StepCount()
"""This process's count: every simulator adds to it."""


@dataclass(frozen=True)
class Trajectory:
    """What a policy saw and did: (steps + 1, obs_dim) float64, (steps, action_dim) float32, first success or -1."""

    observations: Float64
    actions: Float32
    first_success: int


class EpisodeError(Exception):
    """An episode that cannot go on: an action that is no number, a simulation that diverged.

    It counts as unsuccessful, and is named beside the results.

    Attributes:
        reason: what happened, and at which step.
        steps: environment steps taken until then.
    """

    def __init__(self, reason: str, steps: int = 0) -> None:
        super().__init__(reason, steps)
        self.reason, self.steps = reason, steps

    @classmethod
    def of_action(cls, step: int) -> EpisodeError:
        """A policy's action at `step` (from 1) was NaN or infinite; the step is not taken."""
        return cls(f"the action of step {step} is not finite", step - 1)

    @classmethod
    def of_simulation(cls, step: int) -> EpisodeError:
        """The simulation became unstable in `step` (from 1)."""
        return cls(f"the simulation diverged in step {step}", step)


@dataclass(frozen=True)
class Resets:
    """Seconds of a reset: the simulator's own, the physics steps inside it, ours of a new layout and of a known one."""

    stock: float
    physics: float
    first: float
    later: float


class TaskSimulator(Protocol):
    """One task, ready to be reset and stepped. Not shared between threads.

    Attributes:
        reward: the simulator's own reward of the last `step`; 0 before the first. For those who train by reinforcement:
            no part of the benchmark depends on it, nothing that is hashed or recorded contains it.
        action_dim: numbers of an action.
    """

    reward: float
    action_dim: int

    def reset(self, layout: Float64) -> Float64:
        """Put the task into a frozen initial state; returns the first observation (obs_dim,) float64.

        The result depends on `layout` and the dynamics alone, not on what was done before.
        """

    def set_dynamics(self, dynamics: Dynamics) -> None:
        """Scale the simulator's own dynamics by these factors, from the next reset on, until others are set.

        `NOMINAL` gives back its own, to the bit.

        Raises:
            ProtocolError: it has nothing that one of the factors could scale.
        """

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Float64, bool]:
        """One control step with a finite action, clipped to [-1, 1].

        Returns the observation, and whether this step is a success. The step is counted in `STEPS`, as are those of
        whole episodes.

        Raises:
            EpisodeError: the simulation diverged.
        """

    def observation_bounds(self) -> tuple[Float64, Float64]:
        """The least and greatest value of every entry of an observation: two (obs_dim,) float64, all finite.

        They hold for the episodes of the suite's horizon, with actions in [-1, 1].
        """

    def expert(self) -> Agent:
        """The task's scripted expert."""

    def first_success(self, policy: PackedPolicy, layout: Float64, horizon: int) -> tuple[int, int]:
        """A whole episode of a flat policy, ended at the first success.

        Returns:
            (first_success_step, steps): the number of steps up to and with the first success, -1 if there is none
            within `horizon`; and the number of steps taken.

        Raises:
            EpisodeError: an action that is not finite, or a simulation that diverged, before the first success.
        """

    def trajectory(self, policy: PackedPolicy, layout: Float64, horizon: int, after: int, least: int) -> Trajectory:
        """An episode that ends `after` steps after its first success, but not before `least` steps.

        Raises:
            EpisodeError: as `first_success`, at any step.
        """

    def frame(self, width: int, height: int) -> Pixels:
        """Draw the current state: (height, width, 3) uint8, RGB, the first row on top. Changes nothing.

        Raises:
            DrawingError: nothing can be drawn on this machine.
        """


class Simulator(Protocol):
    """What a simulator module offers.

    Attributes:
        CONTROL_HZ: control steps in a second of simulated time, so that videos can play in real time.
    """

    CONTROL_HZ: int

    def open_task(self, task: Task) -> TaskSimulator:
        """The task, made once and reset many times."""

    def draw_layouts(self, task: Task, layout_set: str, count: int) -> Float64:
        """Draw a layout set as it was drawn when the suite was frozen: (count, layout_dim) float64."""

    def versions(self) -> dict[str, str]:
        """Versions of the packages that decide the physics."""


def check_tasks(suite: Suite, tasks: Iterable[str]) -> None:
    """Refuse what cannot be rolled out, before the work that comes before its first episode.

    It takes the second in which a simulator is imported; no environment is made.

    Raises:
        SuiteError: the simulator is missing or of another version, or has no such task.
    """
    check_task = getattr(simulator_of(suite), "check_task", None)
    if check_task is not None:
        for task in tasks:
            check_task(suite.task(task))


def check_installed(suite: Suite) -> None:
    """Refuse a suite whose simulator is missing or of another version, as far as can be seen without importing it.

    Raises:
        SuiteError: one line that says what to install.
    """
    installed = software(name for name in suite.versions if name)
    if suite.simulator in suite.versions and suite.simulator not in installed:
        raise SuiteError(_needs(suite, suite.simulator))
    for package, found in installed.items():
        _check_version(suite, package, found)


def _needs(suite: Suite, package: str) -> str:
    wanted = f"maa-bench[{suite.simulator}]" if suite.simulator in optional_simulators() else "maa-bench"
    return f"suite {suite.name} needs the package {package!r}: pip install '{wanted}'"


def _check_version(suite: Suite, package: str, found: str | None) -> None:
    frozen = suite.versions[package]
    if found is None:
        raise SuiteError(
            f"suite {suite.name} was frozen with {package} {frozen}, "
            f"but the simulator {suite.simulator!r} has no package of that name: see 'versions' of {suite.source}"
        )
    if found != frozen:
        raise SuiteError(
            f"suite {suite.name} was frozen with {package} {frozen}, but {found} is installed, "
            f"which gives other observations: pip install {package}=={frozen}"
        )


def simulator_of(suite: Suite) -> Simulator:
    """Import the suite's simulator and check that its versions are those that the suite was frozen with.

    Raises:
        SuiteError: unknown simulator, a missing package, or another version.
    """
    name = suite.simulator
    if name not in SIMULATORS:
        raise SuiteError(f"suite {suite.name} needs the simulator {name!r}.{did_you_mean(name, SIMULATORS)}")
    check_installed(suite)
    try:
        module: Simulator = importlib.import_module(SIMULATORS[name].module)
    except Exception as error:
        for library, how in SIMULATORS[name].libraries.items():
            if isinstance(error, ImportError) and library in str(error):
                raise SuiteError(f"suite {suite.name}: {error}: {how}") from error
        if isinstance(error, ImportError) and error.name:
            raise SuiteError(_needs(suite, error.name)) from error
        # Though nothing is drawn yet, mujoco loads the backend of MUJOCO_GL as it is imported, and fails with it.
        backend = os.environ.get("MUJOCO_GL")
        if not backend:
            raise
        raise SuiteError(
            f"suite {suite.name}: mujoco cannot be imported with MUJOCO_GL={backend} ({error}): "
            f"unset it, or {gl.how_to_mend()}"
        ) from error
    installed = module.versions()
    for package in suite.versions:
        _check_version(suite, package, installed.get(package))
    return module


def served_dynamics(suite: Suite) -> tuple[str, ...]:
    """The settings of `Dynamics` that a suite's simulator can perturb; imports no simulator."""
    return _served(suite.simulator)


def check_served(simulator: str, settings: Iterable[str]) -> None:
    """Refuse what a simulator has nothing to scale for.

    Raises:
        ProtocolError: names the first such setting, and those that there are.
    """
    served = _served(simulator)
    for name in settings:
        if name not in served:
            found = f"it can perturb {', '.join(served)}" if served else "its dynamics cannot be perturbed"
            raise ProtocolError(f"--{name}: the simulator {simulator!r} has no {name} to perturb; {found}")


def _served(simulator: str) -> tuple[str, ...]:
    return SIMULATORS[simulator].dynamics if simulator in SIMULATORS else ()


@contextmanager
def under(simulator: TaskSimulator) -> Iterator[TaskSimulator]:
    """A simulator whose dynamics may be set, and are its own again afterwards: it may be open for others, too."""
    try:
        yield simulator
    finally:
        simulator.set_dynamics(NOMINAL)


def opened_task(suite: Suite, task: str) -> TaskSimulator:
    """A task's simulator, which stays open between the jobs of one process, and keeps the reset states that it made.

    Raises:
        SuiteError: as `simulator_of`, or observations or actions of another size than the suite's policies have.
    """
    return _opened(suite.source, task, suite.layouts_sha256, repr(suite.task(task)))


@lru_cache(maxsize=12)  # as many as a split tests, in turn; 50 MB each on Meta-World, 150 on robosuite
def _opened(suite: str, task: str, *identity: str) -> TaskSimulator:
    """Another `identity` opens another: a suite's file may change while a process lives."""
    loaded = load_suite(suite)
    simulator = simulator_of(loaded).open_task(loaded.task(task))
    spec = loaded.policy
    for key, wanted, given, what in (
        ("obs_dim", spec.obs_dim, len(simulator.observation_bounds()[0]), "gives observations"),
        ("action_dim", spec.action_dim, simulator.action_dim, "takes actions"),
    ):
        if given != wanted:
            raise SuiteError(f"suite {loaded.name}: 'policy.{key}' is {wanted}, but {task!r} {what} of {given} numbers")
    # What is compiled on first use is compiled now, and not in some candidate's time.
    idle = PackedPolicy(spec, np.zeros(spec.n_params, np.float32))
    simulator.first_success(idle, loaded.layouts(task, "test")[0], 0)
    return simulator


def step_until_success(simulator: TaskSimulator, agent: Agent, layout: Float64, horizon: int) -> tuple[int, int]:
    """The plain episode loop, for any agent; returns (first_success_step or -1, steps taken).

    Raises:
        EpisodeError: as `TaskSimulator.first_success`.
    """
    agent.reset()
    obs = simulator.reset(layout)
    for step in range(1, horizon + 1):
        action = agent.act(obs)
        if not np.isfinite(action).all():
            raise EpisodeError.of_action(step)
        obs, success = simulator.step(action)
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
        if not np.isfinite(actions[-1]).all():
            raise EpisodeError.of_action(len(actions))
        obs, success = simulator.step(actions[-1])
        observations.append(obs)
        if success and first < 0:
            first = len(actions)
    return Trajectory(np.array(observations), np.array(actions, np.float32), first)
