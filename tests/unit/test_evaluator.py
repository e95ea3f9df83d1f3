"""The evaluator: the same bytes however the work is cut, a fixed allotment of episodes, early stop without flips."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from maa_bench import evaluator
from maa_bench.episodes import FailedEpisode
from maa_bench.evaluator import EpisodeJob, Episodes, episode_jobs
from maa_bench.execution import Job
from maa_bench.execution.local import LocalExecutor
from maa_bench.forward import PackedPolicy
from maa_bench.method import Agent, Agents, FlatPolicies
from maa_bench.policy import PolicySpec, initial_params
from maa_bench.simulators import simulator_of
from maa_bench.suite import Suite, load_suite

TASK = "goal-000"
LAYOUTS = (("select", 3), ("test", 4))


@pytest.fixture(scope="module")
def suite(tiny_suite: Path) -> Suite:
    return load_suite(str(tiny_suite))


def policies(suite: Suite, n: int) -> FlatPolicies:
    """Policies that drift to the right, by the goal or through it and out again."""
    rng = np.random.default_rng(5)
    params = np.stack([rng.uniform(0.1, 2.0) * initial_params(suite.policy, rng) for _ in range(n)]).astype(np.float32)
    bias = next(t for t in suite.policy.tensors if t.name == "mean.bias")
    params[:, bias.start] = 1.0
    return FlatPolicies(suite.policy, params)


def roll(suite: Suite, agents: Agents, workers: int = 1, layouts: tuple[tuple[str, int], ...] = LAYOUTS) -> Episodes:
    jobs = episode_jobs(suite.source, TASK, agents, layouts)
    parts: dict[int, Episodes] = {}

    def finished(index: int, result: Episodes) -> Iterable[Job]:
        parts[index] = result
        return ()

    with LocalExecutor(workers) as executor:
        executor.run(jobs, finished)
    first = np.concatenate([parts[i].first_success for i in range(len(jobs))])
    failures = tuple(failure for i in range(len(jobs)) for failure in parts[i].failures)
    return Episodes(first, failures, sum(p.steps for p in parts.values()), 0.0, 0.0)


class Everywhere:
    """A stateful agent that circles outwards, started anew by `reset`; picklable as a batch of candidates."""

    def __init__(self, index: int) -> None:
        self._index, self._step = index, 0

    def reset(self) -> None:
        self._step = 0

    def act(self, obs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        self._step += 1
        angle = 0.4 * self._index + 8.0 * np.sqrt(self._step)
        return np.array([np.cos(angle), np.sin(angle)])


@dataclass(frozen=True)
class Circling:
    n: int

    def __len__(self) -> int:
        return self.n

    def agent(self, index: int) -> Agent:
        return Everywhere(index)


def test_first_success_is_the_same_with_one_and_with_two_workers(suite: Suite) -> None:
    agents = policies(suite, 11)
    one, two = roll(suite, agents, 1), roll(suite, agents, 2)
    assert one.first_success.shape == (11, 7)
    assert one.first_success.tobytes() == two.first_success.tobytes()
    assert one.steps == two.steps
    assert -1 in one.first_success
    assert (one.first_success > 0).any()


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
def test_how_candidates_are_cut_into_jobs_changes_nothing(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    expected = {type(agents): roll(suite, agents) for agents in (policies(suite, 7), Circling(7))}
    monkeypatch.setattr(evaluator, "CHUNK", chunk)
    for agents in (policies(suite, 7), Circling(7)):
        assert len(episode_jobs(suite.source, TASK, agents, LAYOUTS)) == -(-7 // chunk)
        again = roll(suite, agents)
        assert again.first_success.tobytes() == expected[type(agents)].first_success.tobytes()
        assert again.steps == expected[type(agents)].steps


def test_agents_that_are_no_flat_policies_run_in_workers_too(suite: Suite) -> None:
    one, two = roll(suite, Circling(5), 1), roll(suite, Circling(5), 2)
    assert one.first_success.tobytes() == two.first_success.tobytes()


def test_a_candidate_alone_does_as_it_does_among_others(suite: Suite) -> None:
    agents = policies(suite, 6)
    together = roll(suite, agents).first_success
    for i in range(6):
        alone = FlatPolicies(suite.policy, agents.params[i : i + 1])
        assert roll(suite, alone).first_success.tobytes() == together[i : i + 1].tobytes()


def test_columns_are_the_first_layouts_of_each_set_in_order(suite: Suite) -> None:
    agents = policies(suite, 4)
    everything = roll(suite, agents).first_success
    fewer = roll(suite, agents, layouts=(("select", 1), ("test", 2))).first_success
    np.testing.assert_array_equal(fewer, everything[:, [0, 3, 4]])


def test_every_candidate_gets_every_layout_whatever_it_scores(suite: Suite) -> None:
    """Regression of a trap of metaworld.evaluation, which keeps the episodes that *finish first*, so the winners."""
    job = episode_jobs(suite.source, TASK, HalfAgents(), (("test", 4),))[0]
    first = job(lambda *_: None).first_success
    assert first.shape == (1, 4)
    assert (first > 0).mean() == 0.5


class Half:
    """Goes to the goal on two of the tiny suite's four test layouts, and nowhere on the others.

    It fails by standing still for the whole horizon, so an evaluation that waits for N finished episodes would count
    its quick successes first.
    """

    def __init__(self) -> None:
        self._go: bool | None = None

    def reset(self) -> None:
        self._go = None

    def act(self, obs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self._go is None:
            starts = load_suite("toy-v1").layouts(TASK, "test")[:4:2]
            self._go = bool((np.abs(starts - obs[:2]).max(axis=1) < 1e-12).any())
        return np.clip(4 * (np.array([1.0, 0.0]) - obs[:2]), -1, 1) if self._go else np.zeros(2)


class HalfAgents:
    def __len__(self) -> int:
        return 1

    def agent(self, index: int) -> Agent:
        return Half()


@dataclass(frozen=True)
class Unpacked:
    """Flat policies in a coat: the evaluator cannot see what they are, and steps them."""

    policies: FlatPolicies
    bare: bool = False

    def __len__(self) -> int:
        return len(self.policies)

    def agent(self, index: int) -> Agent:
        agent = self.policies.agent(index)
        return agent if self.bare else Coat(agent)


class Coat:
    def __init__(self, inside: Agent) -> None:
        self.reset, self.act = inside.reset, inside.act


def test_a_policy_scores_the_same_as_an_agent_of_its_own_kind(suite: Suite) -> None:
    agents = policies(suite, 6)
    assert roll(suite, Unpacked(agents)).first_success.tobytes() == roll(suite, agents).first_success.tobytes()


class Wrong:
    """An agent that breaks its contract in one way."""

    def __init__(self, how: str) -> None:
        self._how = how

    def reset(self) -> None:
        if self._how == "reset":
            raise KeyError("state")

    def act(self, obs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        if self._how == "raises":
            raise RuntimeError("no idea")
        answers = {"nothing": None, "shape": np.zeros((1, 2)), "nan": np.array([0.0, np.nan])}
        answers["infinite"] = np.array([np.inf, 0.0])
        return answers[self._how]


@dataclass(frozen=True)
class Wrongs:
    how: str

    def __len__(self) -> int:
        return 1

    def agent(self, index: int) -> Agent:
        if self.how == "making":
            raise IndexError("none left")
        return Wrong(self.how)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("making", "making the agent raised IndexError: none left"),
        ("reset", "`reset` raised KeyError: 'state'"),
        ("raises", "`act` raised RuntimeError in step 1: no idea"),
        ("nothing", "`act` must return 2 numbers, not array(None, dtype=object)"),
        ("shape", "`act` must return 2 numbers, not shape (1, 2)"),
        ("nan", "the action of step 1 is not finite"),
        ("infinite", "the action of step 1 is not finite"),
    ],
)
def test_an_agent_that_breaks_its_contract_fails_its_episodes_with_the_reason(
    suite: Suite, how: str, message: str
) -> None:
    episodes = roll(suite, Wrongs(how))
    assert (episodes.first_success == -1).all()
    assert episodes.first_success.shape == (1, 7)
    assert episodes.failures == tuple(FailedEpisode(0, name, i, message) for name, n in LAYOUTS for i in range(n))
    assert episodes.steps == 0


@dataclass(frozen=True)
class SomeWrong:
    """Circling agents, of which the second raises in its third step, on every layout."""

    def __len__(self) -> int:
        return 3

    def agent(self, index: int) -> Agent:
        return Tired(index) if index == 1 else Everywhere(index)


class Tired(Everywhere):
    def act(self, obs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        if self._step == 2:
            raise RuntimeError("no more")
        return super().act(obs)


def test_a_candidate_that_fails_leaves_the_others_as_they_are(suite: Suite) -> None:
    good, some = roll(suite, Circling(3)), roll(suite, SomeWrong())
    assert some.first_success[[0, 2]].tobytes() == good.first_success[[0, 2]].tobytes()
    assert {(f.candidate, f.reason) for f in some.failures} == {(1, "`act` raised RuntimeError in step 3: no more")}
    assert some.steps == good.steps - np.where(good.first_success > 0, good.first_success, suite.horizon)[1].sum() + 14


def test_a_flat_policy_whose_actions_are_no_numbers_fails_its_episodes(suite: Suite) -> None:
    agents = policies(suite, 2)
    agents.params.setflags(write=True)
    agents.params[1] *= np.float32(1e30)
    episodes = roll(suite, agents)
    assert {(f.candidate, f.reason) for f in episodes.failures} == {(1, "the action of step 1 is not finite")}
    assert len(episodes.failures) == 7


@pytest.mark.parametrize("spec", [PolicySpec(4000, (16,), 2, ("elu",)), PolicySpec(4, (16,), 900, ("elu",))])
def test_a_packed_policy_of_another_task_is_refused(suite: Suite, spec: PolicySpec) -> None:
    """The compiled loop trusts sizes, and would read or write beyond its rows."""
    episodes = roll(suite, Unpacked(FlatPolicies(spec, np.zeros((1, spec.n_params), np.float32)), bare=True))
    reasons = {failure.reason for failure in episodes.failures}
    assert reasons == {f"its policy maps {spec.obs_dim} to {spec.action_dim} numbers, not 4 to 2"}
    assert len(episodes.failures) == 7


def test_early_stop_leaves_any_step_success_untouched(suite: Suite) -> None:
    agents = policies(suite, 12)
    stopped = roll(suite, agents).first_success
    simulator = simulator_of(suite).open_task(suite.task(TASK))
    layouts = [layout for name, count in LAYOUTS for layout in suite.layouts(TASK, name)[:count]]
    left_again = 0
    for row in range(len(agents)):
        policy = PackedPolicy(suite.policy, agents.params[row])
        for column, layout in enumerate(layouts):
            obs, flags = simulator.reset(layout), []
            for _ in range(suite.horizon):
                obs, success = simulator.step(policy.act(obs))
                flags.append(success)
            assert stopped[row, column] == (flags.index(True) + 1 if any(flags) else -1)
            left_again += any(flags) and not flags[-1]
    assert left_again, "without a policy that leaves the goal again this test shows nothing"


def test_steps_are_counted_to_the_first_success_or_the_horizon(suite: Suite) -> None:
    episodes = roll(suite, policies(suite, 9))
    expected = np.where(episodes.first_success > 0, episodes.first_success, suite.horizon).sum()
    assert episodes.steps == expected


def test_global_random_state_is_left_alone(suite: Suite) -> None:
    import random

    before = np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index,union-attr]  # noqa: NPY002
    roll(suite, policies(suite, 2))
    assert (np.random.get_state()[1] == before[0]).all()  # type: ignore[index]  # noqa: NPY002
    assert random.getstate() == before[1]


def test_a_job_holds_only_its_own_parameters(suite: Suite) -> None:
    jobs = episode_jobs(suite.source, TASK, policies(suite, 9), LAYOUTS)
    assert [len(job.agents) for job in jobs] == [4, 4, 1]
    assert all(isinstance(job, EpisodeJob) for job in jobs)
