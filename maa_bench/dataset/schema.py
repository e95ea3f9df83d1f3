"""The columns of a checkpoint dataset: one row a checkpoint, typed, with provenance and measured success.

A second table holds transitions: one row a step, with rewards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from maa_bench.policy import PolicySpec
from maa_bench.prompts import OUTCOME, SEGMENT

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 3
"""Version of the columns, of the folder, and of what they mean; part of every dataset's identity."""

ROLES = ("train", "validation", "prompt")
"""What a whole training run serves: `fit` reads train runs only; prompts come from prompt runs only."""

COLUMNS: dict[str, str] = {
    "row_id": "task/run/step, unique in the dataset",
    "suite": "suite name",
    "task": "task name",
    "role": "train, validation or prompt; one role a run, so that rows of a run never part",
    "producer": "how the policy was trained",
    "run": "training run, unique within a task",
    "seed": "seed of the run",
    "step": "gradient step of the checkpoint",
    "env_step": "environment steps that the run had learned from at the checkpoint",
    "success": "share of successful verification episodes on train layouts, in [0, 1]",
    "episodes": "number of verification episodes",
    "layouts": "train layout of each verification episode",
    "first_success_steps": "steps up to and with the first success of each verification episode, -1 without one",
    "spec_id": "policy specification that the parameters follow",
    "params": "flat policy parameters (see PolicySpec for the order)",
    "behavior_layout": "train layout of the recorded behaviour: the first successful verification episode; -1 if none",
    "observations": f"its first {SEGMENT} states, row-major (step, obs_dim); zeros if none succeeded",
    "actions": f"its first {SEGMENT} actions, row-major (step, action_dim), in [-1, 1]; zeros if none succeeded",
    "outcome": f"the {OUTCOME} states right after its first success, row-major (state, obs_dim); zeros if none",
    "versions": "simulator and package versions, as JSON",
    "row_hash": "SHA-256 of all other columns: see maa_bench.dataset.schema.row_hash",
}

TRANSITIONS: dict[str, str] = {
    "task": "task name",
    "role": "role of the run whose checkpoint acted; of experts: train if a split trains on the task, else prompt",
    "source": "expert, or the row_id of the checkpoint that acted",
    "episode": "number of the episode in its shard, from 0",
    "step": "number of the step in its episode, from 0",
    "layout": "train layout of the episode",
    "noise_std": "standard deviation of the Gaussian noise added to the episode's actions, in bursts; 0: none",
    "observation": "state before the action",
    "action": "what was done, in [-1, 1]",
    "expert_action": "what the task's scripted expert would have done, in [-1, 1]",
    "reward": "the simulator's own reward of the step",
    "next_observation": "state after the action",
    "success": "whether the step was a success",
}

UNITS: dict[str, str] = {
    "step": "gradient steps",
    "env_step": "environment steps",
    "success": "share of episodes",
    "first_success_steps": "environment steps",
    "observations": "the simulator's",
    "actions": "1 = the largest action",
    "outcome": "the simulator's",
}
"""Units of those `COLUMNS` that are measured."""

TRANSITION_UNITS: dict[str, str] = {
    "step": "environment steps",
    "noise_std": "1 = the largest action",
    "observation": "the simulator's",
    "action": "1 = the largest action",
    "expert_action": "1 = the largest action",
    "reward": "the simulator's",
    "next_observation": "the simulator's",
}
"""Units of those `TRANSITIONS` that are measured."""


def shapes(spec: PolicySpec) -> dict[str, tuple[int, ...]]:
    """What the flat vectors of both tables are, row-major, by column; (n,) is a vector itself."""
    return {
        "params": (spec.n_params,),
        "observations": (SEGMENT, spec.obs_dim),
        "actions": (SEGMENT, spec.action_dim),
        "outcome": (OUTCOME, spec.obs_dim),
        "observation": (spec.obs_dim,),
        "action": (spec.action_dim,),
        "expert_action": (spec.action_dim,),
        "next_observation": (spec.obs_dim,),
    }


def arrow_schema(spec: PolicySpec) -> pa.Schema:
    """The Arrow types of `COLUMNS`; vectors are fixed-size lists of float32."""
    import pyarrow as pa

    types = {
        "seed": pa.int64(),
        "step": pa.int64(),
        "env_step": pa.int64(),
        "success": pa.float32(),
        "episodes": pa.int32(),
        "layouts": pa.list_(pa.int32()),
        "first_success_steps": pa.list_(pa.int32()),
        "behavior_layout": pa.int32(),
    }
    return _schema(COLUMNS, types, spec)


def transitions_schema(spec: PolicySpec) -> pa.Schema:
    """The Arrow types of `TRANSITIONS`."""
    import pyarrow as pa

    types = {
        "episode": pa.int32(),
        "step": pa.int32(),
        "layout": pa.int32(),
        "noise_std": pa.float32(),
        "reward": pa.float32(),
        "success": pa.bool_(),
    }
    return _schema(TRANSITIONS, types, spec)


def _schema(columns: Mapping[str, str], types: Mapping[str, Any], spec: PolicySpec) -> pa.Schema:
    """Columns of `shapes` are vectors, others without a type are strings; each carries its description."""
    import pyarrow as pa

    vectors = {name: pa.list_(pa.float32(), prod(shape)) for name, shape in shapes(spec).items()}
    fields = [
        pa.field(name, {**vectors, **types}.get(name, pa.string()), metadata={"description": columns[name]})
        for name in columns
    ]
    return pa.schema(fields)


def row_hash(row: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a row's columns but `row_hash`, in the order of `COLUMNS`.

    Vectors of float32 go in as little-endian bytes; all else as a line of JSON, `success` with its float32's value.
    """
    total = hashlib.sha256()
    for name in COLUMNS:
        if name == "row_hash":
            continue
        value = row[name]
        total.update(name.encode() + b"=")
        if name in VECTORS:
            total.update(np.asarray(value, "<f4").tobytes())
        else:
            if name == "success":
                value = float(np.float32(value))
            total.update(json.dumps(value).encode())
        total.update(b"\n")
    return total.hexdigest()


VECTORS = ("params", "observations", "actions", "outcome")
"""Columns of fixed-size float32 vectors."""
