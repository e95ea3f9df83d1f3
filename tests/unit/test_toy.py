"""The toy simulator: exact physics, exact repetition, an expert that never fails."""

from __future__ import annotations

import numpy as np
import pytest

from maa_bench.errors import SuiteError
from maa_bench.evaluator import EpisodeJob
from maa_bench.forward import PackedPolicy
from maa_bench.policy import initial_params
from maa_bench.simulators import simulator_of, step_until_success
from maa_bench.simulators.toy import PointMass
from maa_bench.suite import Task, load_suite

TOY = load_suite("toy-v1")


def open_toy(task: str) -> PointMass:
    return simulator_of(TOY).open_task(TOY.task(task))  # type: ignore[return-value]


def test_one_step_moves_as_the_docstring_says() -> None:
    toy = open_toy("goal-000")
    np.testing.assert_array_equal(toy.reset(np.array([0.1, -0.1])), [0.1, -0.1, 0.0, 0.0])
    obs, success = toy.step(np.array([1.0, 5.0]))
    np.testing.assert_allclose(obs, [0.1 + 0.05 * 0.5, -0.1 + 0.05 * 0.5, 0.5, 0.5], rtol=0, atol=1e-15)
    assert not success


def test_success_is_within_a_tenth_of_the_goal() -> None:
    toy = open_toy("goal-000")
    for x, expected in ((0.901, True), (0.899, False)):
        toy.reset(np.array([x, 0.0]))
        assert toy.step(np.zeros(2))[1] is expected


def test_the_goal_is_not_in_the_observation() -> None:
    layout = TOY.layouts("goal-000", "test")[0]
    action = np.array([0.3, -0.2])
    seen = [(toy.reset(layout).tobytes(), toy.step(action)[0].tobytes()) for toy in map(open_toy, TOY.tasks)]
    assert len(set(seen)) == 1, "a policy could read the task off the observation; only the prompt may tell it"


@pytest.mark.parametrize("task", TOY.tasks)
def test_the_expert_succeeds_on_every_test_layout(task: str) -> None:
    toy = open_toy(task)
    layouts = TOY.layouts(task, "test")
    firsts = [step_until_success(toy, toy.expert(), layout, TOY.horizon)[0] for layout in layouts]
    assert min(firsts) > 0


def test_an_episode_depends_on_its_layout_alone() -> None:
    rng = np.random.default_rng(3)
    policies = [PackedPolicy(TOY.policy, 2 * initial_params(TOY.policy, rng)) for _ in range(4)]
    layouts = TOY.layouts("goal-090", "test")[:5]
    alone = [open_toy("goal-090").first_success(p, x, TOY.horizon) for p in policies for x in layouts]
    toy = open_toy("goal-090")
    backwards = [toy.first_success(p, x, TOY.horizon) for p in reversed(policies) for x in layouts[::-1]]
    assert alone == backwards[::-1]


def test_observations_do_not_change_afterwards() -> None:
    toy = open_toy("goal-000")
    first = toy.reset(np.array([0.0, 0.0]))
    kept = first.copy()
    toy.step(np.ones(2))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("env", "options"), [("ant", {"goal": [0.0, 1.0]}), ("point-mass", {}), ("point-mass", {"goal": [1.0]})]
)
def test_a_toy_task_without_a_goal_is_named(env: str, options: dict[str, list[float]]) -> None:
    with pytest.raises(SuiteError, match=r"toy task 'mine' needs env = 'point-mass' and options\.goal"):
        PointMass(Task("mine", env, options))


def test_a_trajectory_goes_on_after_the_success() -> None:
    toy = open_toy("goal-000")
    layout = TOY.layouts("goal-000", "test")[0]
    go_right = np.zeros(TOY.policy.n_params, np.float32)
    bias = next(t for t in TOY.policy.tensors if t.name == "mean.bias")
    go_right[bias.start : bias.stop] = [3.0, 0.0]
    policy = PackedPolicy(TOY.policy, go_right)
    first, steps = toy.first_success(policy, layout, TOY.horizon)
    assert 0 < first == steps < 60
    trajectory = toy.trajectory(policy, layout, TOY.horizon, after=2, least=60)
    assert trajectory.first_success == first
    assert trajectory.observations.shape == (61, 4)
    assert trajectory.actions.shape == (60, 2)
    short = toy.trajectory(policy, layout, TOY.horizon, after=2, least=1)
    assert len(short.actions) == first + 2
    np.testing.assert_array_equal(short.observations, trajectory.observations[: first + 3])


def test_early_stop_leaves_any_step_success_untouched() -> None:
    toy = open_toy("goal-000")
    rng = np.random.default_rng(1)
    layouts = TOY.layouts("goal-000", "test")[:5]
    some = 0
    for _ in range(20):
        policy = PackedPolicy(TOY.policy, 3 * initial_params(TOY.policy, rng))
        for layout in layouts:
            obs, flags = toy.reset(layout), []
            for _ in range(TOY.horizon):
                obs, success = toy.step(policy.act(obs))
                flags.append(success)
            expected = flags.index(True) + 1 if any(flags) else -1
            assert toy.first_success(policy, layout, TOY.horizon)[0] == expected
            some += any(flags) and not flags[-1]
    assert some, "some policy must pass through the goal and leave it, or this test shows nothing"


def test_a_success_counts_up_to_and_with_the_last_step_of_the_horizon() -> None:
    toy = open_toy("goal-000")
    layout = TOY.layouts("goal-000", "test")[0]
    first, _ = step_until_success(toy, toy.expert(), layout, TOY.horizon)
    assert step_until_success(toy, toy.expert(), layout, first) == (first, first)
    assert step_until_success(toy, toy.expert(), layout, first - 1) == (-1, first - 1)


def test_an_episode_job_is_picklable() -> None:
    import pickle

    from maa_bench.method import FlatPolicies

    agents = FlatPolicies(TOY.policy, initial_params(TOY.policy, np.random.default_rng(0))[None])
    job = EpisodeJob("toy-v1", "goal-000", agents, (0,), (("test", 2),))
    copy = pickle.loads(pickle.dumps(job))
    assert copy(lambda *_: None).first_success.tobytes() == job(lambda *_: None).first_success.tobytes()


def test_a_frame_shows_mass_and_goal_where_they_are() -> None:
    toy = open_toy("goal-000")
    toy.reset(np.array([-0.5, 0.25]))
    toy.step(np.zeros(2))
    frame = toy.frame(150, 120)
    assert frame.shape == (120, 150, 3)
    assert frame.dtype == np.uint8
    scale = 120 / 3.0  # pixels a unit: the short side shows [-1.5, 1.5]
    for colour, (x, y) in (((30, 40, 90), (-0.5, 0.25)), ((60, 180, 75), toy.goal)):
        rows, columns = np.nonzero((frame == colour).all(axis=-1))
        assert len(rows)
        np.testing.assert_allclose(columns.mean() + 0.5, 75 + x * scale, atol=0.5)
        np.testing.assert_allclose(rows.mean() + 0.5, 60 - y * scale, atol=0.5)


def test_drawing_changes_nothing() -> None:
    layout = TOY.layouts("goal-000", "test")[0]
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    seen, plain = open_toy("goal-000"), open_toy("goal-000")
    assert seen.reset(layout).tobytes() == plain.reset(layout).tobytes()
    frames = []
    for action in actions:
        frames.append(seen.frame(64, 48).tobytes())
        assert seen.step(action)[0].tobytes() == plain.step(action)[0].tobytes()
    assert len(set(frames)) > 1, "the mass moves"
