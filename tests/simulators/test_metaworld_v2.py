"""All 50 tasks of Meta-World: whose lists the splits are, and that every frozen layout can be solved."""

from __future__ import annotations

import numpy as np
import pytest

from maa_bench.simulators import simulator_of
from maa_bench.suite import load_suite

metaworld = pytest.importorskip("metaworld")

from maa_bench.simulators.metaworld.stock import StockTask  # noqa: E402

pytestmark = [pytest.mark.simulator, pytest.mark.filterwarnings("ignore:Constant")]

SUITE = load_suite("metaworld-v2")


def test_the_suite_has_every_task_of_metaworld() -> None:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    assert {task.env for task in SUITE.tasks.values()} == set(ALL_V3_ENVIRONMENTS)
    assert all(task.env == f"{name}-v3" for name, task in SUITE.tasks.items())


def test_every_task_has_a_scripted_expert() -> None:
    from metaworld.policies import ENV_POLICY_MAP

    assert set(ENV_POLICY_MAP) >= {task.env for task in SUITE.tasks.values()}


@pytest.mark.parametrize("name", ["ML10", "ML45"])
def test_ml_splits_are_the_librarys_own_lists(name: str) -> None:
    from metaworld import env_dict

    theirs = getattr(env_dict, f"{name}_V3")
    split = SUITE.split(name.lower())
    assert [SUITE.task(task).env for task in split.train] == list(theirs["train"])
    assert [SUITE.task(task).env for task in split.test] == list(theirs["test"])


@pytest.mark.heavy
@pytest.mark.parametrize("task", SUITE.tasks)
def test_layouts_begin_unsolved_and_the_expert_solves_them(task: str) -> None:
    """At least .8 of the test layouts, .9 of a hard task's; docs/suites.md has the numbers."""
    simulator = simulator_of(SUITE).open_task(SUITE.task(task))
    expert, solved = simulator.expert(), 0
    layouts = SUITE.layouts(task, "test")
    for layout in layouts:
        obs = simulator.reset(layout)
        assert obs.shape == (SUITE.policy.obs_dim,)
        expert.reset()
        for step in range(SUITE.horizon):
            obs, success = simulator.step(expert.act(obs))
            if success:
                assert step > 0, "solved by its first state"
                solved += 1
                break
    hard = task in SUITE.split("unseen-hard").test
    assert solved >= (0.9 if hard else 0.8) * len(layouts)


@pytest.mark.parametrize("task", ["door-open", "door-close"])
def test_an_expert_does_not_write_into_the_observation_that_it_is_given(task: str) -> None:
    """Upstream's scripts of these tasks do, and recorded transitions would show the door where it is not."""
    from metaworld.policies import ENV_POLICY_MAP

    simulator = StockTask(SUITE.task(task))
    expert = simulator.expert()
    obs = simulator.reset(SUITE.layouts(task, "train")[0])
    seen = obs.copy()
    action = expert.act(obs)
    np.testing.assert_array_equal(obs, seen)
    upstreams = ENV_POLICY_MAP[SUITE.task(task).env]()
    np.testing.assert_array_equal(np.clip(upstreams.get_action(obs), -1, 1), action)
    assert not np.array_equal(obs, seen), "upstream no longer writes: the copy in _Expert can go"
