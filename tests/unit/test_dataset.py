"""The checkpoint dataset: typed, split by run, measured; what stands in its rows is so."""

from __future__ import annotations

import hashlib
import itertools
import json

import numpy as np
import pytest

from maa_bench.dataset.config import plan_dataset
from maa_bench.dataset.measure import first_success_steps, record_behavior
from maa_bench.dataset.schema import COLUMNS, ROLES, TRANSITIONS, row_hash
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.forward import PackedPolicy
from maa_bench.prompts import OUTCOME, SEGMENT
from maa_bench.simulators import simulator_of

TASKS = ("goal-000", "goal-030")
"""A seen and an unseen one."""


def test_the_schema_is_typed_with_vectors_of_fixed_size(tiny_dataset: CheckpointDataset) -> None:
    import datasets

    spec = tiny_dataset.suite.policy
    rows = tiny_dataset.hf("goal-000")
    assert isinstance(rows, datasets.Dataset)
    assert list(rows.features) == list(COLUMNS)
    sizes = {
        "params": spec.n_params,
        "observations": SEGMENT * spec.obs_dim,
        "actions": SEGMENT * spec.action_dim,
        "outcome": OUTCOME * spec.obs_dim,
    }
    for name, size in sizes.items():
        feature = rows.features[name]
        assert (feature.length, feature.feature.dtype) == (size, "float32"), name
    plain = {
        name: rows.features[name].dtype for name in ("task", "run", "seed", "step", "env_step", "success", "episodes")
    }
    assert plain == {
        "task": "string", "run": "string", "seed": "int64", "step": "int64", "env_step": "int64",
        "success": "float32", "episodes": "int32",
    }  # fmt: skip
    assert all(rows.data.table.schema.field(name).metadata for name in COLUMNS), "every column says what it is"


def test_columns_can_be_read_alone(tiny_dataset: CheckpointDataset) -> None:
    assert tiny_dataset.hf("goal-000", ["task", "success"]).column_names == ["task", "success"]


def test_rows_are_split_by_run(tiny_dataset: CheckpointDataset) -> None:
    seen = tiny_dataset.suite.dataset_tasks().trained
    for task in tiny_dataset.suite.tasks:
        rows = tiny_dataset.hf(task, ["row_id", "task", "role", "run", "step"])
        roles: dict[str, set[str]] = {}
        for run, role in zip(rows["run"], rows["role"], strict=True):
            roles.setdefault(run, set()).add(role)
        assert all(len(of_run) == 1 for of_run in roles.values()), "a run serves one role"
        assert set.union(*roles.values()) == ({"train", "prompt"} if task in seen else {"prompt"})
        assert len(set(rows["row_id"])) == len(rows)
        assert set(rows["task"]) == {task}
    assert {"train", "prompt"} <= set(ROLES)


def test_every_row_says_where_it_comes_from(tiny_dataset: CheckpointDataset) -> None:
    row = tiny_dataset.hf("goal-000")[0]
    assert row["row_id"] == f"goal-000/{row['run']}/{row['step']}"
    assert (row["suite"], row["producer"], row["spec_id"]) == ("tiny", "distill", tiny_dataset.suite.policy.id)
    assert "maa-bench" in json.loads(row["versions"])


@pytest.mark.parametrize("task", TASKS)
def test_recorded_success_is_that_of_a_new_roll_out(tiny_dataset: CheckpointDataset, task: str) -> None:
    suite = tiny_dataset.suite
    simulator = simulator_of(suite).open_task(suite.task(task))
    layouts = suite.layouts(task, "train")
    for row in tiny_dataset.hf(task):
        policy = PackedPolicy(suite.policy, np.array(row["params"], np.float32))
        firsts, _ = first_success_steps(simulator, policy, layouts[row["layouts"]], suite.horizon)
        assert firsts == row["first_success_steps"], row["row_id"]
        assert row["success"] == np.mean([first > 0 for first in firsts])
        assert row["episodes"] == len(firsts) == len(row["layouts"])


@pytest.mark.parametrize("task", TASKS)
def test_recorded_behaviour_is_that_of_its_own_parameters(tiny_dataset: CheckpointDataset, task: str) -> None:
    suite = tiny_dataset.suite
    simulator = simulator_of(suite).open_task(suite.task(task))
    layouts = suite.layouts(task, "train")
    shown = 0
    for row in tiny_dataset.hf(task):
        if row["behavior_layout"] < 0:
            assert not np.any(row["observations"])
            assert row["success"] == 0.0
            continue
        policy = PackedPolicy(suite.policy, np.array(row["params"], np.float32))
        again, _ = record_behavior(simulator, policy, layouts[row["behavior_layout"]], suite.horizon)
        for name in ("observations", "actions", "outcome"):
            expected = getattr(again, name).astype(np.float32).ravel()
            np.testing.assert_array_equal(np.array(row[name], np.float32), expected, err_msg=row["row_id"])
        shown += 1
    assert shown


def test_the_outcome_begins_with_the_first_success(tiny_dataset: CheckpointDataset) -> None:
    """Within 0.1 of the toy's goal, whichever step of the segment that is."""
    goal = np.array([0.866, 0.5])
    for row in tiny_dataset.hf("goal-030"):
        if row["behavior_layout"] < 0:
            continue
        outcome = np.array(row["outcome"]).reshape(OUTCOME, 4)
        first = row["first_success_steps"][row["layouts"].index(row["behavior_layout"])]
        assert np.linalg.norm(outcome[0, :2] - goal) <= 0.1 + 1e-6
        if first < SEGMENT:
            states = np.array(row["observations"]).reshape(SEGMENT, 4)
            np.testing.assert_array_equal(states[first], outcome[0])
            assert np.linalg.norm(states[first - 1, :2] - goal) > 0.1


def test_a_policy_that_fails_has_no_behaviour_to_record(tiny_dataset: CheckpointDataset) -> None:
    suite = tiny_dataset.suite
    simulator = simulator_of(suite).open_task(suite.task("goal-000"))
    still = PackedPolicy(suite.policy, np.zeros(suite.policy.n_params, np.float32))
    with pytest.raises(ValueError, match="does not succeed"):
        record_behavior(simulator, still, suite.layouts("goal-000", "train")[0], suite.horizon)


def test_a_row_hash_is_that_of_its_columns(tiny_dataset: CheckpointDataset) -> None:
    """Written out here once more, from the description alone."""
    for row in itertools.islice(tiny_dataset.hf("goal-000"), 5):
        total = hashlib.sha256()
        for name in COLUMNS:
            if name == "row_hash":
                continue
            value = row[name]
            vector = name in ("params", "observations", "actions", "outcome")
            content = np.array(value, "<f4").tobytes() if vector else json.dumps(value).encode()
            total.update(name.encode() + b"=" + content + b"\n")
        assert row["row_hash"] == total.hexdigest() == row_hash(row)
        assert row_hash({**row, "success": 0.25}) != row["row_hash"]


def test_every_run_has_its_checkpoints_of_success_1_and_few_others(tiny_dataset: CheckpointDataset) -> None:
    plan = plan_dataset(tiny_dataset.suite)
    for task in plan.tasks:
        rows = tiny_dataset.hf(task, ["run", "success"])
        for run in plan.runs(task):
            own = [s for name, s in zip(rows["run"], rows["success"], strict=True) if name == run.name]
            assert sum(s == 1.0 for s in own) == run.verified == 6
            assert sum(0.0 < s < 1.0 for s in own) <= run.partial
            assert sum(s == 0.0 for s in own) <= run.failing


def test_checkpoints_of_a_run_follow_each_other_and_none_nearly_repeats_the_last(
    tiny_dataset: CheckpointDataset,
) -> None:
    least = plan_dataset(tiny_dataset.suite).config.near_duplicate
    for shard in tiny_dataset.entries("checkpoints"):
        table = tiny_dataset.table(shard)
        steps = table["step"].to_pylist()
        assert steps == sorted(set(steps))
        params = np.array(table["params"].to_pylist())
        moved = np.linalg.norm(np.diff(params, axis=0), axis=1)
        assert (moved >= least * np.linalg.norm(params[:-1], axis=1)).all()


def test_transitions_are_steps_of_the_simulator(tiny_dataset: CheckpointDataset) -> None:
    """Each is stepped again from its episode's layout: states, rewards and successes are the recorded ones."""
    suite = tiny_dataset.suite
    simulator = simulator_of(suite).open_task(suite.task("goal-000"))
    expert = simulator.expert()
    layouts = suite.layouts("goal-000", "train")
    steps = tiny_dataset.transitions("goal-000", "train")
    assert set(steps.source[steps.noise_std > 0]) == {"expert"}
    for start, stop in steps.bounds():
        obs = simulator.reset(layouts[steps.layout[start]])
        for t in range(start, stop):
            # Actions are kept in float32, and were done in float64.
            np.testing.assert_allclose(steps.observations[t], obs, atol=1e-5)
            np.testing.assert_allclose(steps.labels[t], expert.act(obs), atol=1e-4)
            obs, success = simulator.step(steps.actions[t])
            np.testing.assert_allclose(steps.next_observations[t], obs, atol=1e-5)
            np.testing.assert_allclose(steps.rewards[t], simulator.reward, atol=1e-4)
            assert bool(steps.success[t]) == success


def test_every_run_acts_some_transitions(tiny_dataset: CheckpointDataset) -> None:
    rows = set(tiny_dataset.hf("goal-030", ["row_id"])["row_id"])
    steps = tiny_dataset.transitions("goal-030", "prompt")
    sources = set(steps.source)
    assert sources - {"expert"} <= rows
    assert {source.split("/")[1] for source in sources - {"expert"}} == {"prompt-00", "prompt-01"}
    assert len(tiny_dataset.transitions("goal-030", "train")) == 0, "nobody trains on an unseen task"
    columns = tiny_dataset.table(next(iter(tiny_dataset.entries("transitions")))).column_names
    assert columns == list(TRANSITIONS)


def test_an_episode_shows_every_step_once(tiny_dataset: CheckpointDataset) -> None:
    steps = tiny_dataset.transitions("goal-000", "train")
    bounds = steps.bounds()
    assert [stop for _, stop in bounds[:-1]] == [start for start, _ in bounds[1:]]
    assert bounds[-1][1] == len(steps)
    for start, stop in bounds:
        np.testing.assert_array_equal(steps.next_observations[start : stop - 1], steps.observations[start + 1 : stop])
        assert len(set(steps.episode[start:stop].tolist())) == 1
