"""Training sets and prompts that policies with known parameters act out: no simulator, milliseconds."""

from __future__ import annotations

import numpy as np

from maa_bench.method import TrainingSet
from maa_bench.policy import Float32, PolicySpec, act, initial_params
from maa_bench.prompts import OUTCOME, SEGMENT, Behaviors, PromptSet

SPEC = PolicySpec(5, (8, 7), 2, ("elu", "relu"))


def teacher(seed: int) -> Float32:
    """A task's policy: (n_params,) float32."""
    return initial_params(SPEC, np.random.default_rng([seed, 1]))


def acted(policy: Float32, n: int, seed: int) -> Behaviors:
    """n behaviours of a policy in states drawn at random."""
    observations = np.random.default_rng([seed, 2]).normal(size=(n, SEGMENT, SPEC.obs_dim)).astype(np.float32)
    rows = observations.reshape(-1, SPEC.obs_dim)
    actions = act(SPEC, np.broadcast_to(policy, (len(rows), SPEC.n_params)), rows)
    return Behaviors(observations, actions.reshape(n, SEGMENT, SPEC.action_dim), observations[:, :OUTCOME].copy())


def prompts_of(policy: Float32, n: int, seed: int = 0, task: str = "north") -> PromptSet:
    """n prompts that a policy acted out."""
    return PromptSet("family", task, acted(policy, n, seed), tuple(f"row-{i}" for i in range(n)))


def set_of(params: Float32, behaviors: Behaviors, task: list[str], run: list[str]) -> TrainingSet:
    """A training set without transitions."""
    n = len(params)
    return TrainingSet(
        suite="family",
        split="all",
        spec=SPEC,
        train_tasks=tuple(dict.fromkeys(task)),
        task=np.array(task),
        role=np.full(n, "train"),
        run=np.array(run),
        step=np.arange(n, dtype=np.int64),
        success=np.ones(n, np.float32),
        params=params,
        behaviors=behaviors,
    )


def joined(parts: list[Behaviors]) -> Behaviors:
    """Behaviours one after the other."""
    return Behaviors(
        np.concatenate([part.observations for part in parts]),
        np.concatenate([part.actions for part in parts]),
        np.concatenate([part.outcome for part in parts]),
    )


def family(n_tasks: int, rows: int) -> TrainingSet:
    """Tasks whose teachers differ; each acts out all behaviours of its task."""
    teachers = [teacher(task) for task in range(n_tasks)]
    return set_of(
        np.repeat(teachers, rows, axis=0),
        joined([acted(policy, rows, 100 + task) for task, policy in enumerate(teachers)]),
        [f"task-{task}" for task in range(n_tasks) for _ in range(rows)],
        [f"train-{row % 2:02}" for _ in range(n_tasks) for row in range(rows)],
    )


def clone_error(params: Float32, policy: Float32, seed: int = 9) -> np.ndarray:
    """Mean squared error of n policies' actions against another's, in new states: (n,)."""
    states = np.random.default_rng([seed, 3]).normal(size=(200, SPEC.obs_dim)).astype(np.float32)
    wanted = act(SPEC, np.broadcast_to(policy, (200, SPEC.n_params)), states)
    made = [act(SPEC, np.broadcast_to(row, (200, SPEC.n_params)), states) for row in params]
    return np.array([np.square(one - wanted).mean() for one in made])
