"""Prompts collected by a hand that shakes: the policies that made the prompts act again, with noise on their actions.

A policy acts on the train layout on which its prompt was recorded, until it succeeds, at most `TRIES` times; one that
never does is passed over for the next in the drawn order. The steps are the benchmark's and not the method's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maa_bench.cache import Cache
from maa_bench.dataset.prompt_conditions import HAND, stream
from maa_bench.dataset.store import CheckpointDataset, params_of
from maa_bench.dataset.tables import concatenated
from maa_bench.errors import DataError
from maa_bench.files import digest, hashes, whole_folder, write_json
from maa_bench.forward import PackedPolicy
from maa_bench.policy import Float32
from maa_bench.prompts import OUTCOME, SEGMENT, Behaviors, PromptSet
from maa_bench.protocol import Protocol
from maa_bench.simulators import EpisodeError, Float64, TaskSimulator, opened_task
from maa_bench.software import software

VERSION = 1
"""Part of the address of every kept set and of every cell made of one; raise it when a prompt could come out
differently."""
TRIES = 20

_ARRAYS = ("observations", "actions", "outcome", "rewards")


class ShakyError(DataError):
    """Too few policies succeed when their hand shakes, or the dataset does not say where they acted."""


@dataclass(frozen=True)
class Shaken:
    """n prompts that were collected with noise, and the rewards of their steps, (n, 60) float32."""

    prompts: PromptSet
    rewards: Float32


def shaken(data: CheckpointDataset, task: str, protocol: Protocol, seed: int, cache: Path | None = None) -> Shaken:
    """Collect the prompts of a task, or take them from a cache.

    Args:
        data: the dataset.
        task: the test task.
        protocol: shots, source and action noise.
        seed: training seed, which draws policies and noise.
        cache: folder of a cache; None: of none.

    Raises:
        ShakyError: too few of the policies succeed, or the dataset does not say on which layout they acted.
    """
    if cache is None:
        return _collected(data, task, protocol, seed)
    suite = data.suite
    identity = {
        "version": VERSION,
        "dataset": data.content_sha256,
        "task": [task, suite.task(task).env, dict(suite.task(task).options)],
        "layouts": suite.layouts_sha256,
        "horizon": suite.horizon,
        "software": software(),
        "seed": seed,
        **{name: getattr(protocol, name) for name in ("shots", "prompt_source", "action_noise")},
    }
    folder = Cache(cache).prompts_folder(digest(identity)[:32])
    found = _read(folder, suite.source, task)
    if found is None:
        found = _collected(data, task, protocol, seed)
        _write(folder, found)
    return found


def _collected(data: CheckpointDataset, task: str, protocol: Protocol, seed: int) -> Shaken:
    suite, source, shots = data.suite, protocol.prompt_source, protocol.shots
    order = data.prompts(task, data.n_prompts(task, source), seed, source).sources
    shards = data.entries("checkpoints", task, "prompt")
    table = concatenated(data.table(shard, ["row_id", "behavior_layout", "params"]) for shard in shards)
    params = params_of(table, suite.policy.n_params)
    found = zip(table["row_id"].to_pylist(), table["behavior_layout"].to_pylist(), params, strict=True)
    rows = {row: (layout, own) for row, layout, own in found}
    layouts = suite.layouts(task, "train")
    simulator = opened_task(suite, task)
    made: list[tuple[Float32, ...]] = []
    sources: list[str] = []
    for row in order:
        if len(made) == shots:
            break
        layout, parameters = rows[row]
        if not 0 <= layout < len(layouts):
            raise ShakyError(
                f"--action-noise: dataset {data.id} does not say on which layout {row} acted: "
                "take one that was built here"
            )
        rng = stream(seed, row, HAND)
        policy = PackedPolicy(suite.policy, parameters)
        for _ in range(TRIES):
            noise = protocol.action_noise * rng.standard_normal((suite.horizon, suite.policy.action_dim))
            taken = _act(simulator, policy, layouts[layout], noise)
            if taken is not None:
                made.append(taken)
                sources.append(row)
                break
    if len(made) < shots:
        raise ShakyError(
            f"--action-noise {protocol.action_noise:g}: of {len(order)} policies of task {task!r} (source {source!r}) "
            f"{len(made)} succeed in one of {TRIES} tries, but {shots} prompts are wanted"
        )
    observations, actions, outcome, rewards = (np.stack(column) for column in zip(*made, strict=True))
    return Shaken(PromptSet(suite.source, task, Behaviors(observations, actions, outcome), tuple(sources)), rewards)


def _act(simulator: TaskSimulator, policy: PackedPolicy, layout: Float64, noise: Float64) -> tuple[Float32, ...] | None:
    """One episode: 60 states, actions that were done, states after the success, 60 rewards; None without success.

    Args:
        noise: (horizon, action_dim), added to the policy's actions.
    """
    observations = [simulator.reset(layout)]
    actions: list[Float32] = []
    rewards: list[float] = []
    first, horizon = -1, len(noise)
    while len(actions) < horizon and (first < 0 or len(actions) < max(SEGMENT, first + OUTCOME - 1)):
        wanted = policy.act(observations[-1]) + noise[len(actions)]
        actions.append(np.clip(wanted, -1.0, 1.0).astype(np.float32))
        try:
            observation, success = simulator.step(actions[-1])
        except EpisodeError:
            return None
        observations.append(observation)
        rewards.append(simulator.reward)
        if success and first < 0:
            first = len(actions)
    if first < 0:
        return None
    after = np.minimum(np.arange(first, first + OUTCOME), len(observations) - 1)
    states = np.array(observations)
    return (
        states[:SEGMENT].astype(np.float32),
        np.array(actions[:SEGMENT], np.float32),
        states[after].astype(np.float32),
        np.array(rewards[:SEGMENT], np.float32),
    )


def _write(folder: Path, found: Shaken) -> None:
    """Whole or not at all; what another process wrote meanwhile is the same."""
    behaviors = found.prompts.behaviors
    arrays: dict[str, Any] = {name: getattr(behaviors, name) for name in _ARRAYS[:-1]} | {"rewards": found.rewards}
    with whole_folder(folder) as temporary:
        (temporary / "arrays").mkdir()
        for name, array in arrays.items():
            np.save(temporary / "arrays" / f"{name}.npy", array)
        files = hashes(temporary / "arrays")
        write_json(temporary / "meta.json", {"files": files, "sources": found.prompts.sources})


def _read(folder: Path, suite: str, task: str) -> Shaken | None:
    """What was kept, if it is there and whole; else it is collected again."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if hashes(folder / "arrays") != meta["files"]:
            return None
        observations, actions, outcome, rewards = (
            np.load(folder / "arrays" / f"{name}.npy", allow_pickle=False) for name in _ARRAYS
        )
        return Shaken(
            PromptSet(suite, task, Behaviors(observations, actions, outcome), tuple(meta["sources"])), rewards
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
