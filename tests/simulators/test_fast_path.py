"""The compiled loop against stock Meta-World, byte for byte, on all 18 tasks and on policies of every temper."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("metaworld")

from stock_and_fast import OLD as TASKS
from stock_and_fast import SUITE, assert_same, fast, stock, untrained
from tiers import mostly_heavy

from maa_bench.dataset.experts import ExpertConfig, demonstrations, expert_episodes
from maa_bench.dataset.producers.distill import _Learner
from maa_bench.evaluator import EpisodeJob
from maa_bench.execution.threads import threads
from maa_bench.forward import PackedPolicy
from maa_bench.method import FlatPolicies
from maa_bench.policy import initial_params
from maa_bench.simulators import EpisodeError, step_trajectory, step_until_success
from maa_bench.simulators import metaworld as ours
from maa_bench.simulators.metaworld import fast as loop
from maa_bench.simulators.metaworld import resets
from maa_bench.simulators.metaworld.fast import FastTask
from maa_bench.simulators.metaworld.kernel import NEEDS_STOCK
from maa_bench.simulators.metaworld.stock import StockTask
from maa_bench.simulators.metaworld.tasks import FAST_TASKS
from maa_bench.suite import load_suite

pytestmark = [
    pytest.mark.simulator,
    pytest.mark.filterwarnings("ignore:Constant"),
    pytest.mark.usefixtures("in_a_folder_of_its_own", "needs_the_fast_path"),
]

LONG = ("door-open", "reach-wall", "dial-turn")
"""Rolled for the whole 500 steps: orientation by matrix, by constant geom, the turning offset.

What is the loop's and not a task's is tried on these alone by default, on all tasks in the heavy tier.
"""


@cache
def cloned(task: str) -> PackedPolicy:
    """Something like a checkpoint: a few hundred updates towards the scripted expert."""
    config = ExpertConfig(demonstrations=4, noise_std=(0.0, 0.2))
    shown = expert_episodes(stock(task), SUITE.layouts(task, "train"), config, np.random.default_rng(0))
    shown = demonstrations(shown, config.tail)
    generator = torch.Generator().manual_seed(0)
    with threads(1):
        learner = _Learner(SUITE.policy, [0], 1e-3)
        obs, labels = torch.tensor(shown.observations), torch.tensor(shown.labels)
        for _ in range(400):
            rows = torch.randint(len(obs), (1, 64), generator=generator)
            learner.step(obs[rows], labels[rows])
        return PackedPolicy(SUITE.policy, learner.params()[0].copy())


def test_every_task_of_the_suite_has_a_fast_path() -> None:
    suite = load_suite("metaworld-v1")
    assert {task.env for task in suite.tasks.values()} <= set(FAST_TASKS)
    assert all(ours.has_fast_path(task) for task in suite.tasks.values())


@pytest.mark.parametrize("task", TASKS)
def test_a_cloned_policy_rolls_as_in_stock(task: str) -> None:
    firsts = [assert_same(task, cloned(task), layout, 200).first_success for layout in SUITE.layouts(task, "test")[:3]]
    SUCCESSES[task] = sum(first > 0 for first in firsts)


SUCCESSES: dict[str, int] = {}


def test_most_cloned_policies_succeed_so_that_successes_were_compared() -> None:
    for task in TASKS:  # also when this test runs alone
        if task not in SUCCESSES:
            layouts = SUITE.layouts(task, "test")[:3]
            SUCCESSES[task] = sum(fast(task).first_success(cloned(task), layout, 200)[0] > 0 for layout in layouts)
    assert sum(count > 0 for count in SUCCESSES.values()) >= 14, SUCCESSES


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("scale", [1.0, pytest.param(3.0, marks=pytest.mark.heavy), 10.0])
def test_an_untrained_policy_rolls_as_in_stock(task: str, scale: float) -> None:
    layouts = SUITE.layouts(task, "select")
    for seed in range(2):
        assert_same(task, untrained(seed, scale), layouts[seed], 150)


def how_it_ends(simulator: StockTask, policy: PackedPolicy, layout: Any) -> tuple[str, int]:
    with pytest.raises(EpisodeError) as ended:
        simulator.first_success(policy, layout, 30)
    return ended.value.reason, ended.value.steps


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_ends_at_an_action_that_is_no_number_as_in_stock(task: str) -> None:
    layout, policy = SUITE.layouts(task, "test")[0], cloned(task)
    before = fast(task).trajectory(policy, layout, 20, 20, 20)
    actual = how_it_ends(fast(task), untrained(0, 1e25), layout)
    assert actual == how_it_ends(stock(task), untrained(0, 1e25), layout)
    assert re.fullmatch(r"the action of step \d+ is not finite", actual[0])
    with pytest.raises(EpisodeError, match=actual[0]):
        fast(task).trajectory(untrained(0, 1e25), layout, 30, 30, 30)
    after = fast(task).trajectory(policy, layout, 20, 20, 20)
    assert after.observations.tobytes() == before.observations.tobytes(), "what failed leaves no trace"


@pytest.mark.parametrize("task", mostly_heavy(LONG, TASKS))
def test_an_episode_ends_when_the_simulation_diverges_as_in_stock(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, policy = SUITE.layouts(task, "test")[1], cloned(task)
    quick, slow = FastTask(SUITE.task(task)), StockTask(SUITE.task(task))
    for simulator in (quick, slow):

        def reset_and_push(env: Any = simulator.env, reset: Any = simulator.env.reset) -> Any:
            obs = reset()
            env.data.qvel[0] = 1e11  # MuJoCo bears 1e10
            return obs

        monkeypatch.setattr(simulator.env, "reset", reset_and_push)
    assert how_it_ends(quick, policy, layout) == how_it_ends(slow, policy, layout)
    assert how_it_ends(quick, policy, layout) == ("the simulation diverged in step 1", 1)
    monkeypatch.undo()
    other = SUITE.layouts(task, "test")[2]
    rolled = quick.trajectory(policy, other, 20, 20, 20)
    assert rolled.observations.tobytes() == fast(task).trajectory(policy, other, 20, 20, 20).observations.tobytes()


@pytest.mark.parametrize("task", TASKS)
def test_success_begins_at_the_very_distance_of_stocks(task: str) -> None:
    """The target is put a hair nearer or farther than the threshold, in every direction; stock says what counts."""
    rules, layout = FAST_TASKS[SUITE.task(task).env], SUITE.layouts(task, "test")[0]
    still = PackedPolicy(SUITE.policy, np.zeros(SUITE.policy.n_params, np.float32))
    slow, quick = stock(task), fast(task)
    slow.reset(layout)
    obs, _ = slow.step(np.zeros(4, np.float32))
    place = slow.env.tcp_center.copy() if rules.of == "hand" else obs[4:7] + np.array(rules.shift or (0.0, 0.0, 0.0))
    target = quick._states.restore(layout).target
    frozen = target.copy()
    agreed = []
    for direction in (*np.eye(3), *-np.eye(3), np.ones(3) / np.sqrt(3)):
        for distance in (rules.threshold * (1 - 1e-6), rules.threshold * (1 + 1e-6)):
            slow.reset(layout)
            slow.env._target_pos = place + distance * direction
            target[:] = slow.env._target_pos
            _, success = slow.step(np.zeros(4, np.float32))
            assert (quick.first_success(still, layout, 1)[0] == 1) == success, (direction, distance)
            agreed.append(success)
    target[:] = frozen
    assert {True, False} == set(agreed)


@pytest.mark.parametrize("task", LONG)
def test_a_whole_episode_of_500_steps_rolls_as_in_stock(task: str) -> None:
    layouts = SUITE.layouts(task, "test")
    assert_same(task, cloned(task), layouts[10], 500)
    assert_same(task, untrained(5, 3.0), layouts[11], 500)


@pytest.mark.parametrize("task", mostly_heavy(LONG, TASKS))
def test_the_order_of_episodes_decides_nothing(task: str) -> None:
    """Layouts are reset by stock once and then restored; both must be the same, whatever ran before."""
    layouts = SUITE.layouts(task, "test")[20:23]
    policies = [untrained(1, 3.0), untrained(2)]
    everything = [(p, i) for p in range(2) for i in range(3)]
    simulator = FastTask(SUITE.task(task))
    expected = {}
    for p, i in everything:
        expected[p, i] = step_trajectory(stock(task), policies[p], layouts[i], 40, 40, 40).observations.tobytes()
    for p, i in [*everything, *everything[::-1], (0, 0), (0, 0)]:
        rolled = simulator.trajectory(policies[p], layouts[i], 40, 40, 40)
        assert rolled.observations.tobytes() == expected[p, i], (p, i)


@pytest.mark.parametrize("task", ["drawer-open", "plate-slide"])
def test_stock_steps_and_fast_episodes_may_be_mixed_on_one_task(task: str) -> None:
    """Agents that are no flat policies step the same environment that flat ones run fast in."""
    simulator = FastTask(SUITE.task(task))
    first, second = SUITE.layouts(task, "test")[30:32]
    policy = untrained(3)
    expected = step_trajectory(stock(task), policy, first, 40, 40, 40).observations.tobytes()
    assert simulator.trajectory(policy, first, 40, 40, 40).observations.tobytes() == expected
    result = step_until_success(simulator, simulator.expert(), second, 200)
    assert result == step_until_success(stock(task), stock(task).expert(), second, 200)
    assert result[0] > 0
    assert simulator.trajectory(policy, first, 40, 40, 40).observations.tobytes() == expected
    assert step_trajectory(simulator, policy, first, 40, 40, 40).observations.tobytes() == expected
    assert step_until_success(simulator, simulator.expert(), second, 200) == result


class Coat:
    """A flat policy that the evaluator cannot see as one, so it is stepped."""

    def __init__(self, inside: PackedPolicy) -> None:
        self.reset, self.act = inside.reset, inside.act


class Coats:
    def __init__(self, policies: FlatPolicies) -> None:
        self.policies = policies

    def __len__(self) -> int:
        return len(self.policies)

    def agent(self, index: int) -> Coat:
        return Coat(PackedPolicy(self.policies.spec, self.policies.params[index]))


@pytest.mark.parametrize("task", ["handle-press", "faucet-close"])
def test_a_policy_scores_the_same_flat_and_as_an_agent(task: str) -> None:
    """Its actions are float32, and Meta-World computes with them as such: the evaluator must not widen them."""
    spec = SUITE.policy
    params = np.stack([pack_back(cloned(task)), initial_params(spec, np.random.default_rng(0))])
    flat, layouts = FlatPolicies(spec, params), (("select", 1), ("test", 2))
    firsts = [
        EpisodeJob("metaworld-v1", task, agents, (0, 1), layouts)(lambda *_: None).first_success
        for agents in (flat, Coats(flat))
    ]
    assert firsts[0].tobytes() == firsts[1].tobytes()
    assert (firsts[0] > 0).any()


def pack_back(policy: PackedPolicy) -> Any:
    """The flat parameters of a packed policy: (n_params,) float32."""
    flat = np.empty_like(policy.packed)
    for tensor in SUITE.policy.tensors:
        block = policy.packed[tensor.start : tensor.stop]
        flat[tensor.start : tensor.stop] = (
            block.reshape(tensor.shape[::-1]).T.ravel() if len(tensor.shape) == 2 else block
        )
    return flat


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("count", [3, pytest.param(50, marks=pytest.mark.heavy)])
def test_a_lean_reset_leaves_stocks_very_state(task: str, count: int) -> None:
    """Layouts one after the other, forth and back: no trace of the last one, and the copy is the reset."""
    slow, quick = StockTask(SUITE.task(task)), FastTask(SUITE.task(task))

    def state(simulator: StockTask) -> list[bytes]:
        env = simulator.env
        names = ("qpos", "qvel", "qacc", "qacc_warmstart", "mocap_pos", "mocap_quat", "ctrl", "xpos", "xquat")
        arrays = [getattr(env.data, name) for name in (*names, "site_xpos", "geom_xpos", "efc_force", "ten_length")]
        return [a.tobytes() for a in (*arrays, env.model.body_pos, env.model.site_pos, env._target_pos)]

    for layout_set in ("train", "select", "test"):
        layouts = SUITE.layouts(task, layout_set)[:count]
        for layout in (*layouts, *layouts[::-1]):
            assert slow.reset(layout).tobytes() == quick.reset(layout).tobytes()
            expected = state(slow)
            assert state(quick) == expected
            quick._states.restore(layout)
            assert state(quick) == expected


def test_forgotten_layouts_are_reset_again_with_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resets, "KEPT_LAYOUTS", 2)
    simulator = FastTask(SUITE.task("door-lock"))
    layouts, policy = SUITE.layouts("door-lock", "test")[:4], untrained(1)
    rolled = [simulator.trajectory(policy, x, 30, 30, 30).observations.tobytes() for x in (*layouts, *layouts)]
    assert rolled[:4] == rolled[4:]
    assert len(simulator._states) == 2


def test_an_episode_that_the_loop_cannot_follow_is_left_to_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "episode", lambda *_: (NEEDS_STOCK, 1))
    task, policy = "faucet-open", cloned("faucet-open")
    layout = SUITE.layouts(task, "test")[0]
    simulator = FastTask(SUITE.task(task))
    assert simulator.first_success(policy, layout, 200) == stock(task).first_success(policy, layout, 200)
    mine, theirs = (s.trajectory(policy, layout, 100, 2, 60) for s in (simulator, stock(task)))
    assert mine.observations.tobytes() == theirs.observations.tobytes()
    assert mine.first_success == theirs.first_success


def test_a_machine_of_other_arithmetic_gets_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "same_arithmetic", lambda: False)
    assert type(ours.open_task(SUITE.task("reach"))) is StockTask


@pytest.mark.parametrize("task", ["handle-press", "window-close"])
@pytest.mark.parametrize(("after", "least"), [(2, 60), (0, 0), (5, 1), (100, 60)])
def test_a_trajectory_ends_where_stocks_does(task: str, after: int, least: int) -> None:
    layout = SUITE.layouts(task, "test")[0]
    expected = step_trajectory(stock(task), cloned(task), layout, 120, after, least)
    actual = fast(task).trajectory(cloned(task), layout, 120, after, least)
    assert actual.observations.tobytes() == expected.observations.tobytes()
    assert actual.actions.tobytes() == expected.actions.tobytes()
    assert actual.first_success == expected.first_success


@pytest.mark.parametrize("task", ["handle-press", "drawer-close"])
def test_the_horizon_counts_its_last_step(task: str) -> None:
    layout = SUITE.layouts(task, "test")[0]
    first, steps = fast(task).first_success(cloned(task), layout, 300)
    assert 0 < first == steps
    assert fast(task).first_success(cloned(task), layout, first) == (first, first)
    assert fast(task).first_success(cloned(task), layout, first - 1) == (-1, first - 1)


def test_a_simulation_that_diverges_leaves_no_log_and_no_noise(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from maa_bench.simulators import EpisodeError, simulator_of\n"
        "from maa_bench.suite import load_suite\n"
        "suite = load_suite('metaworld-v1')\n"
        "simulator = simulator_of(suite).open_task(suite.task('reach'))\n"
        "simulator.reset(suite.layouts('reach', 'test')[0])\n"
        "simulator.env.data.qvel[0] = 1e11\n"
        "try:\n"
        "    simulator.step(np.zeros(4))\n"
        "except EpisodeError as error:\n"
        "    print(error.reason)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "the simulation diverged in step 1\n"
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.heavy
@pytest.mark.parametrize("task", TASKS)
def test_whole_episodes_on_every_layout_with_policies_of_every_kind(task: str) -> None:
    """Cloned, untrained, pushing with all force, cloned with noise, between two others: 500 steps each, every byte."""
    rng = np.random.default_rng(7)
    good, wild = pack_back(cloned(task)), pack_back(untrained(3, 3.0))
    kinds = [good, pack_back(untrained(1)), wild, pack_back(untrained(2, 10.0)), 0.7 * good + 0.3 * wild]
    number = 0
    for layout_set in ("train", "select", "test"):
        for layout in SUITE.layouts(task, layout_set):
            params = kinds[number % 5] + np.float32(0.02 * (number % 3)) * rng.standard_normal(len(good))
            assert_same(task, PackedPolicy(SUITE.policy, params.astype(np.float32)), layout, 500)
            number += 1
    assert number == 125
