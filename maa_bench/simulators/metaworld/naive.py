"""Evaluation as one would write it without this package: `gym.make`, a torch policy, one process."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import gymnasium
import metaworld  # noqa: F401 - registers its environments with gymnasium
import numpy as np
import torch

from maa_bench.errors import SuiteError
from maa_bench.policy import Float32, PolicySpec
from maa_bench.simulators import Float64
from maa_bench.suite import Task

SEED = 44
"""Of the `MT1` whose 50 layouts are the test set of this package's suites (see `draw_layouts`)."""

_MODULES = {"elu": torch.nn.ELU, "relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}


def torch_policy(spec: PolicySpec, params: Float32) -> torch.nn.Sequential:
    """tanh(mean) of one policy: (n, obs_dim) float32 to (n, action_dim). `params`: (n_params,)."""
    sizes = (spec.obs_dim, *spec.hidden, spec.action_dim)
    linear = [torch.nn.Linear(*pair) for pair in pairwise(sizes)]
    values = [torch.from_numpy(params[t.start : t.stop].reshape(t.shape).copy()) for t in spec.tensors]
    for i, layer in enumerate(linear):
        layer.weight.data, layer.bias.data = values[2 * i], values[2 * i + 1]
    activations = [_MODULES[name]() for name in (*spec.activations, "tanh")]
    return torch.nn.Sequential(*(module for pair in zip(linear, activations, strict=True) for module in pair))


class NaiveLoop:
    """One task of `gym.make("Meta-World/MT1", ...)` on some of its layouts.

    Raises:
        SuiteError: a layout is none of MT1's with seed 44.
    """

    def __init__(self, task: Task, layouts: Float64) -> None:
        # The wrapper for "pseudorandom" keeps the task that was set; the other draws one at every reset.
        self.env: Any = gymnasium.make("Meta-World/MT1", env_name=task.env, seed=SEED, task_select="pseudorandom")
        by_layout = {pickle.loads(t.data)["rand_vec"].tobytes(): t for t in self.env.get_wrapper_attr("tasks")}
        missing = [layout for layout in layouts if layout.tobytes() not in by_layout]
        if missing:
            raise SuiteError(f"task {task.name!r}: layout {missing[0]} is none of MT1's with seed {SEED}")
        self._tasks = [by_layout[layout.tobytes()] for layout in layouts]

    def reset(self, layout: int) -> Float64:
        """Put the environment into the layout of that index; returns the first observation (39,) float64."""
        self.env.unwrapped.set_task(self._tasks[layout])
        obs, _ = self.env.reset()
        return np.asarray(obs)

    def first_success(self, policy: torch.nn.Module, layout: int, horizon: int) -> tuple[int, int]:
        """(first success or -1, steps taken) of one episode, ended at its first success."""
        obs = self.reset(layout)
        with torch.no_grad():
            for step in range(1, horizon + 1):
                action = policy(torch.as_tensor(obs, dtype=torch.float32).unsqueeze(0))[0].numpy()
                obs, _, _, _, info = self.env.step(action)
                if info["success"]:
                    return step, step
        return -1, horizon

    def close(self) -> None:
        """Close the environment."""
        self.env.close()
