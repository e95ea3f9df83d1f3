"""Prompt-DT: the compiled agent against the torch network, what it sees, what prompts do, and the method's promises."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from maa_bench.baselines.prompt_dt import PromptDT
from maa_bench.baselines.prompt_dt.config import Config
from maa_bench.baselines.shared.config import TrainingConfig
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import MethodError
from maa_bench.evaluator import EpisodeJob
from maa_bench.method import Agents, Context, TrainingSet
from maa_bench.policy import PolicySpec
from maa_bench.prompts import Behaviors, PromptSet

torch = pytest.importorskip("torch")

from maa_bench.baselines.prompt_dt.acting import PromptedAgents, prompted_agents  # noqa: E402
from maa_bench.baselines.prompt_dt.data import drawn_steps, histories, shown  # noqa: E402
from maa_bench.baselines.prompt_dt.network import PromptTransformer  # noqa: E402

pytestmark = pytest.mark.baseline

SPEC = PolicySpec(6, (16, 16), 3, ("elu", "relu"))
TRAINING = TrainingConfig(16, 0, 20, 1e-3, (0.9, 0.999), 0.0, 0, 1)
SIZES = (
    Config(16, 2, 4, 24, 4, 5, 8, 2, TRAINING),
    Config(12, 3, 1, 8, 1, 1, 4, 1, TRAINING),  # no memory of the episode; a perceptron narrower than the width
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lively_network(config: Config) -> PromptTransformer:
    """A network whose every number matters."""
    network, chance = PromptTransformer(config, SPEC, seed=0), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=chance))
    network.scaler.fit(2 * torch.randn(99, SPEC.obs_dim, generator=chance) + 1)
    return network


def random_behaviors(n: int, seed: int = 3, obs_dim: int = SPEC.obs_dim) -> Behaviors:
    rng = np.random.default_rng(seed)
    parts = (
        rng.normal(size=(n, 60, obs_dim)),
        rng.uniform(-1, 1, (n, 60, SPEC.action_dim)),
        rng.normal(size=(n, 3, obs_dim)),
    )
    return Behaviors(*(part.astype(np.float32) for part in parts))


def memory_of(network: PromptTransformer, seed: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    steps = drawn_steps(1, network.config.prompt_steps, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return network.remember(*shown(random_behaviors(1, seed)).prompts(torch.tensor([0]), steps))


@pytest.mark.parametrize("config", SIZES)
def test_an_agent_acts_as_the_network_does_on_the_whole_episode(config: Config) -> None:
    network = lively_network(config)
    memory = memory_of(network)
    agent = prompted_agents(network, [memory]).agent(0)
    observations = 3 * np.random.default_rng(0).normal(size=(25, SPEC.obs_dim))
    for _ in range(2):  # the second episode knows nothing of the first
        agent.reset()
        made = np.stack([agent.act(row) for row in observations])
        with torch.no_grad():
            expected = network(memory, torch.tensor(observations, dtype=torch.float32)[None], torch.tensor(made)[None])
        np.testing.assert_allclose(made, expected[0].numpy(), atol=1e-5)
        assert made.std(axis=0).min() > 0.05


def test_attention_is_that_of_torchs_own_encoder_layer() -> None:
    """Without a prompt and within the window, a block is `nn.TransformerEncoderLayer(norm_first=True)` with a mask."""
    config = SIZES[0]
    network = lively_network(config)
    block = network.blocks[0]
    layer = torch.nn.TransformerEncoderLayer(
        config.width, config.heads, config.inner, dropout=0.0, batch_first=True, norm_first=True
    )
    ours = dict(block.named_parameters())
    names = {
        "self_attn.in_proj_": "qkv.",
        "self_attn.out_proj.": "out.",
        "linear1.": "inner.",
        "linear2.": "outer.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            prefix = next(key for key in names if name.startswith(key))
            parameter.copy_(ours[names[prefix] + name.removeprefix(prefix)])
        x = torch.randn(3, 7, config.width, generator=torch.Generator().manual_seed(0))
        hidden = torch.ones(7, 7).triu(1).bool()
        expected = layer(x, src_mask=hidden)
        torch.testing.assert_close(block(x, ~hidden[None])[0], expected, atol=1e-5, rtol=0)


def test_a_state_sees_the_prompt_and_its_past_and_nothing_else() -> None:
    config = dataclasses.replace(SIZES[0], layers=1)  # so that the window is all that a token ever hears of
    network = lively_network(config)
    memory, chance = memory_of(network), torch.Generator().manual_seed(0)
    obs, actions = torch.randn(1, 10, 6, generator=chance), torch.rand(1, 10, 3, generator=chance)

    @torch.no_grad()
    def changed(**edits: int) -> set[int]:
        """States whose action changes with the observation or the action of a step."""
        other = {"obs": obs.clone(), "actions": actions.clone()}
        for name, step in edits.items():
            other[name][0, step] += 1.0
        differs = network(memory, obs, actions) != network(memory, other["obs"], other["actions"])
        return set(torch.nonzero(differs.any(dim=2)[0]).flatten().tolist())

    assert changed(obs=2) == {2, 3, 4, 5}  # K = 4 states
    assert changed(actions=2) == {3, 4, 5}  # and the actions between them
    with torch.no_grad():
        assert (network(memory, obs, actions) != network(memory_of(network, 9), obs, actions)).all()


def test_chunks_stay_within_an_episode(tiny_dataset: CheckpointDataset) -> None:
    data = histories(tiny_dataset.training_set("unseen"))
    last = torch.arange(len(data))
    rows, real = data.chunks(last, 7)
    assert rows.shape == (len(data), 7)
    assert (data.first[rows] == data.first[last, None]).all()
    assert ((rows == last[:, None]) & real).any(dim=1).all()  # the step itself is trained on
    together = (rows.diff(dim=1) == 1) | ~real[:, 1:]
    assert together.all()
    assert (real.sum(dim=1) == (data.stop - data.first)[last].clamp(max=7)).all()
    task = data.steps.task
    assert (task[data.first] == task).all()
    transitions = tiny_dataset.training_set("unseen").transitions["goal-000"]
    np.testing.assert_array_equal(data.actions[: len(transitions)], transitions.actions)
    assert [*zip(*(x[: len(transitions)].unique().tolist() for x in (data.first, data.stop)), strict=True)] == (
        transitions.bounds()
    )


def test_prompts_show_ordered_steps_of_one_behaviour() -> None:
    steps = drawn_steps(500, 7, torch.Generator().manual_seed(0))
    assert (steps.diff(dim=1) >= 0).all()
    assert set(steps.flatten().tolist()) == set(range(60))
    assert torch.equal(drawn_steps(1, 60, torch.Generator().manual_seed(0))[0], torch.arange(60))
    behaviors = random_behaviors(4)
    obs, actions, times = shown(behaviors).prompts(torch.tensor([2, 0]), steps[:2])
    for row, (behavior, own) in enumerate(zip((2, 0), steps[:2].numpy(), strict=True)):
        np.testing.assert_array_equal(obs[row, :7], behaviors.observations[behavior, own])
        np.testing.assert_array_equal(obs[row, 7:], behaviors.outcome[behavior])
        np.testing.assert_array_equal(actions[row], behaviors.actions[behavior, own])
        assert times[row].tolist() == [*own, 60, 61, 62]


# --- as a method, on the toy suite ---


@pytest.fixture(scope="module")
def training_set(tiny_dataset: CheckpointDataset) -> TrainingSet:
    return tiny_dataset.training_set("unseen")


@pytest.fixture(scope="module")
def method(training_set: TrainingSet) -> PromptDT:
    fitted = PromptDT(scale="tiny")
    fitted.fit(training_set, Context(0))
    return fitted


def prompts_of(data: TrainingSet, task: str, n: int) -> PromptSet:
    rows = np.flatnonzero(data.task == task)[:n]
    return PromptSet(data.suite, task, data.behaviors.take(rows), tuple(str(row) for row in rows))


def agents_bytes(agents: Agents) -> list[bytes]:
    assert isinstance(agents, PromptedAgents)
    return [
        k.tobytes() + v.tobytes() + agents.packed.tobytes() for k, v in zip(agents.keys, agents.values, strict=True)
    ]


def success(data: TrainingSet, task: str, agents: Agents) -> float:
    """Of all agents on two test layouts of a task."""
    job = EpisodeJob(data.suite, task, pickle.loads(pickle.dumps(agents)), tuple(range(len(agents))), (("test", 2),))
    return float((job(lambda *_: None).first_success > 0).mean())


def test_the_prompt_decides_which_task_is_solved(method: PromptDT, training_set: TrainingSet) -> None:
    """The observation does not show the goal: only the prompt does."""
    right, wrong = [], []
    for task in training_set.train_tasks:
        agents = method.generate(prompts_of(training_set, task, 4), 4, Context(0))
        right.append(success(training_set, task, agents))
        others = [other for other in training_set.train_tasks if other != task]
        wrong += [success(training_set, other, agents) for other in others]
    assert np.mean(right) > 0.9
    assert np.mean(wrong) < 0.1


def test_candidates_do_not_depend_on_how_many_are_made_and_differ(method: PromptDT, training_set: TrainingSet) -> None:
    one = prompts_of(training_set, "goal-090", 1)
    many = agents_bytes(method.generate(one, 20, Context(4)))
    assert len(set(many)) == 20
    for n in (1, 5):
        assert agents_bytes(method.generate(one, n, Context(4))) == many[:n]
    assert agents_bytes(method.generate(one, 1, Context(5))) != many[:1]


def test_same_seed_same_bytes_saved_or_not(method: PromptDT, training_set: TrainingSet, tmp_path: Path) -> None:
    prompts = prompts_of(training_set, "goal-180", 3)
    wanted = agents_bytes(method.generate(prompts, 4, Context(9)))
    again, other = PromptDT(scale="tiny"), PromptDT(scale="tiny")
    method.save(tmp_path)
    again.load(tmp_path, training_set)
    assert again.config == method.config
    assert again.n_parameters == method.n_parameters == sum(t.numel() for t in again._network.parameters())
    assert agents_bytes(again.generate(prompts, 4, Context(9))) == wanted
    before = torch.get_rng_state()
    other.fit(training_set, Context(0))
    assert torch.equal(before, torch.get_rng_state())
    assert agents_bytes(other.generate(prompts, 4, Context(9))) == wanted


def test_without_transitions_the_behaviours_are_cloned(training_set: TrainingSet) -> None:
    bare = dataclasses.replace(training_set, transitions={})
    data = histories(bare)
    assert len(data) == 60 * len(bare)
    assert torch.equal(data.actions, data.steps.actions)
    assert (data.stop - data.first == 60).all()


def test_what_is_wrong_is_said(method: PromptDT, training_set: TrainingSet, tmp_path: Path) -> None:
    prompts = prompts_of(training_set, "goal-000", 1)
    with pytest.raises(MethodError, match="not fitted"):
        PromptDT().generate(prompts, 1, Context(0))
    with pytest.raises(MethodError, match="n=0"):
        method.generate(prompts, 0, Context(0))
    with pytest.raises(MethodError, match="0 prompts"):
        method.generate(prompts_of(training_set, "nowhere", 1), 1, Context(0))
    with pytest.raises(MethodError, match="sizes 4 and 2, but prompts of goal-000 have 9 and 3"):
        method.generate(dataclasses.replace(prompts, behaviors=random_behaviors(1, obs_dim=9)), 1, Context(0))
    method.save(tmp_path)
    with pytest.raises(MethodError, match="fitted to policies"):
        PromptDT().load(tmp_path, dataclasses.replace(training_set, spec=SPEC))
    with pytest.raises(MethodError, match="multiple of heads"):
        dataclasses.replace(SIZES[0], heads=3)
    with pytest.raises(MethodError, match="1 to 60"):
        dataclasses.replace(SIZES[0], prompt_steps=61)
