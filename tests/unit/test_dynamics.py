"""Perturbed dynamics: how factors are drawn, what they do to the toy's physics, and that nothing else changes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maa_bench.conditions import STANDARD, Conditions
from maa_bench.errors import ProtocolError
from maa_bench.evaluator import EpisodeJob, Episodes, episode_jobs
from maa_bench.forward import PackedPolicy
from maa_bench.method import FlatPolicies
from maa_bench.policy import initial_params
from maa_bench.protocol import Protocol
from maa_bench.simulators import opened_task, served_dynamics, simulator_of, step_until_success
from maa_bench.simulators.dynamics import NOMINAL, SETTINGS, Dynamics, draw_dynamics
from maa_bench.simulators.toy import SPEED, PointMass
from maa_bench.suite import Suite, load_suite

TASK = "goal-030"
LAYOUTS = (("select", 3), ("test", 4))


@pytest.fixture(scope="module")
def suite(tiny_suite: Path) -> Suite:
    return load_suite(str(tiny_suite))


def policies(suite: Suite, n: int = 5) -> FlatPolicies:
    """Policies that drift to the right, by the goal or through it."""
    rng = np.random.default_rng(5)
    params = np.stack([rng.uniform(0.1, 2.0) * initial_params(suite.policy, rng) for _ in range(n)]).astype(np.float32)
    bias = next(t for t in suite.policy.tensors if t.name == "mean.bias")
    params[:, bias.start : bias.start + 2] = np.arctanh([0.8, 0.45])
    return FlatPolicies(suite.policy, params)


def roll(suite: Suite, conditions: Conditions = STANDARD) -> list[Episodes]:
    jobs = episode_jobs(suite.source, TASK, policies(suite), LAYOUTS, conditions)
    return [job(lambda *_: None) for job in jobs]


def first(suite: Suite, conditions: Conditions = STANDARD) -> np.ndarray:
    return np.concatenate([part.first_success for part in roll(suite, conditions)])


def open_toy() -> PointMass:
    toy = load_suite("toy-v1")
    return simulator_of(toy).open_task(toy.task("goal-000"))  # type: ignore[return-value]


def factors(ranges: Dynamics, setting: str, count: int = 2000) -> np.ndarray:
    return np.array([getattr(draw_dynamics(ranges, "suite", "task", "test", i), setting) for i in range(count)])


@pytest.mark.parametrize("setting", SETTINGS)
def test_factors_are_log_uniform_within_their_range(setting: str) -> None:
    drawn = factors(Dynamics(**{setting: 4.0}), setting)
    assert 0.25 <= drawn.min() < 0.26
    assert 3.9 < drawn.max() <= 4.0
    shares = np.histogram(np.log(drawn) / math.log(4.0), bins=8, range=(-1, 1))[0] / len(drawn)
    np.testing.assert_allclose(shares, 1 / 8, atol=4 * math.sqrt(1 / 8 * 7 / 8 / len(drawn)))


def test_a_wider_range_moves_every_layout_farther_in_the_same_direction() -> None:
    narrow, wide = (factors(Dynamics(mass=f), "mass", 50) for f in (1.5, 4.0))
    np.testing.assert_allclose(np.log(wide) / math.log(4.0), np.log(narrow) / math.log(1.5), atol=1e-5)


def test_each_setting_and_each_layout_draws_on_its_own() -> None:
    everything = Dynamics(*[3.0] * 4)
    table = np.stack([np.log(factors(everything, name)) for name in SETTINGS])
    off_diagonal = np.corrcoef(table)[~np.eye(4, dtype=bool)]
    assert np.abs(off_diagonal).max() < 4 / math.sqrt(2000)
    assert factors(everything, "mass", 5).tolist() == factors(Dynamics(mass=3.0), "mass", 5).tolist()
    places = [("a", "t", "test", 0), ("b", "t", "test", 0), ("a", "u", "test", 0), ("a", "t", "select", 0)]
    assert len({draw_dynamics(everything, *place).mass for place in [*places, ("a", "t", "test", 1)]}) == 5


def test_factors_stay_what_they_are() -> None:
    """They are part of released protocols: worked out by hand from the hash's first 53 bits."""
    import hashlib

    digest = hashlib.sha256(b'["toy-v1", "goal-030", "test", 2, "gain"]').hexdigest()
    u = 2 * (int(digest[:16], 16) // 2**11) / 2**53 - 1
    drawn = draw_dynamics(Dynamics(gain=2.0), "toy-v1", "goal-030", "test", 2)
    assert drawn == Dynamics(gain=round(2.0**u, 6))
    assert draw_dynamics(NOMINAL, "toy-v1", "goal-030", "test", 2) == NOMINAL


@pytest.mark.parametrize(
    ("mass", "damping", "gain"), [(2.0, 1.0, 1.0), (1.0, 3.0, 1.0), (1.0, 1.0, 1.5), (0.5, 4.0, 0.7)]
)
def test_the_point_mass_follows_its_equation_of_motion(mass: float, damping: float, gain: float) -> None:
    """Against a fine Euler integration of mass v' = gain u - damping v over one step, which lasts log 2."""
    toy, action = open_toy(), np.array([0.6, -1.0])
    toy.set_dynamics(Dynamics(mass=mass, damping=damping, gain=gain))
    toy.reset(np.zeros(2))
    velocity, position, n = np.zeros(2), np.zeros(2), 3000
    for _ in range(3):
        for _ in range(n):
            velocity = velocity + (gain * action - damping * velocity) / mass * (math.log(2.0) / n)
        position = position + SPEED * velocity
        obs, _ = toy.step(action)
        np.testing.assert_allclose(obs, [*position, *velocity], atol=1e-3)
    low, high = toy.observation_bounds()
    assert (low <= obs).all()
    assert (obs <= high).all()


def test_the_toys_own_dynamics_come_back_to_the_bit() -> None:
    layout, actions = np.array([0.1, -0.1]), np.random.default_rng(0).uniform(-1, 1, (100, 2))

    def rolled(toy: PointMass) -> bytes:
        toy.reset(layout)
        return np.array([toy.step(action)[0] for action in actions]).tobytes()

    toy = open_toy()
    before = rolled(toy)
    velocity, position, seen = np.zeros(2), layout, []
    for action in actions:
        velocity = 0.5 * (velocity + action)
        position = position + SPEED * velocity
        seen.append(np.concatenate([position, velocity]))
    assert before == np.array(seen).tobytes(), "the formula that cells in caches were measured with"
    toy.set_dynamics(Dynamics(mass=2.0, gain=1.5))
    assert rolled(toy) != before
    toy.set_dynamics(NOMINAL)
    assert rolled(toy) == before


def test_candidates_meet_each_layouts_own_dynamics(suite: Suite) -> None:
    conditions = Conditions(ranges=Dynamics(mass=3.0, gain=2.0))
    found = first(suite, conditions)
    assert (found != first(suite)).any()
    toy, agents = simulator_of(suite).open_task(suite.task(TASK)), policies(suite)
    for candidate in range(len(agents)):
        agent = PackedPolicy(suite.policy, agents.params[candidate])
        for column, (name, i) in enumerate([(name, i) for name, count in LAYOUTS for i in range(count)]):
            toy.set_dynamics(draw_dynamics(conditions.ranges, suite.name, TASK, name, i))
            expected = step_until_success(toy, agent, suite.layouts(TASK, name)[i], suite.horizon)[0]
            assert found[candidate, column] == expected


def test_a_perturbed_job_leaves_the_open_simulator_as_it_was(suite: Suite) -> None:
    before = first(suite)
    first(suite, Conditions(ranges=Dynamics(gain=2.0)))
    assert first(suite).tobytes() == before.tobytes()

    class Broken:
        def __len__(self) -> int:
            return 1

        def agent(self, index: int) -> object:
            raise KeyboardInterrupt

    job = EpisodeJob(suite.source, TASK, Broken(), (0,), LAYOUTS, conditions=Conditions(ranges=Dynamics(gain=2.0)))  # type: ignore[arg-type]
    shared = opened_task(suite, TASK)
    shared.set_dynamics(Dynamics(gain=2.0))
    with pytest.raises(KeyboardInterrupt):
        job(lambda *_: None)
    assert first(suite).tobytes() == before.tobytes()
    shared.reset(np.zeros(2))
    np.testing.assert_array_equal(shared.step(np.ones(2))[0][2:], [0.5, 0.5])


def test_a_candidate_keeps_its_layouts_when_a_job_is_done_again_without_some(suite: Suite) -> None:
    conditions = Conditions(ranges=Dynamics(gain=2.0))
    job = episode_jobs(suite.source, TASK, policies(suite), LAYOUTS, conditions)[0]
    left = job.without({0, 2})
    assert left is not None
    found = job(lambda *_: None).first_success
    assert left(lambda *_: None).first_success.tolist() == found[[1, 3]].tolist()


def test_testing_on_train_layouts_is_reported_as_test(suite: Suite) -> None:
    on_train = first(suite, Conditions(test_layouts="train"))
    jobs = episode_jobs(suite.source, TASK, policies(suite), (("select", 3), ("train", 4)))
    expected = np.concatenate([job(lambda *_: None).first_success for job in jobs])
    assert on_train.tolist() == expected.tolist()
    assert (on_train != first(suite)).any()


def test_conditions_of_a_protocol() -> None:
    assert Conditions.of(Protocol()) == STANDARD
    protocol = Protocol(test_layouts="train", mass=2, friction=3, damping=4, gain=5)
    assert Conditions.of(protocol) == Conditions("train", Dynamics(2.0, 3.0, 4.0, 5.0))


def test_a_simulator_refuses_what_it_has_not_before_any_work(suite: Suite) -> None:
    Protocol(episodes=4, select_episodes=3, mass=2, damping=2, gain=2).check_serves(suite)
    with pytest.raises(ProtocolError, match=r"--friction: the simulator 'toy' has no friction.*mass, damping, gain"):
        Protocol(episodes=4, select_episodes=3, mass=2, friction=2).check_serves(suite)
    with pytest.raises(ProtocolError, match="--friction"):
        open_toy().set_dynamics(Dynamics(friction=1.1))
    assert served_dynamics(suite) == ("mass", "damping", "gain")
    stranger = replace(suite, simulator="somebodys")
    assert served_dynamics(stranger) == ()
    with pytest.raises(ProtocolError, match="its dynamics cannot be perturbed"):
        Protocol(episodes=4, select_episodes=3, gain=2).check_serves(stranger)
