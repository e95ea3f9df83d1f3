"""What `generate` is shown of a test task: the prompts, and what else of the dataset the method's card declares.

This is the one place that reads a test task's rewards or parameters, and only for methods that declare them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from maa_bench.dataset.experts import EXPERT
from maa_bench.dataset.prompt_conditions import Spread, held, noisy, shown_steps
from maa_bench.dataset.shaky import shaken
from maa_bench.dataset.store import CheckpointDataset, params_of
from maa_bench.dataset.tables import concatenated, vectors
from maa_bench.errors import DataError
from maa_bench.policy import Float32
from maa_bench.prompts import SEGMENT, CheckpointPromptSet, PromptSet, RewardedPromptSet, no_behaviors
from maa_bench.protocol import Protocol
from maa_bench.simulators import EpisodeError, Float64, TaskSimulator, opened_task

BLIND = ("nothing", "scripted_expert")
"""Uses of a test task that need no prompts."""

REWARDED = "prompts+rewards"
"""The use that is shown rewards, too: those of the steps that it is shown."""


class RewardsError(DataError):
    """A dataset cannot say what reward the steps of its prompts earned."""


def shown_prompts(
    data: CheckpointDataset, task: str, uses: str, protocol: Protocol, seed: int, cache: Path | None = None
) -> PromptSet:
    """What a method is given of a test task.

    Args:
        data: the dataset.
        task: the test task.
        uses: what the method's card says, one of `method.USES`.
        protocol: shots and source of the prompts, and what is done to them.
        seed: training seed, which draws the prompts, and what befalls them.
        cache: folder of a cache, where prompts that are collected anew are kept; None: of none.

    Raises:
        ShakyError: policies that were to act again with noise do not succeed.
        RewardsError: the method needs rewards, and the dataset gives none.
        DataError: a damaged shard.
        ProtocolError: fewer prompts than shots.
    """
    spec = data.suite.policy
    if uses in BLIND:
        return PromptSet(data.suite.source, task, no_behaviors(spec.obs_dim, spec.action_dim), ())
    source, rewards = protocol.prompt_source, None
    if protocol.action_noise:
        collected = shaken(data, task, protocol, seed, cache)
        prompts, rewards = collected.prompts, collected.rewards
    else:
        prompts = data.prompts(task, protocol.shots, seed, source)
        if uses == REWARDED:
            rewards = (_recorded if source == "expert" else replayed_rewards)(data, prompts)
    steps = shown_steps(prompts.sources, protocol, seed)
    behaviors = held(prompts.behaviors, steps)
    if protocol.prompt_noise:
        spread = Spread.of(data.all_prompts(task, source)[0])
        behaviors = noisy(behaviors, prompts.sources, spread, protocol.prompt_noise, seed)
    told = prompts.suite, task, behaviors, prompts.sources
    if uses == REWARDED and rewards is not None:
        return RewardedPromptSet(*told, rewards=np.take_along_axis(rewards, steps, axis=1))
    if uses == "test_checkpoints":
        return CheckpointPromptSet(*told, *_checkpoints(data, task))
    return PromptSet(*told)


def _checkpoints(data: CheckpointDataset, task: str) -> tuple[Float32, Float32, npt.NDArray[np.str_]]:
    """The checkpoints of success 1 of the task's prompt runs, shard by shard: parameters, success, run."""
    import pyarrow.compute as pc

    shards = data.entries("checkpoints", task, "prompt")
    table = concatenated(data.table(shard, ["run", "success", "params"]) for shard in shards)
    table = table.filter(pc.equal(table["success"], 1.0)).combine_chunks()
    params = data.suite.policy.check(params_of(table, data.suite.policy.n_params))
    return params, np.array(table["success"].to_pylist(), np.float32), np.array(table["run"].to_pylist(), str)


def _recorded(data: CheckpointDataset, prompts: PromptSet) -> Float32:
    """The rewards of the expert's prompts, which its transitions tell: (n, 60) float32."""
    import pyarrow.compute as pc

    spec = data.suite.policy
    rewards: dict[bytes, Float32] = {}
    for shard in data.entries("transitions", prompts.task):
        if "/expert-" not in shard:
            continue
        table = data.table(shard, ["source", "episode", "noise_std", "observation", "reward"])
        table = table.filter(pc.and_(pc.equal(table["source"], EXPERT), pc.equal(table["noise_std"], 0.0)))
        states, earned = vectors(table["observation"], (spec.obs_dim,)), table["reward"].to_numpy()
        for start in np.flatnonzero(np.diff(table["episode"].to_numpy(), prepend=-1)):
            steps = slice(start, start + SEGMENT)
            rewards.setdefault(states[steps].tobytes(), np.array(earned[steps], np.float32))
    return np.stack([rewards[states.tobytes()] for states in prompts.behaviors.observations])


def replayed_rewards(data: CheckpointDataset, prompts: PromptSet, role: str = "prompt") -> Float32:
    """The rewards of prompts that were recorded without them: the actions are taken again. (n, 60) float32.

    Args:
        data: the dataset that the prompts are of.
        prompts: of which each source is a row id.
        role: of the runs that they come from.

    Raises:
        RewardsError: the dataset does not say on which layout one acted, or the simulator repeats it otherwise.
    """
    shards = data.entries("checkpoints", prompts.task, role)
    table = concatenated(data.table(shard, ["row_id", "behavior_layout"]) for shard in shards)
    layout_of = dict(zip(table["row_id"].to_pylist(), table["behavior_layout"].to_pylist(), strict=True))
    layouts = data.suite.layouts(prompts.task, "train")
    numbers = [layout_of[source] for source in prompts.sources]
    for source, number in zip(prompts.sources, numbers, strict=True):
        if not 0 <= number < len(layouts):
            raise RewardsError(
                f"dataset {data.id} has no rewards of its prompts, and does not say on which layout {source} acted, "
                "so that they could be measured; take a dataset that was built here, or --prompt-source expert"
            )
    simulator = opened_task(data.suite, prompts.task)
    rewards = np.empty((len(prompts), SEGMENT), np.float32)
    for i, (source, number) in enumerate(zip(prompts.sources, numbers, strict=True)):
        wrong = _replay(simulator, layouts[number], prompts, i, rewards[i])
        if wrong:
            raise RewardsError(
                f"dataset {data.id}: prompt {source}, its actions taken again on train layout {number}, {wrong}: "
                "`maa-bench data verify` says whether the dataset fits the simulator of this machine"
            )
    return rewards


def _replay(simulator: TaskSimulator, layout: Float64, prompts: PromptSet, i: int, rewards: Float32) -> str:
    """Take the actions of prompt i again and write (60,) rewards; returns what came out otherwise, "" if nothing."""
    observation = simulator.reset(layout)
    recorded = prompts.behaviors.observations[i]
    for step, action in enumerate(prompts.behaviors.actions[i]):
        if observation.astype(np.float32).tobytes() != recorded[step].tobytes():
            return f"came to another state before step {step + 1}"
        try:
            observation, _ = simulator.step(action)
        except EpisodeError as error:
            return f"broke off: {error.reason}"
        rewards[step] = simulator.reward
    return ""
