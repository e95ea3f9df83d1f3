"""Episodes of noisy experts: labels, lengths, layouts, and the prompts among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maa_bench.dataset.experts import ExpertConfig, demonstrations, expert_episodes, expert_prompts
from maa_bench.dataset.transitions import Transitions, joined, no_transitions
from maa_bench.prompts import OUTCOME, SEGMENT
from maa_bench.simulators import simulator_of
from maa_bench.suite import load_suite

CONFIG = ExpertConfig(demonstrations=24, noise_std=(0.0, 0.5), tail=4)


@pytest.fixture(scope="module")
def episodes(tiny_suite: Path) -> Transitions:
    suite = load_suite(str(tiny_suite))
    simulator = simulator_of(suite).open_task(suite.task("goal-000"))
    return expert_episodes(simulator, suite.layouts("goal-000", "train"), CONFIG, np.random.default_rng(0))


def test_every_noise_meets_every_layout(episodes: Transitions) -> None:
    starts = [start for start, _ in episodes.bounds()]
    assert len(starts) == 24
    met = {(float(episodes.noise_std[i]), int(episodes.layout[i])) for i in starts}
    assert met == {(std, layout) for std in (0.0, 0.5) for layout in range(6)}


def test_the_label_is_the_experts_action_and_noise_comes_in_bursts(episodes: Transitions) -> None:
    noisy = (episodes.actions != episodes.labels).any(axis=1)
    assert not noisy[episodes.noise_std == 0].any()
    assert 0.2 < noisy[episodes.noise_std > 0].mean() < 0.8
    for start, stop in episodes.bounds():
        for burst in range(start, stop, CONFIG.burst):
            assert len(set(noisy[burst : min(stop, burst + CONFIG.burst)].tolist())) == 1


def test_an_episode_ends_some_steps_after_its_success_and_without_noise_is_a_prompt_long(
    episodes: Transitions,
) -> None:
    for start, stop in episodes.bounds():
        first = int(np.flatnonzero(episodes.success[start:stop])[0]) + 1
        least = 0 if episodes.noise_std[start] else SEGMENT
        assert stop - start == max(first + CONFIG.tail, least)


def test_what_is_cloned_ends_some_steps_after_the_success(episodes: Transitions) -> None:
    for start, stop in (bounds := demonstrations(episodes, 2)).bounds():
        first = int(np.flatnonzero(bounds.success[start:stop])[0]) + 1
        assert stop - start == first + 2


def test_prompts_are_the_episodes_without_noise(episodes: Transitions) -> None:
    behaviors, layouts = expert_prompts(episodes)
    clean = [(a, b) for a, b in episodes.bounds() if not episodes.noise_std[a]]
    assert len(behaviors) == len(clean) == len(layouts) == 12
    for i, (start, stop) in enumerate(clean):
        np.testing.assert_array_equal(behaviors.observations[i], episodes.observations[start : start + SEGMENT])
        np.testing.assert_array_equal(behaviors.actions[i], episodes.actions[start : start + SEGMENT])
        first = int(np.flatnonzero(episodes.success[start:stop])[0]) + 1
        for k in range(OUTCOME):
            after = episodes.observations[start + first + k]  # the state that step first + k starts from
            np.testing.assert_array_equal(behaviors.outcome[i, k], after)


def test_joined_sets_are_numbered_on(episodes: Transitions, tiny_suite: Path) -> None:
    spec = load_suite(str(tiny_suite)).policy
    both = joined([no_transitions(spec), episodes, no_transitions(spec), episodes])
    assert len(both) == 2 * len(episodes)
    assert len(both.bounds()) == 48
    assert both.episode[-1] == 47
    assert len(joined([no_transitions(spec)])) == 0


def test_the_same_seed_gives_the_same_episodes(episodes: Transitions, tiny_suite: Path) -> None:
    suite = load_suite(str(tiny_suite))
    simulator = simulator_of(suite).open_task(suite.task("goal-000"))
    again = expert_episodes(simulator, suite.layouts("goal-000", "train"), CONFIG, np.random.default_rng(0))
    assert again.actions.tobytes() == episodes.actions.tobytes()
    assert again.rewards.tobytes() == episodes.rewards.tobytes()
