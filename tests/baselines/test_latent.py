"""What the three latent ablations share: all of Make-An-Agent but the map, on the tiny suite."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maa_bench.baselines.controls import RandomWeights
from maa_bench.baselines.latent_flow import LatentFlow
from maa_bench.baselines.latent_regression import LatentRegression
from maa_bench.baselines.latent_vae import LatentVAE
from maa_bench.baselines.make_an_agent import MakeAnAgent
from maa_bench.dataset.store import CheckpointDataset
from maa_bench.errors import MethodError
from maa_bench.evaluator import EpisodeJob
from maa_bench.method import Context, TrainingSet
from maa_bench.prompts import PromptSet

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.baseline

ABLATIONS = (LatentRegression, LatentVAE, LatentFlow)


@pytest.fixture(scope="module")
def training_set(tiny_dataset: CheckpointDataset) -> TrainingSet:
    return tiny_dataset.training_set("seen")


@pytest.fixture(scope="module")
def fitted(training_set: TrainingSet) -> Callable[[type], Any]:
    """A method of a class, fitted once with seed 3: tests may share it, as `generate` does not change it."""

    @cache
    def fit(kind: Any) -> Any:
        method = kind(scale="tiny")
        method.fit(training_set, Context(3))
        return method

    return fit


def prompts(dataset: CheckpointDataset, n: int, task: str = "goal-090") -> PromptSet:
    return dataset.prompts(task, n, 0)


@pytest.mark.parametrize("kind", ABLATIONS)
def test_all_but_the_map_is_make_an_agents_bit_for_bit(fitted: Any, kind: type) -> None:
    theirs, ours = fitted(MakeAnAgent)._generator.state_dict(), fitted(kind)._generator.state_dict()
    ends = [name for name in theirs if not name.startswith("unet.")]
    assert len(ends) > 30
    assert ends == [name for name in ours if not name.startswith("map.")]
    for name in ends:
        assert torch.equal(ours[name], theirs[name]), name


@pytest.mark.parametrize("kind", ABLATIONS)
@pytest.mark.parametrize("scale", ["small", "paper", "tiny"])
def test_numbers_are_read_from_make_an_agents_own_file(kind: type, scale: Any) -> None:
    theirs, ours = MakeAnAgent(scale=scale).config, kind(scale=scale).config
    for field in dataclasses.fields(theirs):
        assert getattr(ours, field.name) == getattr(theirs, field.name)


@pytest.mark.parametrize("kind", ABLATIONS)
def test_saved_and_loaded_it_makes_the_same_whatever_n_is(
    fitted: Any, kind: type, training_set: TrainingSet, tiny_dataset: CheckpointDataset, tmp_path: Path
) -> None:
    method, shown = fitted(kind), prompts(tiny_dataset, 3)
    wanted = method.generate(shown, 70, Context(5)).params
    method.save(tmp_path)
    loaded = kind()
    loaded.load(tmp_path, training_set)
    assert loaded.config == kind(scale="tiny").config
    assert loaded.n_parameters == method.n_parameters
    for n in (1, 40, 70):
        assert loaded.generate(shown, n, Context(5)).params.tobytes() == wanted[:n].tobytes()


def test_candidates_differ_but_a_regression_answers_each_prompt_once_without_chance(
    fitted: Any, tiny_dataset: CheckpointDataset
) -> None:
    shown = prompts(tiny_dataset, 3)
    for kind in ABLATIONS:
        made, again = (fitted(kind).generate(shown, 9, Context(seed)).params for seed in (0, 1))
        assert len({row.tobytes() for row in made}) == 9
        same = [one.tobytes() == other.tobytes() for one, other in zip(made, again, strict=True)]
        assert same == [kind is LatentRegression] * 3 + [False] * 6


@pytest.mark.parametrize("kind", ABLATIONS)
def test_it_solves_the_tasks_that_it_is_prompted_for(
    fitted: Any, kind: type, tiny_dataset: CheckpointDataset, tiny_suite: Path
) -> None:
    success = {}
    for method in (fitted(kind), fitted(RandomWeights)):
        rates = []
        for task in tiny_dataset.suite.split("seen").test:
            agents = method.generate(prompts(tiny_dataset, 4, task), 8, Context(0))
            job = EpisodeJob(str(tiny_suite), task, agents, tuple(range(8)), (("test", 4),))
            rates.append((job(lambda *told: None).first_success > 0).mean())
        success[method.card.name] = float(np.mean(rates))
    assert success[fitted(kind).card.name] > success["random_weights"] + 0.25, success


@pytest.mark.parametrize("kind", ABLATIONS)
def test_errors_name_the_method(fitted: Any, kind: Any, tiny_dataset: CheckpointDataset) -> None:
    with pytest.raises(MethodError, match=f"^{kind.card.name} is not fitted"):
        kind().generate(prompts(tiny_dataset, 1), 1, Context(0))
    with pytest.raises(MethodError, match=f"^{kind.card.name} needs n and prompts of 1 or more"):
        fitted(kind).generate(prompts(tiny_dataset, 1), 0, Context(0))
    with pytest.raises(MethodError, match=f"^{kind.card.name}: unknown scale 'smal'"):
        kind(scale="smal")


def test_import_is_light() -> None:
    """`maa-bench list` makes every method to show its card, and must answer at once."""
    modules = ", ".join(f"{kind.__module__}" for kind in ABLATIONS)
    makes = "; ".join(f"{kind.__module__}.{kind.__name__}(scale='paper')" for kind in ABLATIONS)
    code = f"import sys, {modules}; {makes}; print({{'torch', 'diffusers', 'safetensors'}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
