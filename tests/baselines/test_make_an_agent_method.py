"""Make-An-Agent as a method, on a family of policies whose parameters are a known function of behaviour."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maa_bench.baselines.make_an_agent import MakeAnAgent
from maa_bench.baselines.make_an_agent.config import Config, read_config
from maa_bench.baselines.shared.config import parse_config
from maa_bench.errors import MethodError
from maa_bench.method import Context, Saveable, TrainingSet
from maa_bench.policy import PolicySpec
from maa_bench.prompts import Behaviors, PromptSet

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.baseline

SPEC = PolicySpec(6, (16, 16), 2, ("elu", "relu"))
TASKS = ("north", "east", "south", "west")
ROWS = 24
"""Training rows a task."""


class Family:
    """Tasks whose policies are params = centre[task] + skill @ directions; behaviour shows task and skill."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.centres = rng.normal(0, 0.2, (len(TASKS), SPEC.n_params))
        self.directions = rng.normal(0, 0.05, (3, SPEC.n_params))
        size = 60 * 6 + 60 * 2 + 3 * 6
        self.shown_centres = rng.normal(0, 0.5, (len(TASKS), size))
        self.shown_directions = rng.normal(0, 0.3, (3, size))

    def rows(self, task: int, n: int, seed: int) -> tuple[np.ndarray, Behaviors]:
        """n policies of a task, and what they do: params (n, n_params) float32."""
        rng = np.random.default_rng([seed, task])
        skill = rng.normal(0, 1, (n, 3))
        params = self.centres[task] + skill @ self.directions + rng.normal(0, 0.001, (n, SPEC.n_params))
        shown = self.shown_centres[task] + skill @ self.shown_directions
        shown = (shown + rng.normal(0, 0.01, shown.shape)).astype(np.float32)
        observations, actions, outcome = np.split(shown, [360, 480], axis=1)
        behaviors = Behaviors(observations.reshape(n, 60, 6), actions.reshape(n, 60, 2), outcome.reshape(n, 3, 6))
        return params.astype(np.float32), behaviors


FAMILY = Family()


@cache
def training_set() -> TrainingSet:
    parts = [FAMILY.rows(task, ROWS, seed=0) for task in range(len(TASKS))]
    n = ROWS * len(TASKS)
    shown = [part[1] for part in parts]
    return TrainingSet(
        suite="family",
        split="all",
        spec=SPEC,
        train_tasks=TASKS,
        task=np.repeat(TASKS, ROWS),
        role=np.full(n, "train"),
        run=np.array([f"{task}-{row // 8}" for task in TASKS for row in range(ROWS)]),
        step=np.arange(n, dtype=np.int64),
        success=np.ones(n, np.float32),
        params=np.concatenate([part[0] for part in parts]),
        behaviors=Behaviors(
            np.concatenate([b.observations for b in shown]),
            np.concatenate([b.actions for b in shown]),
            np.concatenate([b.outcome for b in shown]),
        ),
    )


def prompts(task: int, n: int, seed: int = 1) -> PromptSet:
    """n prompts that no training row was made with."""
    behaviors = FAMILY.rows(task, n, seed)[1]
    return PromptSet("family", TASKS[task], behaviors, tuple(f"row-{i}" for i in range(n)))


def shortened(scale: str, **sizes: Any) -> Config:
    """A scale's configuration with everything narrow and short; the rest of its choices stay."""
    config = read_config(scale)

    def short(training: Any, steps: int) -> Any:
        wanted = steps if training.steps or training.epochs else 0
        return dataclasses.replace(training, epochs=0, steps=wanted, batch=16, lr=2e-3)

    return Config(
        dataclasses.replace(
            config.autoencoder, width=16, training=short(config.autoencoder.training, sizes.get("ae", 60))
        ),
        dataclasses.replace(config.embedding, hidden=32, width=16, training=short(config.embedding.training, 200)),
        dataclasses.replace(
            config.diffusion,
            widths=(32, 32),
            training=short(config.diffusion.training, sizes.get("unet", 400)),
        ),
    )


def fitted(seed: int = 0) -> MakeAnAgent:
    method = MakeAnAgent(config=shortened("small"))
    method.fit(training_set(), Context(seed))
    return method


@cache
def shared() -> MakeAnAgent:
    """A fit that tests may share, as `generate` does not change it."""
    return fitted()


def test_import_is_light() -> None:
    """`maa-bench list` makes every method to show its card, and must answer at once."""
    code = (
        "import sys; from maa_bench.baselines.make_an_agent import MakeAnAgent; MakeAnAgent(scale='paper');"
        "print({'torch', 'numba', 'diffusers', 'safetensors'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_prompts_decide_which_policies_come_out() -> None:
    """Nearest centre is the prompted task's, and within a task the generated skill follows the shown one."""
    for task in range(len(TASKS)):
        made = shared().generate(prompts(task, 20), 20, Context(0)).params
        distances = np.linalg.norm(made[:, None] - FAMILY.centres[None], axis=2)
        assert np.mean(distances.argmin(axis=1) == task) >= 0.95
        wanted = FAMILY.rows(task, 20, seed=1)[0]
        agreement = np.corrcoef((wanted - FAMILY.centres[task]).ravel(), (made - FAMILY.centres[task]).ravel())
        assert agreement[0, 1] > 0.5


def test_swapped_prompts_swap_the_policies() -> None:
    """The task's name must not matter, only what the prompt shows."""
    disguised = dataclasses.replace(prompts(2, 5), task=TASKS[0])
    made = shared().generate(disguised, 5, Context(0)).params
    distances = np.linalg.norm(made[:, None] - FAMILY.centres[None], axis=2)
    assert (distances.argmin(axis=1) == 2).all()


def test_one_prompt_gives_many_candidates() -> None:
    made = shared().generate(prompts(1, 1), 7, Context(0))
    assert len(made) == 7
    assert made.params.dtype == np.float32
    assert len({row.tobytes() for row in made.params}) == 7


@pytest.mark.parametrize("n", [1, 5, 40])
def test_a_candidate_does_not_depend_on_how_many_are_made(n: int) -> None:
    many = shared().generate(prompts(0, 3), 70, Context(4)).params
    few = shared().generate(prompts(0, 3), n, Context(4)).params
    assert few.tobytes() == many[:n].tobytes()


def test_candidates_answer_prompts_in_turn() -> None:
    """Candidate i answers prompt i mod n: with another second prompt only every second candidate changes."""
    one = prompts(0, 2)
    other = dataclasses.replace(one, behaviors=_join(one.behaviors.take(slice(0, 1)), prompts(3, 1).behaviors))
    a = shared().generate(one, 6, Context(0)).params
    b = shared().generate(other, 6, Context(0)).params
    assert [x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True)] == [True, False] * 3


def _join(*parts: Behaviors) -> Behaviors:
    return Behaviors(
        np.concatenate([part.observations for part in parts]),
        np.concatenate([part.actions for part in parts]),
        np.concatenate([part.outcome for part in parts]),
    )


@pytest.mark.heavy  # the contract's test has it at the smallest size
def test_same_seed_same_bytes() -> None:
    first, again, other = fitted(seed=3), fitted(seed=3), fitted(seed=4)
    wanted = first.generate(prompts(0, 2), 4, Context(9)).params.tobytes()
    assert again.generate(prompts(0, 2), 4, Context(9)).params.tobytes() == wanted
    assert other.generate(prompts(0, 2), 4, Context(9)).params.tobytes() != wanted
    assert first.generate(prompts(0, 2), 4, Context(10)).params.tobytes() != wanted


def test_global_random_state_is_left_alone_and_has_no_say(tmp_path: Path) -> None:
    import random

    from diffusers.schedulers.scheduling_ddim import DDIMScheduler  # noqa: F401  (its import is not ours)

    def states() -> tuple[bytes, str, str]:
        return torch.get_rng_state().numpy().tobytes(), str(np.random.get_state()), str(random.getstate())  # noqa: NPY002

    wanted = shared().generate(prompts(0, 2), 4, Context(0)).params.tobytes()
    torch_state = torch.get_rng_state()
    try:
        torch.manual_seed(99)
        before = states()
        method = fitted()
        made = method.generate(prompts(0, 2), 4, Context(0)).params.tobytes()
        method.save(tmp_path)
        MakeAnAgent().load(tmp_path, training_set())
        assert states() == before
    finally:
        torch.set_rng_state(torch_state)
    assert made == wanted


def test_save_and_load_give_the_same_candidates(tmp_path: Path) -> None:
    method = shared()
    assert isinstance(shared(), Saveable)
    method.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    loaded = MakeAnAgent()
    loaded.load(tmp_path, training_set())
    assert loaded.config == method.config
    for task in range(len(TASKS)):
        ours = loaded.generate(prompts(task, 2), 6, Context(5)).params
        assert ours.tobytes() == method.generate(prompts(task, 2), 6, Context(5)).params.tobytes()


def test_load_refuses_what_does_not_fit(tmp_path: Path) -> None:
    shared().save(tmp_path)
    other = PolicySpec(6, (16, 16), 2, ("relu", "relu"))
    with pytest.raises(MethodError, match="fitted to policies"):
        MakeAnAgent().load(tmp_path, dataclasses.replace(training_set(), spec=other))
    record = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**record, "format": 0}))
    with pytest.raises(MethodError, match="Fit again"):
        MakeAnAgent().load(tmp_path, training_set())


def test_generate_says_what_is_wrong() -> None:
    with pytest.raises(MethodError, match="not fitted"):
        MakeAnAgent().generate(prompts(0, 1), 1, Context(0))
    with pytest.raises(MethodError, match="n=0"):
        shared().generate(prompts(0, 1), 0, Context(0))
    nothing = dataclasses.replace(prompts(0, 1), behaviors=prompts(0, 1).behaviors.take(slice(0, 0)))
    with pytest.raises(MethodError, match="0 prompts"):
        shared().generate(nothing, 1, Context(0))
    wide = Behaviors(
        np.zeros((1, 60, 9), np.float32), np.zeros((1, 60, 2), np.float32), np.zeros((1, 3, 9), np.float32)
    )
    with pytest.raises(MethodError, match="of sizes 6 and 2, but prompts of north have 9 and 2"):
        shared().generate(dataclasses.replace(prompts(0, 1), behaviors=wide), 1, Context(0))


def test_progress_is_reported() -> None:
    seen: list[tuple[str, int, int]] = []
    method = MakeAnAgent(config=shortened("paper", unet=80))
    method.fit(training_set(), Context(0, progress=lambda *report: seen.append(report)))
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == [
        "autoencoder",
        "behaviour embedding",
        "diffusion",
    ]
    for stage, total in (("autoencoder", 60), ("behaviour embedding", 200), ("diffusion", 80)):
        done = [report[1] for report in seen if report[0] == stage]
        assert done == sorted(done)
        assert done[-1] == total
        assert max(np.diff(done)) <= 20


def test_interruption_passes_through() -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "diffusion" and done >= 40:
            raise KeyboardInterrupt

    method = MakeAnAgent(config=shortened("small"))
    with pytest.raises(KeyboardInterrupt):
        method.fit(training_set(), Context(0, progress=interrupt))
    with pytest.raises(MethodError, match="not fitted"):
        method.generate(prompts(0, 1), 1, Context(0))


def test_paper_path_trains_its_autoencoder() -> None:
    """Random start, LayerNorm, noise and clamp: more training rebuilds better."""
    params = torch.tensor(training_set().params)
    errors = []
    for steps in (1, 1500):
        method = MakeAnAgent(config=shortened("paper", ae=steps, unet=1))
        method.fit(training_set(), Context(0))
        generator: Any = method._generator
        with torch.no_grad():
            rebuilt = generator.autoencoder.decode(generator.autoencoder.encode(params))
        errors.append(float((rebuilt - params).norm() / params.norm()))
    assert errors[1] < 0.6 * errors[0]


def test_closed_form_autoencoder_rebuilds_low_rank_parameters() -> None:
    from maa_bench.baselines.make_an_agent.autoencoder import ParameterAutoencoder

    params = torch.tensor(training_set().params)
    model = ParameterAutoencoder(SPEC.chunks, 16, layer_norm=False).requires_grad_(False)
    chance = torch.Generator().manual_seed(0)
    model.fit_pca(params, chance)
    latent = model.encode(params).detach()
    assert latent.shape == (len(params), 2, 16)
    assert float(latent.abs().max()) <= 1.01
    assert float((model.decode(latent) - params).norm() / params.norm()) < 0.01
    # Fewer rows than features: nothing is NaN.
    model.fit_pca(params[:5], chance)
    assert float((model.decode(model.encode(params[:5])) - params[:5]).norm()) < 1e-4
    with pytest.raises(ValueError, match="layer_norm"):
        ParameterAutoencoder(SPEC.chunks, 16).fit_pca(params, chance)


def test_small_configuration_is_the_paper_model_scaled_down() -> None:
    paper, small = read_config("paper"), read_config("small")
    for key in ("kernel", "groups", "train_steps", "inference_steps"):
        assert getattr(small.diffusion, key) == getattr(paper.diffusion, key)
    assert MakeAnAgent().config == small
    assert MakeAnAgent(scale="paper").config == paper


def test_configuration_errors_name_the_key(tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"unknown scale 'smal'.*'small'"):
        read_config("smal")
    table = dataclasses.asdict(read_config("small"))
    assert parse_config(Config, json.loads(json.dumps(table)), "here") == read_config("small")

    def broken(change: dict[str, Any]) -> dict[str, Any]:
        training = {**table["diffusion"]["training"], **change}
        return {**table, "diffusion": {**table["diffusion"], "training": training}}

    with pytest.raises(MethodError, match=r"here diffusion training has an unknown key 'stpes'.*'steps'"):
        parse_config(Config, broken({"stpes": 3}), "here")
    with pytest.raises(MethodError, match="here diffusion training lr is 'high'; it must be float"):
        parse_config(Config, broken({"lr": "high"}), "here")
    with pytest.raises(MethodError, match="epochs or steps, not both"):
        parse_config(Config, broken({"epochs": 3}), "here")
    with pytest.raises(MethodError, match="here lacks diffusion"):
        parse_config(Config, {key: table[key] for key in ("autoencoder", "embedding")}, "here")
    with pytest.raises(MethodError, match="'random' or 'pca'"):
        parse_config(Config, {**table, "autoencoder": {**table["autoencoder"], "init": "svd"}}, "here")
