"""What a method sees of a test task is what its card declares, and nothing else: types, data, and whole runs."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maa_bench.dataset.shown import RewardsError, shown_prompts
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import DataError, MethodError
from maa_bench.files import sha256_of
from maa_bench.fitting import FitJob
from maa_bench.main_job import run_methods
from maa_bench.method import USES
from maa_bench.progress import Progress
from maa_bench.prompts import CheckpointPromptSet, PromptSet, RewardedPromptSet
from maa_bench.protocol import Protocol
from maa_bench.registry import load_method, method_names
from maa_bench.suite import load_suite

TASK = "goal-030"
SHOWN = {
    "nothing": PromptSet,
    "scripted_expert": PromptSet,
    "prompts": PromptSet,
    "prompts+rewards": RewardedPromptSet,
    "test_checkpoints": CheckpointPromptSet,
}


def shown(data: CheckpointDataset, uses: str, seed: int = 0) -> Any:
    return shown_prompts(data, TASK, uses, Protocol(shots=4), seed)


@pytest.mark.parametrize("uses", USES)
def test_every_use_has_its_type_and_no_more(tiny_dataset: CheckpointDataset, uses: str) -> None:
    prompts = shown(tiny_dataset, uses)
    assert type(prompts) is SHOWN[uses]
    assert (prompts.task, prompts.suite) == (TASK, tiny_dataset.suite.source)
    blind = uses in ("nothing", "scripted_expert")
    assert len(prompts) == len(prompts.sources) == (0 if blind else 4)
    assert hasattr(prompts, "rewards") == (uses == "prompts+rewards")
    for name in ("params", "success", "run"):
        assert hasattr(prompts, name) == (uses == "test_checkpoints")
    if not blind:
        plain = tiny_dataset.prompts(TASK, 4, 0)
        assert prompts.sources == plain.sources
        assert prompts.behaviors.trajectory_vectors().tobytes() == plain.behaviors.trajectory_vectors().tobytes()
    again = pickle.loads(pickle.dumps(prompts))
    assert type(again) is type(prompts)
    assert again.sources == prompts.sources
    assert again.behaviors.actions.tobytes() == prompts.behaviors.actions.tobytes()


def test_what_is_not_shown_is_refused_in_words(tiny_dataset: CheckpointDataset) -> None:
    plain = shown(tiny_dataset, "prompts")
    with pytest.raises(AttributeError, match=r"a PromptSet shows no rewards: .* must say uses='prompts\+rewards'"):
        _ = plain.rewards
    with pytest.raises(AttributeError, match=r"shows no params: .* must say uses='test_checkpoints'"):
        _ = shown(tiny_dataset, "prompts+rewards").params
    with pytest.raises(AttributeError, match="'PromptSet' object has no attribute 'colour'"):
        _ = plain.colour


def toy_rewards(prompts: RewardedPromptSet, goal: np.ndarray) -> np.ndarray:
    """Minus the distance to the goal after each step but the last, by the recorded positions: (n, 59)."""
    return -np.linalg.norm(prompts.behaviors.observations[:, 1:, :2].astype(np.float64) - goal, axis=2)


@pytest.mark.parametrize("source", ["trained", "partial", "expert"])
def test_rewards_are_those_of_the_recorded_steps(tiny_dataset: CheckpointDataset, source: str) -> None:
    shots = {"trained": 4, "partial": 1, "expert": 2}[source]
    prompts = shown_prompts(tiny_dataset, TASK, "prompts+rewards", Protocol(shots=shots, prompt_source=source), 0)
    assert isinstance(prompts, RewardedPromptSet)
    assert len(prompts.rewards) == shots
    assert prompts.rewards.dtype == np.float32
    goal = np.array(tiny_dataset.suite.task(TASK).options["goal"])
    np.testing.assert_allclose(prompts.rewards[:, :-1], toy_rewards(prompts, goal), atol=1e-6)
    assert not prompts.rewards.flags.writeable
    with pytest.raises(DataError, match=r"4 prompts of goal-030 need \(4, 60\) rewards"):
        RewardedPromptSet(
            prompts.suite, TASK, shown(tiny_dataset, "prompts").behaviors, ("a",) * 4, rewards=prompts.rewards[:1]
        )


def edited(data: CheckpointDataset, folder: Path, column: str, change: Callable[[pa.Table], Any]) -> CheckpointDataset:
    """A copy of a dataset with one column of the task's prompt shards changed, and hashes that are right again."""
    shutil.copytree(data.folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for shard in data.entries("checkpoints", TASK, "prompt"):
        table = pq.read_table(folder / shard)
        at = table.column_names.index(column)
        table = table.set_column(at, table.schema.field(column), change(table))
        pq.write_table(table, folder / shard)
        manifest["shards"][shard]["sha256"] = sha256_of(folder / shard)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return CheckpointDataset(folder, data.suite)


def test_a_dataset_without_layouts_has_no_rewards(tiny_dataset: CheckpointDataset, tmp_path: Path) -> None:
    data = edited(tiny_dataset, tmp_path / "d", "behavior_layout", lambda t: pa.array([-1] * len(t), pa.int32()))
    with pytest.raises(RewardsError, match=r"has no rewards of its prompts, and does not say on which layout") as error:
        shown(data, "prompts+rewards")
    assert "\n" not in str(error.value)
    assert len(shown(data, "prompts")) == 4, "who needs none goes on"


def test_a_replay_that_comes_out_otherwise_is_an_error(tiny_dataset: CheckpointDataset, tmp_path: Path) -> None:
    other = edited(
        tiny_dataset,
        tmp_path / "d",
        "behavior_layout",
        lambda t: pa.array([(x + 1) % 6 for x in t["behavior_layout"].to_pylist()], pa.int32()),
    )
    with pytest.raises(RewardsError, match=r"on train layout \d, came to another state before step 1"):
        shown(other, "prompts+rewards")


def test_checkpoints_are_the_verified_ones_of_the_prompt_runs(tiny_dataset: CheckpointDataset) -> None:
    prompts = shown(tiny_dataset, "test_checkpoints")
    rows = tiny_dataset.hf(TASK, role="prompt").data.table.to_pylist()
    verified = [row for row in rows if row["success"] == 1.0]
    assert len(prompts.params) == len(verified) > 0
    np.testing.assert_array_equal(prompts.params, np.array([row["params"] for row in verified], np.float32))
    assert prompts.run.tolist() == [row["run"] for row in verified]
    assert set(prompts.success.tolist()) == {1.0}
    other_seed = shown(tiny_dataset, "test_checkpoints", seed=5)
    assert other_seed.sources != prompts.sources
    assert other_seed.params.tobytes() == prompts.params.tobytes(), "the order is the dataset's"


@pytest.mark.parametrize("split", ["seen", "unseen"])
@pytest.mark.parametrize("uses", USES)
def test_parameters_of_prompt_runs_are_read_for_those_who_declare_it_only(
    tiny_dataset: CheckpointDataset, monkeypatch: pytest.MonkeyPatch, uses: str, split: str
) -> None:
    """Whatever a method is given was read from shards: which columns of which were read, for fit and generate."""
    read: list[tuple[str, str, Any]] = []
    table = CheckpointDataset.table

    def spying(self: CheckpointDataset, shard: str, columns: Any = None) -> Any:
        entry = self.shards[shard]
        read.append((entry["task"], entry["role"], columns))
        return table(self, shard, columns)

    monkeypatch.setattr(CheckpointDataset, "table", spying)
    chosen = tiny_dataset.suite.split(split)
    training_set = tiny_dataset.training_set(split)
    for task in chosen.test:
        shown_prompts(tiny_dataset, task, uses, Protocol(shots=2), 0)
    assert {task for task, role, _ in read if role == "train"} == set(training_set.train_tasks)
    with_params = {task for task, role, columns in read if role != "train" and (columns is None or "params" in columns)}
    assert with_params == (set(chosen.test) if uses == "test_checkpoints" else set())


METHODS = '''
import numpy as np
from maa_bench import FlatPolicies, MethodCard


def method(uses, wants):
    class Curious:
        card = MethodCard(name="curious-" + wants, family="control", summary="", uses=uses)
        n_parameters = 7

        def __init__(self, scale="small"):
            pass

        def fit(self, training_set, context):
            self.data = training_set

        def generate(self, prompts, n, context):
            found = prompts.behaviors.actions[0] if wants == "behaviors" else getattr(prompts, wants)
            assert found is not None
            return FlatPolicies(self.data.spec, np.repeat(self.data.params[:1], n, axis=0))

    return Curious


BlindPrompts = method("nothing", "behaviors")
Rewards = method("prompts", "rewards")
Params = method("prompts+rewards", "params")
HonestRewards = method("prompts+rewards", "rewards")


class Steps(method("prompts+rewards", "sources")):
    """Tries the test task out, 7 steps of it by `step` and 5 in whole episodes, as its card allows."""

    def generate(self, prompts, n, context):
        from maa_bench.forward import PackedPolicy
        from maa_bench.simulators import opened_task
        from maa_bench.suite import load_suite

        suite = load_suite(prompts.suite)
        simulator = opened_task(suite, prompts.task)
        layout = suite.layouts(prompts.task, "train")[0]
        simulator.reset(layout)
        for _ in range(7):
            simulator.step(np.zeros(2))
        simulator.first_success(PackedPolicy(suite.policy, np.zeros(suite.policy.n_params, np.float32)), layout, 5)
        return super().generate(prompts, n, context)
'''


@pytest.fixture
def run(tiny_suite: Path, tiny_protocol: Protocol, warm_cache_copy: Path, tmp_path: Path, monkeypatch: Any) -> Any:
    """`run_methods` with one of `METHODS`; also gives the module's name."""
    name = f"curious_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(METHODS)
    monkeypatch.syspath_prepend(tmp_path)

    def call(method: str, **options: Any) -> Any:
        return run_methods(
            [f"{name}:{method}"],
            suite=str(tiny_suite),
            protocol=tiny_protocol,
            workers=1,
            results_dir=tmp_path / "results",
            cache_dir=warm_cache_copy,
            progress=Progress(quiet=True),
            **options,
        )[0]

    return call


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("BlindPrompts", "IndexError"),
        ("Rewards", "AttributeError: a PromptSet shows no rewards: the method's card must say uses='prompts+rewards'"),
        ("Params", "AttributeError: a RewardedPromptSet shows no params: the method's card must say uses="),
    ],
)
def test_a_method_that_reaches_for_more_than_it_declares_fails_with_a_reason(
    run: Any, method: str, reason: str
) -> None:
    with pytest.raises(MethodError) as error:
        run(method)
    assert f"generate for task 'goal-030' raised {reason}" in str(error.value)


def test_behaviours_that_are_not_shown_say_so(tiny_dataset: CheckpointDataset) -> None:
    behaviors = shown(tiny_dataset, "nothing").behaviors
    for vectors in (behaviors.trajectory_vectors, behaviors.outcome_vectors):
        with pytest.raises(DataError, match="must say uses='prompts' in its card"):
            vectors()


def test_costs_are_in_the_record(run: Any) -> None:
    honest = run("HonestRewards", tasks=[TASK])
    assert honest.cost.parameters == 7
    assert honest.cost.test_environment_steps == 0, "the replay of prompts is the benchmark's"
    assert honest.cost.peak_mb > 1
    trying = run("Steps", seeds=2)
    assert trying.cost.test_environment_steps == 2 * 2 * (7 + 5)


def test_a_method_that_needs_rewards_which_nobody_has_fails_alone(
    tiny_dataset: CheckpointDataset, tmp_path: Path, run: Any
) -> None:
    folder = tmp_path / "d"
    edited(tiny_dataset, folder, "behavior_layout", lambda t: pa.array([-1] * len(t), pa.int32()))
    with pytest.raises(MethodError, match=r"HonestRewards' needs rewards: dataset tiny-.* has no rewards") as error:
        run("HonestRewards", dataset=folder, tasks=[TASK])
    assert "\n" not in str(error.value)
    assert (tmp_path / "results" / "random_seen").exists(), "the controls were run"


def fit_job(data: CheckpointDataset, name: str, cache: Path) -> FitJob:
    """Fit a method and generate for one task."""
    loaded = load_method(name)
    return FitJob(
        method=name,
        uses=loaded.card.uses,
        fingerprint=loaded.fingerprint,
        suite=data.suite.source,
        split="unseen",
        protocol=Protocol(shots=2, candidates=2, episodes=1, select_episodes=1),
        dataset=data.folder,
        train_seed=0,
        tasks=(TASK,),
        cache=cache,
        key="k",
    )


class _Untouchable:
    """In the place of what a method may not see."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError("a method touched what it did not declare")

    def __len__(self) -> int:
        raise AssertionError("a method touched what it did not declare")


@pytest.mark.parametrize("name", [n for n in method_names() if load_method(n).card.family in ("control", "ceiling")])
def test_no_control_touches_more_than_it_declares(
    tiny_dataset: CheckpointDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Behaviours raise when touched, unless prompts are declared; a test task's rows never are in the training set."""
    card = load_method(name).card

    def guarded(*told: Any) -> PromptSet:
        prompts = shown_prompts(*told)
        if card.uses not in ("nothing", "scripted_expert"):
            return prompts
        return replace(prompts, behaviors=_Untouchable())  # type: ignore[arg-type]

    monkeypatch.setattr("maa_bench.fitting.shown_prompts", guarded)
    job = fit_job(tiny_dataset, name, tmp_path)
    fitted = job(lambda *_: None)
    assert not fitted.failures
    assert fitted.generated[TASK].steps == 0
    assert set(load_suite(tiny_dataset.suite.source).split("unseen").train).isdisjoint({TASK})


ACTING = """
from maa_bench.baselines.controls import RandomSeen
from maa_bench.method import MethodCard
from maa_bench.simulators import opened_task
from maa_bench.suite import load_suite


class Acting(RandomSeen):
    card = MethodCard(name="acting", family="control", summary="Tries the test task out.", uses="USES")

    def generate(self, prompts, n, context):
        suite = load_suite(prompts.suite)
        simulator = opened_task(suite, prompts.task)
        simulator.reset(suite.layouts(prompts.task, "train")[0])
        for _ in range(3):
            simulator.step([0.0] * suite.policy.action_dim)
        return super().generate(prompts, n, context)
"""


@pytest.mark.parametrize("uses", ["nothing", "prompts", "prompts+rewards"])
def test_who_acts_in_the_test_task_must_say_so(
    tiny_dataset: CheckpointDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uses: str
) -> None:
    module = f"acting_{re.sub('[^a-z]', '_', uses)}"
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / f"{module}.py").write_text(ACTING.replace("USES", uses))
    monkeypatch.syspath_prepend(tmp_path / "methods")
    job = fit_job(tiny_dataset, f"{module}:Acting", tmp_path)
    fitted = job(lambda *_: None)
    if uses == "prompts+rewards":
        assert fitted.generated[TASK].steps == 3
    else:
        assert "took 3 environment steps, whose rewards its card does not declare" in fitted.failures[TASK]


def test_another_source_than_the_planned_one_is_refused(tiny_dataset: CheckpointDataset, tmp_path: Path) -> None:
    job = replace(fit_job(tiny_dataset, "random_seen", tmp_path), fingerprint="of before")
    assert "its source changed since the run began" in job(lambda *_: None).failures[TASK]
    assert not list(tmp_path.rglob("meta.json"))
