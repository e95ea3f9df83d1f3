"""The distilled producer: many runs as one network are many networks, trained as torch trains them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maa_bench.dataset.config import plan_dataset
from maa_bench.dataset.producers import Snapshot, Training, TrainingRun
from maa_bench.dataset.producers.distill import Distill, DistillConfig, _Learner
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import DataError
from maa_bench.policy import PolicySpec, initial_params

SPEC = PolicySpec(5, (8, 7), 3, ("elu", "relu"))


def plain_network(seed: int) -> torch.nn.Sequential:
    """The deterministic half of a policy in torch's own words, with the run's first weights."""
    layers = [torch.nn.Linear(5, 8), torch.nn.ELU(), torch.nn.Linear(8, 7), torch.nn.ReLU(), torch.nn.Linear(7, 3)]
    network = torch.nn.Sequential(*layers, torch.nn.Tanh())
    flat = initial_params(SPEC, np.random.default_rng(seed))
    with torch.no_grad():
        for parameter, tensor in zip(network.parameters(), SPEC.tensors, strict=False):
            parameter.copy_(torch.from_numpy(flat[tensor.start : tensor.stop].reshape(tensor.shape)))
    return network


def test_runs_that_learn_together_learn_as_each_alone_with_torchs_adam() -> None:
    generator = torch.Generator().manual_seed(0)
    seeds, batches = [3, 4], [torch.randn(2, 16, 5, generator=generator) for _ in range(20)]
    targets = [torch.randn(2, 16, 3, generator=generator).tanh() for _ in batches]
    learner = _Learner(SPEC, seeds, 1e-2)
    for obs, target in zip(batches, targets, strict=True):
        learner.step(obs, target)
    for run, seed in enumerate(seeds):
        network = plain_network(seed)
        adam = torch.optim.Adam(network.parameters(), lr=1e-2)
        for obs, target in zip(batches, targets, strict=True):
            adam.zero_grad()
            torch.nn.functional.mse_loss(network(obs[run]), target[run]).backward()
            adam.step()
        expected = torch.cat([parameter.detach().ravel() for parameter in network.parameters()]).numpy()
        np.testing.assert_allclose(learner.params()[run, : len(expected)], expected, atol=2e-5)


def test_the_log_std_head_keeps_its_first_weights() -> None:
    learner = _Learner(SPEC, [3], 1e-2)
    learner.step(torch.ones(1, 4, 5), torch.ones(1, 4, 3))
    start = next(t.start for t in SPEC.tensors if t.name == "log_std.weight")
    first = initial_params(SPEC, np.random.default_rng(3))
    np.testing.assert_array_equal(learner.params()[0, start:], first[start:])
    assert not np.array_equal(learner.params()[0, :start], first[:start])


def test_divergence_is_one_clear_error() -> None:
    learner = _Learner(SPEC, [3], 1e-2)
    learner.step(torch.full((1, 4, 5), torch.inf), torch.ones(1, 4, 3))
    with pytest.raises(DataError, match="diverged: parameters hold NaN or infinity"):
        learner.params()


@pytest.fixture(scope="module")
def training(tiny_dataset: CheckpointDataset, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Three runs that want nothing yet."""
    suite = tiny_dataset.suite
    experts = tiny_dataset.transitions("goal-000", "train")
    experts = experts.take(experts.source == "expert")
    runs = tuple(TrainingRun("goal-000", "train", f"train-{i:02d}", i, 4, 2, 1) for i in range(3))
    settings = DistillConfig(updates=60, first_checkpoint=40, patience=2)
    work = tmp_path_factory.mktemp("work")
    return Training(suite, runs, settings, {"goal-000": experts}, work, lambda run, kind: True, lambda *_: None)


def shown(training: Training) -> list[Snapshot]:
    return list(Distill().train(training))


def test_a_run_shows_itself_early_and_then_at_even_distances(training: Training) -> None:
    steps = [snapshot.step for snapshot in shown(training) if snapshot.run == 1]
    assert [step for step in steps if step >= 40] == [*range(40, 121, 5)], "every (60 - 40) / 4, and on, with patience"
    early = [step for step in steps if step < 40]
    assert early[0] == 10
    assert len(early) >= 3


def test_a_run_that_has_enough_shows_nothing_more_and_the_last_one_ends_it(training: Training) -> None:
    counts = [0, 0, 0]

    def wants(run: int, kind: str) -> bool:
        return kind == "verified" and counts[run] < (2, 4, 4)[run]

    for snapshot in Distill().train(replace(training, wants=wants)):
        assert snapshot.step >= 40, "nobody wanted early ones"
        counts[snapshot.run] += 1
    assert counts == [2, 4, 4]


def test_a_run_starts_from_its_seed_and_sees_its_own_data(training: Training) -> None:
    alone = replace(training, runs=training.runs[1:2])
    together = [s for s in shown(training) if s.run == 1]
    for one, other in zip(shown(alone), together, strict=True):
        np.testing.assert_allclose(one.params, other.params, atol=1e-4, err_msg=str(one.step))


def test_a_bootstrap_sample_leaves_some_demonstrations_out(training: Training) -> None:
    whole = {snapshot.env_step for snapshot in shown(training)}
    settings = replace(training.settings, bootstrap=True)
    sampled = {snapshot.run: snapshot.env_step for snapshot in shown(replace(training, settings=settings))}
    assert len(whole) == 1
    assert all(0.3 * max(whole) < n < max(whole) for n in sampled.values())
    assert len(set(sampled.values())) > 1


def test_the_same_stream_comes_again(training: Training) -> None:
    one, two = shown(training), shown(training)
    assert [(s.run, s.step, s.params.tobytes()) for s in one] == [(s.run, s.step, s.params.tobytes()) for s in two]


def test_runs_of_one_task_are_grouped_a_few_at_a_time(tiny_suite: Path) -> None:
    from maa_bench.suite import load_suite

    plan = plan_dataset(load_suite(str(tiny_suite)), per_task=30)
    runs = [run for task in plan.tasks for run in plan.runs(task)]
    groups = Distill().groups(runs, plan.settings)
    assert [run for group in groups for run in group] == runs
    assert all(len({run.task for run in group}) == 1 and len(group) <= 4 for group in groups)


def searched(training: Training, kind_at: Callable[[int], str], quota: int) -> list[int]:
    """Early steps at which a run shows itself, if what it shows at a step is of that kind."""
    run = replace(training.runs[0], partial=quota)
    settings = DistillConfig(updates=301, first_checkpoint=300, patience=1, seek_partial=True)
    kept = {"verified": 0, "partial": 0, "failing": 0}
    looking = replace(
        training,
        runs=(run,),
        settings=settings,
        wants=lambda _, kind: kind == "verified" or kept[kind] < quota,
        kept=lambda _, kind: kept[kind],
    )
    steps = []
    for snapshot in Distill().train(looking):
        kept[kind_at(snapshot.step)] += 1
        steps.append(snapshot.step)
    return [step for step in steps if step < 300]


def test_partly_trained_policies_are_looked_for_where_success_changes(training: Training) -> None:
    def kind_at(step: int) -> str:
        return "failing" if step < 100 else "partial" if step < 130 else "verified"

    steps = searched(training, kind_at, quota=8)
    partial = [step for step in steps if kind_at(step) == "partial"]
    assert len(partial) == 8
    assert steps[-1] == partial[-1], "once it has enough, it looks for no more"
    assert set(np.diff(partial)) <= {2, 3}
    assert max(np.diff(steps)) >= 10, "large steps while it fails"
    fixed = DistillConfig(updates=301, first_checkpoint=300, patience=1)
    run = replace(training.runs[0], partial=8)
    of_fixed = {s.step for s in shown(replace(training, runs=(run,), settings=fixed)) if s.step < 300}
    assert sum(kind_at(step) == "partial" for step in of_fixed) < 4


def test_a_run_that_is_never_partly_trained_is_looked_through_to_the_end(training: Training) -> None:
    assert max(searched(training, lambda step: "failing", quota=8)) > 250
    assert searched(training, lambda step: "failing", quota=0) == []
