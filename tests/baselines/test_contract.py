"""What every registered method owes: it learns, is deterministic, its fit can be kept, any number of prompts will do.

Methods are fitted with the section `[tiny]` of their `config.toml` (seconds on the toy suite); the real suite is heavy.
"""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maa_bench.dataset.shown import shown_prompts
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.evaluator import EpisodeJob
from maa_bench.main_job import run_methods
from maa_bench.method import Agents, Context, FlatPolicies, TrainingSet
from maa_bench.progress import Progress
from maa_bench.prompts import PromptSet
from maa_bench.protocol import Protocol
from maa_bench.registry import load_method, method_names

pytestmark = pytest.mark.baseline

OURS = [name for name in method_names() if load_method(name).source.startswith("maa-bench ")]
FLOORS = ("random_seen", "random_weights")
MANY = [name for name in OURS if not load_method(name).card.deterministic_candidates]
LEARNERS = [name for name in OURS if name not in FLOORS]
RETRIEVAL = ("nearest_checkpoint", "mean_checkpoint")
GIVES_CHECKPOINTS = (*RETRIEVAL, "random_seen", "single_task")
CONTEXT = Context(seed=3)


def made(name: str) -> Any:
    """A fresh method at the scale of tests, if it has one."""
    loaded = load_method(name)
    folder = Path(str(__import__(loaded.make.__module__, fromlist=["_"]).__file__)).parent
    config = folder / "config.toml"
    tiny = config.exists() and "[tiny" in config.read_text(encoding="utf-8")
    return loaded.make(scale="tiny" if tiny else "small")


@pytest.fixture(scope="module")
def training_set(tiny_dataset: CheckpointDataset) -> TrainingSet:
    return tiny_dataset.training_set("seen")


@pytest.fixture(scope="module", params=OURS)
def fitted(request: pytest.FixtureRequest, training_set: TrainingSet) -> tuple[str, Any]:
    """One method at a time: pytest runs all tests of a parameter before the next."""
    method = made(request.param)
    before = torch.get_rng_state(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    method.fit(training_set, CONTEXT)
    assert torch.equal(before[0], torch.get_rng_state()), "torch's global random state moved"
    assert before[1] == np.random.get_state()[1].tobytes(), "NumPy's global random state moved"  # noqa: NPY002
    return request.param, method


def prompts_for(data: CheckpointDataset, name: str, task: str, n: int) -> PromptSet:
    """n prompts of a task, the dataset's over and over, with what the method's card lets it see."""
    uses = load_method(name).card.uses
    shown = shown_prompts(data, task, uses, Protocol(shots=min(n, 8)), seed=3)
    if not len(shown) or n <= 8:
        return shown
    rows = np.arange(n) % len(shown)
    changes: dict[str, Any] = {
        "behaviors": shown.behaviors.take(rows),
        "sources": tuple(shown.sources[i] for i in rows),
    }
    if uses == "prompts+rewards":
        changes["rewards"] = shown.rewards[rows]  # type: ignore[attr-defined]
    return dataclasses.replace(shown, **changes)


def content(agents: Agents, data: CheckpointDataset) -> list[bytes]:
    """What each candidate is: its parameters, or what it does on some observations."""
    if isinstance(agents, FlatPolicies):
        return [row.tobytes() for row in agents.params]
    observations = np.random.default_rng(0).normal(size=(5, data.suite.policy.obs_dim))
    found = []
    for index in range(len(agents)):
        agent = agents.agent(index)
        agent.reset()
        found.append(np.stack([np.asarray(agent.act(obs)) for obs in observations]).tobytes())
    return found


def success(data: CheckpointDataset, name: str, method: Any, n: int) -> float:
    """Mean success on the seen tasks' test layouts."""
    values = []
    for task in data.suite.split("seen").test:
        agents = method.generate(prompts_for(data, name, task, 4), n, CONTEXT)
        job = EpisodeJob(data.suite.source, task, agents, tuple(range(n)), (("test", 4),))
        values.append((job(lambda *_: None).first_success > 0).mean())
    return float(np.mean(values))


def count(name: str, wanted: int) -> int:
    return 1 if load_method(name).card.deterministic_candidates else wanted


@pytest.fixture(scope="module")
def floor(training_set: TrainingSet, tiny_dataset: CheckpointDataset) -> float:
    """How often random weights succeed."""
    method = made("random_weights")
    method.fit(training_set, CONTEXT)
    return success(tiny_dataset, "random_weights", method, 4)


def test_learns(fitted: tuple[str, Any], tiny_dataset: CheckpointDataset, floor: float) -> None:
    name, method = fitted
    reached = success(tiny_dataset, name, method, count(name, 4))
    if name in FLOORS:
        assert reached < 0.5
        return
    assert reached > floor + 0.2


def test_save_and_load_and_a_second_fit_give_the_same_candidates(
    fitted: tuple[str, Any], tiny_dataset: CheckpointDataset, training_set: TrainingSet, tmp_path: Path
) -> None:
    name, method = fitted
    prompts = prompts_for(tiny_dataset, name, "goal-030", 4)
    n = count(name, 6)
    expected = content(method.generate(prompts, n, CONTEXT), tiny_dataset)
    assert content(method.generate(prompts, n, CONTEXT), tiny_dataset) == expected, "generate changed the method"
    folder = tmp_path / "fit"
    folder.mkdir()
    method.save(folder)
    loaded = made(name)
    loaded.load(folder, training_set)
    assert content(loaded.generate(prompts, n, CONTEXT), tiny_dataset) == expected
    assert getattr(loaded, "n_parameters", None) == getattr(method, "n_parameters", None)
    again = made(name)
    again.fit(training_set, CONTEXT)
    assert content(again.generate(prompts, n, CONTEXT), tiny_dataset) == expected


# One more fit of each. Those that retrieve, and the expert, have no chance in them.
@pytest.mark.parametrize(
    "fitted",
    [
        name
        if name in ("random_seen", "bc_on_prompts", "hypernetwork")
        else pytest.param(name, marks=pytest.mark.heavy)
        for name in OURS
        if name not in (*RETRIEVAL, "expert")
    ],
    indirect=True,
)
def test_another_seed_gives_other_candidates(
    fitted: tuple[str, Any], tiny_dataset: CheckpointDataset, training_set: TrainingSet
) -> None:
    name, method = fitted
    prompts, n = prompts_for(tiny_dataset, name, "goal-030", 4), count(name, 6)
    other = made(name)
    other.fit(training_set, Context(seed=4))
    expected = content(method.generate(prompts, n, CONTEXT), tiny_dataset)
    assert content(other.generate(prompts, n, Context(seed=4)), tiny_dataset) != expected


@pytest.mark.parametrize("shots", [1, 100])
def test_one_prompt_and_a_hundred(fitted: tuple[str, Any], tiny_dataset: CheckpointDataset, shots: int) -> None:
    name, method = fitted
    for n in {1, count(name, 40)}:
        agents = method.generate(prompts_for(tiny_dataset, name, "goal-210", shots), n, CONTEXT)
        assert len(agents) == n
        assert isinstance(agents, Agents)
        assert content(pickle.loads(pickle.dumps(agents)), tiny_dataset) == content(agents, tiny_dataset)


# One policy is all that some give; two prompts may have one nearest checkpoint.
@pytest.mark.parametrize("fitted", [name for name in MANY if name not in RETRIEVAL], indirect=True)
def test_candidates_differ(fitted: tuple[str, Any], tiny_dataset: CheckpointDataset) -> None:
    name, method = fitted
    agents = method.generate(prompts_for(tiny_dataset, name, "goal-030", 4), 4, CONTEXT)
    assert len(set(content(agents, tiny_dataset))) == 4


# Checkpoints at hand may come again.
@pytest.mark.parametrize("fitted", [name for name in MANY if name not in GIVES_CHECKPOINTS], indirect=True)
def test_candidates_of_one_prompt_differ(fitted: tuple[str, Any], tiny_dataset: CheckpointDataset) -> None:
    name, method = fitted
    agents = method.generate(prompts_for(tiny_dataset, name, "goal-210", 1), 40, CONTEXT)
    assert len(set(content(agents, tiny_dataset))) == 40


def test_a_candidate_does_not_depend_on_how_many_are_made(
    fitted: tuple[str, Any], tiny_dataset: CheckpointDataset
) -> None:
    """No method is excepted: 40 are more than there are prompts, and more than a batch."""
    name, method = fitted
    prompts = prompts_for(tiny_dataset, name, "goal-030", 4)
    most = content(method.generate(prompts, 40, CONTEXT), tiny_dataset)
    for n in (1, 4):
        assert content(method.generate(prompts, n, CONTEXT), tiny_dataset) == most[:n]


@pytest.mark.heavy
@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "expert"])
def test_beats_random_seen_on_two_real_tasks(name: str, tmp_path: Path) -> None:
    """At the small scale, with the dataset in the user's cache (built if it is not there).

    The two tasks were picked from the committed results: on no other seen task is `latent_regression` above random
    checkpoints.
    So this holds that methods go on doing what they did; how good they are is for the tables to say.
    """
    records = run_methods(
        [name],
        split="seen",
        tasks=["button-press", "reach"],
        protocol=Protocol(candidates=8, episodes=5, select_episodes=1),
        results_dir=tmp_path,
        progress=Progress(quiet=True),
    )
    means = {record.method.name: record.metrics.aggregate.mean.value for record in records}
    assert means[name] > means["random_seen"], means
