"""Prompts that are noisy, lose steps, are cut short, or come from a hand that shakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maa_bench.dataset import shaky
from maa_bench.dataset.prompt_conditions import Spread, held, noisy, shown_steps
from maa_bench.dataset.shaky import ShakyError
from maa_bench.dataset.shown import shown_prompts
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.prompts import SEGMENT, Behaviors, CheckpointPromptSet, PromptSet, RewardedPromptSet
from maa_bench.protocol import PROMPT_STEPS, Protocol
from maa_bench.simulators import opened_task

TASK = "goal-030"
MANY = tuple(f"task/run/{i}" for i in range(400))


def pieces(n: int) -> Behaviors:
    """n pieces of behaviour whose numbers say where they stand: 10 steps + dimension; actions within [-1, 1]."""
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(n, SEGMENT, 3)).astype(np.float32) * np.float32([1, 10, 0])
    actions = np.clip(rng.normal(scale=0.1, size=(n, SEGMENT, 2)), -1, 1).astype(np.float32)
    return Behaviors(observations, actions, np.zeros((n, 3, 3), np.float32))


def shown(data: CheckpointDataset, uses: str = "prompts", seed: int = 0, **settings: object) -> PromptSet:
    return shown_prompts(data, TASK, uses, Protocol(**{"shots": 4, **settings}), seed)  # type: ignore[arg-type]


def same(a: PromptSet, b: PromptSet) -> bool:
    pairs = ((getattr(p.behaviors, name) for p in (a, b)) for name in ("observations", "actions", "outcome"))
    return a.sources == b.sources and all(np.array_equal(x, y) for x, y in pairs)


def test_a_whole_prompt_is_as_long_as_the_protocol_says() -> None:
    assert PROMPT_STEPS == SEGMENT


def test_noise_has_the_standard_deviation_of_its_level() -> None:
    clean = pieces(len(MANY))
    spread = Spread.of(clean)
    made = noisy(clean, MANY, spread, 0.4, seed=3)
    added = made.observations[..., :2] - clean.observations[..., :2]
    # 24,000 draws: the standard error of a standard deviation is 0.5 %.
    np.testing.assert_allclose(added.std((0, 1)), 0.4 * clean.observations[..., :2].std((0, 1)), rtol=0.02)
    np.testing.assert_allclose(added.mean((0, 1)), 0, atol=0.01 * 10)
    acted = made.actions - clean.actions
    np.testing.assert_allclose(acted.std((0, 1)), 0.4 * clean.actions.std((0, 1)), rtol=0.02)
    after = made.outcome[..., :2].reshape(-1, 2)
    np.testing.assert_allclose(after.std(0), 0.4 * clean.observations[..., :2].std((0, 1)), rtol=0.08)
    assert made.observations.dtype == made.actions.dtype == made.outcome.dtype == np.float32


def test_what_is_constant_stays_exact() -> None:
    constant = np.full((7, SEGMENT, 3), 0.1, np.float32)  # whose mean is not 0.1 to the last bit
    behaviors = Behaviors(constant, np.full((7, SEGMENT, 2), 0.3, np.float32), np.full((7, 3, 3), 0.1, np.float32))
    made = noisy(behaviors, MANY[:7], Spread.of(behaviors), 0.4, seed=0)
    for name in ("observations", "actions", "outcome"):
        assert getattr(made, name).tobytes() == getattr(behaviors, name).tobytes()


def test_noisy_actions_stay_actions() -> None:
    clean = pieces(20)
    spread = replace(Spread.of(clean), actions=np.array([5.0, 5.0]))
    made = noisy(clean, MANY[:20], spread, 0.4, seed=0)
    assert np.abs(made.actions).max() == 1.0


def test_more_noise_is_the_same_noise_scaled(tiny_dataset: CheckpointDataset) -> None:
    clean, little, much = (shown(tiny_dataset, prompt_noise=level) for level in (0, 0.1, 0.4))
    for name in ("observations", "outcome"):
        one = getattr(little.behaviors, name) - getattr(clean.behaviors, name)
        four = getattr(much.behaviors, name) - getattr(clean.behaviors, name)
        assert np.abs(one).max() > 0
        np.testing.assert_allclose(4 * one, four, atol=1e-5)


def test_steps_are_lost_at_their_rate_and_what_was_lost_stays_lost() -> None:
    few, many = (shown_steps(MANY, Protocol(dropped_steps=p), 0) for p in (0.1, 0.3))
    steps = np.arange(SEGMENT)
    for share, rows in ((0.1, few), (0.3, many)):
        assert (rows[:, 0] == 0).all()
        lost = (rows != steps)[:, 1:]
        assert abs(lost.mean() - share) < 4 * np.sqrt(share * (1 - share) / lost.size)
        at, step = np.nonzero(rows != steps)
        assert np.array_equal(rows[at, step], rows[at, step - 1]), "the step before is held"
    assert ((few != steps) <= (many != steps)).all()
    assert np.array_equal(shown_steps(MANY, Protocol(), 0), np.tile(steps, (len(MANY), 1)))


@pytest.mark.parametrize("length", [1, 15, 30, 60])
def test_a_prompt_that_is_cut_off_holds_its_last_step(tiny_dataset: CheckpointDataset, length: int) -> None:
    clean = shown(tiny_dataset, "prompts+rewards")
    cut = shown(tiny_dataset, "prompts+rewards", prompt_steps=length)
    assert isinstance(clean, RewardedPromptSet)
    assert isinstance(cut, RewardedPromptSet)
    for whole, short in (
        (clean.behaviors.observations, cut.behaviors.observations),
        (clean.behaviors.actions, cut.behaviors.actions),
        (clean.rewards, cut.rewards),
    ):
        assert np.array_equal(short[:, :length], whole[:, :length])
        assert np.array_equal(short[:, length:], np.repeat(whole[:, length - 1 : length], SEGMENT - length, axis=1))
    assert np.array_equal(cut.behaviors.outcome, clean.behaviors.outcome)


def test_cutting_goes_before_losing_and_losing_before_noise() -> None:
    rows = shown_steps(MANY, Protocol(dropped_steps=0.3, prompt_steps=20), 0)
    assert np.array_equal(rows, np.minimum(shown_steps(MANY, Protocol(dropped_steps=0.3), 0), 19))
    clean = pieces(len(MANY))
    made = noisy(held(clean, rows), MANY, Spread.of(clean), 0.1, 0)
    assert (np.diff(made.observations[:, 20:, 0], axis=1) != 0).all(), "a step that is held is measured anew"


CONDITIONS = [
    {"prompt_noise": 0.2},
    {"dropped_steps": 0.3},
    {"prompt_steps": 15},
    {"action_noise": 0.2},
    {"prompt_noise": 0.1, "dropped_steps": 0.1, "prompt_steps": 30, "action_noise": 0.1},
]


@pytest.mark.parametrize("settings", CONDITIONS)
def test_the_same_seed_shows_the_same_and_fewer_shots_a_prefix(
    tiny_dataset: CheckpointDataset, settings: dict[str, float]
) -> None:
    four = shown(tiny_dataset, **settings)
    assert same(four, shown(tiny_dataset, **settings))
    assert not same(four, shown(tiny_dataset))
    two = shown(tiny_dataset, shots=2, **settings)
    assert same(replace(four, behaviors=four.behaviors.take(slice(2)), sources=four.sources[:2]), two)


def test_another_seed_has_other_noise_on_the_same_prompt(tiny_dataset: CheckpointDataset) -> None:
    n = tiny_dataset.n_prompts(TASK, "trained")
    by_seed = []
    for seed in (0, 1):
        clean, made = (shown(tiny_dataset, shots=n, seed=seed, prompt_noise=level) for level in (0, 0.1))
        first = clean.sources.index(min(clean.sources))
        by_seed.append(made.behaviors.observations[first] - clean.behaviors.observations[first])
    assert not np.allclose(by_seed[0], by_seed[1])


@pytest.mark.parametrize("uses", ["prompts", "prompts+rewards", "test_checkpoints"])
def test_every_use_is_shown_the_same_prompts(tiny_dataset: CheckpointDataset, uses: str) -> None:
    settings = CONDITIONS[-1]
    prompts = shown(tiny_dataset, uses, **settings)
    assert same(prompts, shown(tiny_dataset, **settings))
    if isinstance(prompts, CheckpointPromptSet):
        clean = shown(tiny_dataset, uses)
        assert isinstance(clean, CheckpointPromptSet)
        assert np.array_equal(prompts.params, clean.params)


@pytest.mark.parametrize("uses", ["nothing", "scripted_expert"])
def test_who_is_shown_nothing_still_is(tiny_dataset: CheckpointDataset, uses: str) -> None:
    assert len(shown(tiny_dataset, uses, **CONDITIONS[-1])) == 0


def test_a_shaking_hand_is_recorded_as_it_acted(tiny_dataset: CheckpointDataset) -> None:
    prompts = shown(tiny_dataset, "prompts+rewards", action_noise=0.3)
    assert isinstance(prompts, RewardedPromptSet)
    assert np.abs(prompts.behaviors.actions).max() <= 1.0
    suite = tiny_dataset.suite
    simulator = opened_task(suite, TASK)
    goal = np.array(suite.task(TASK).options["goal"])
    for states, actions, rewards, outcome in zip(
        prompts.behaviors.observations, prompts.behaviors.actions, prompts.rewards, prompts.behaviors.outcome,
        strict=True,
    ):  # fmt: skip
        starts = suite.layouts(TASK, "train")
        layout = starts[np.abs(starts - states[0, :2]).sum(1).argmin()]
        observation, hit = simulator.reset(layout), False
        for state, action, reward in zip(states, actions, rewards, strict=True):
            assert np.array_equal(observation.astype(np.float32), state)
            observation, success = simulator.step(action)
            assert np.float32(simulator.reward) == reward
            if success and not hit:
                assert np.array_equal(observation.astype(np.float32), outcome[0])
            hit = hit or success
        assert np.linalg.norm(outcome[0, :2] - goal) <= 0.1 + 1e-6


def test_a_shaking_hands_noise_has_its_standard_deviation(
    tiny_dataset: CheckpointDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = []
    stock = shaky._act

    def spied(simulator: object, policy: object, layout: object, noise: np.ndarray) -> object:
        added.append(noise)
        return stock(simulator, policy, layout, noise)  # type: ignore[arg-type]

    monkeypatch.setattr(shaky, "_act", spied)
    shown(tiny_dataset, shots=10, action_noise=0.2)
    noise = np.concatenate(added)  # 1,000 steps or more, of 2 dimensions
    assert abs(noise.std() / 0.2 - 1) < 0.08
    assert abs(noise.mean()) < 0.02


def test_what_was_collected_is_kept_and_checked(tiny_dataset: CheckpointDataset, tmp_path: Path) -> None:
    protocol = Protocol(shots=3, action_noise=0.2)
    fresh = shaky.shaken(tiny_dataset, TASK, protocol, 0, tmp_path)
    (folder,) = (tmp_path / "prompts").iterdir()
    kept = shaky.shaken(tiny_dataset, TASK, protocol, 0, tmp_path)
    assert same(fresh.prompts, kept.prompts)
    assert np.array_equal(fresh.rewards, kept.rewards)
    for name in ("actions.npy", "rewards.npy"):
        damaged = folder / "arrays" / name
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x01")
        assert same(fresh.prompts, shaky.shaken(tiny_dataset, TASK, protocol, 0, tmp_path).prompts)
        assert np.array_equal(fresh.rewards, shaky.shaken(tiny_dataset, TASK, protocol, 0, tmp_path).rewards)
    for other in (replace(protocol, action_noise=0.1), replace(protocol, shots=2)):
        shaky.shaken(tiny_dataset, TASK, other, 0, tmp_path)
    shaky.shaken(tiny_dataset, TASK, protocol, 1, tmp_path)
    assert len(list((tmp_path / "prompts").iterdir())) == 4


def test_too_few_that_succeed_are_said(tiny_dataset: CheckpointDataset) -> None:
    with pytest.raises(
        ShakyError, match=r"--action-noise 50: of 12 policies of task 'goal-030' .* 12 prompts are wanted"
    ):
        shown(tiny_dataset, shots=12, action_noise=50)
