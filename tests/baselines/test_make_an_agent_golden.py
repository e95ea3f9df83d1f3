"""Our Make-An-Agent (the very classes that `fit` trains) against numbers of the official implementation."""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import golden  # noqa: E402

from maa_bench.baselines.make_an_agent.autoencoder import ParameterAutoencoder  # noqa: E402
from maa_bench.baselines.make_an_agent.behavior_embedding import BehaviorEmbedding  # noqa: E402
from maa_bench.baselines.make_an_agent.config import Config, read_config  # noqa: E402
from maa_bench.baselines.make_an_agent.diffusion import Diffusion  # noqa: E402
from maa_bench.baselines.make_an_agent.generator import PolicyGenerator  # noqa: E402
from maa_bench.baselines.make_an_agent.normalizer import LimitsNormalizer  # noqa: E402
from maa_bench.baselines.make_an_agent.unet import ConditionalUNet  # noqa: E402
from maa_bench.policy import PolicySpec  # noqa: E402

pytestmark = [pytest.mark.golden, pytest.mark.baseline, golden.needs_golden]

SPEC = PolicySpec(39, (128, 128), 4, ("elu", "relu"))
AUTOENCODER_NAMES = {
    r"input_parameter_projections\.(\d)\.0": r"encoders.\1",
    r"output_parameter_projections\.(\d)\.0": r"decoders.\1",
    r"ln_in": "norm",
}
EMBEDDING_NAMES = {r"traj_embed": "trajectory", r"task_embed": "task", r"^W$": "bilinear"}
UNET_NAMES = {
    r"mid_modules\.0": "middle.first",
    r"mid_modules\.1": "middle.second",
    r"(up|down)_modules\.(\d)\.0": r"\1.\2.first",
    r"(up|down)_modules\.(\d)\.1": r"\1.\2.second",
    r"(up|down)_modules\.(\d)\.2\.conv": r"\1.\2.resample",
    r"diffusion_step_encoder\.1": "step_encoder.inner",
    r"diffusion_step_encoder\.3": "step_encoder.outer",
    r"final_conv\.0": "final",
    r"final_conv\.1": "output",
    r"blocks\.0": "before",
    r"blocks\.1": "after",
    r"block\.0": "conv",
    r"block\.1": "norm",
    r"cond_encoder\.1": "film",
    r"residual_conv": "shortcut",
}


def assert_near(ours: Any, theirs: Any, absolute: float = 1e-5, relative: float = 1e-5) -> None:
    """Assert equality within the tolerance that the golden README gives for most values."""
    np.testing.assert_allclose(
        ours.detach().numpy() if isinstance(ours, torch.Tensor) else ours, theirs, relative, absolute
    )


def load(module: Any, official: dict[str, Any], names: dict[str, str]) -> Any:
    """Put the official weights into `module`, whose tensors must be the same ones under our names."""
    ours = {}
    for name, array in official.items():
        for pattern, replacement in names.items():
            name = re.sub(pattern, replacement, name)
        ours[name] = torch.tensor(array)
    module.load_state_dict(ours, strict=True)
    return module.eval().requires_grad_(False)


@cache
def paper() -> Config:
    return read_config("paper")


def paper_with_a_narrow_unet() -> Config:
    widths = tuple(golden.record("unet_ddim")["network"]["down_dims"])
    return dataclasses.replace(paper(), diffusion=dataclasses.replace(paper().diffusion, widths=widths))


@cache
def autoencoder() -> ParameterAutoencoder:
    settings = paper().autoencoder
    model = ParameterAutoencoder(SPEC.chunks, settings.width, settings.layer_norm)
    loaded: ParameterAutoencoder = load(model, golden.weights("autoencoder"), AUTOENCODER_NAMES)
    return loaded


@cache
def embedding() -> BehaviorEmbedding:
    settings = paper().embedding
    model = BehaviorEmbedding(1020, 117, settings.hidden, settings.width)
    loaded: BehaviorEmbedding = load(model, golden.weights("behavior_embedding"), EMBEDDING_NAMES)
    return loaded


@cache
def narrow_unet() -> ConditionalUNet:
    settings = golden.record("unet_ddim")["network"]
    model = ConditionalUNet(
        settings["input_dim"],
        settings["global_cond_dim"],
        settings["down_dims"],
        settings["kernel_size"],
        settings["n_groups"],
        settings["diffusion_step_embed_dim"],
    )
    loaded: ConditionalUNet = load(model, golden.weights("unet_ddim"), UNET_NAMES)
    return loaded


def inputs_of_autoencoder() -> Any:
    about = golden.record("autoencoder")["inputs"]
    rows = [golden.formula(about["seed"], k, (22664,), scale) for k, scale in enumerate(about["scales"])]
    assert [golden.sha256(row) for row in rows] == about["sha256"]
    return torch.tensor(np.stack(rows))


def assert_decoded(decoded: Any, expected: dict[str, Any], prefix: str) -> None:
    assert_near(decoded[:, :200], expected[f"{prefix}_first200"])
    assert_near(decoded[:, 5020:5220], expected[f"{prefix}_5020_5220"])
    assert_near(decoded[:, -200:], expected[f"{prefix}_last200"])
    assert_near(np.linalg.norm(decoded.numpy().astype(np.float64), axis=1), expected[f"{prefix}_l2"])


def test_autoencoder_encodes_and_decodes() -> None:
    expected = golden.arrays("autoencoder")
    latent = autoencoder().encode(inputs_of_autoencoder())
    assert_near(latent, expected["encode"])
    assert_decoded(autoencoder().decode(latent), expected, "decode")


def test_autoencoder_training_pass_clamps_the_latent() -> None:
    rebuilt = autoencoder()(inputs_of_autoencoder(), 0.0, 0.0, None)
    assert_decoded(rebuilt, golden.arrays("autoencoder"), "noisefree_forward")


def test_embedding() -> None:
    expected = golden.arrays("behavior_embedding")
    traj, task = torch.tensor(expected["traj"]), torch.tensor(expected["task"])
    assert_embedding(traj, task, expected, "")


def test_embedding_of_normalised_inputs() -> None:
    expected = golden.arrays("behavior_embedding")
    traj, task = torch.tensor(expected["traj"]), torch.tensor(expected["task"])
    assert_embedding(
        LimitsNormalizer(1020).fit(traj)(traj),
        LimitsNormalizer(117).fit(task)(task),
        expected,
        "normalized_",
    )


def assert_embedding(traj: Any, task: Any, expected: dict[str, Any], prefix: str) -> None:
    traj_embedding, task_embedding = embedding()(traj, task)
    assert_near(traj_embedding, expected[f"{prefix}traj_embedding"])
    assert_near(task_embedding, expected[f"{prefix}task_embedding"])
    assert_near(embedding().logits(traj_embedding, task_embedding), expected[f"{prefix}logits"], absolute=1e-4)
    assert_near(embedding().loss(traj_embedding, task_embedding), expected[f"{prefix}loss"])


@pytest.mark.parametrize("key", ["param", "traj", "task"])
def test_normalizer(key: str) -> None:
    expected = golden.arrays("normalizer")
    rows, new = torch.tensor(expected[key]), torch.tensor(expected[f"{key}_new"])
    normalizer = LimitsNormalizer(rows.shape[-1]).fit(rows)
    for name in ("scale", "offset", "min", "max"):
        assert_near(getattr(normalizer, name), expected[f"{key}_{name}"], 1e-6, 1e-6)
    for name in ("mean", "std"):
        assert_near(getattr(normalizer, name), expected[f"{key}_{name}"])
    assert_near(normalizer(rows), expected[f"{key}_normalized"], 1e-6, 1e-6)
    assert_near(normalizer(new), expected[f"{key}_new_normalized"], 1e-6, 1e-6)
    assert_near(normalizer.invert(normalizer(new)), expected[f"{key}_new_unnormalized_again"], 1e-6, 1e-6)


def test_unet() -> None:
    expected = golden.arrays("unet_ddim")
    sample, condition = torch.tensor(expected["sample"]), torch.tensor(expected["cond"])
    for step, output in zip(expected["timesteps"].tolist(), expected["output"], strict=True):
        assert_near(narrow_unet()(sample, step, condition), output)
    steps = torch.tensor(expected["timestep_vector"])
    assert_near(narrow_unet()(sample, steps, condition), expected["output_timestep_vector"])


def test_step_embedding() -> None:
    expected = golden.arrays("unet_ddim")
    encoder = narrow_unet().step_encoder
    steps = torch.tensor(expected["timesteps"])
    assert_near(encoder.sinusoids(steps), expected["sinusoidal_embedding"])
    assert_near(encoder(steps), expected["step_embedding"])


def test_sampling_step_by_step() -> None:
    expected = golden.arrays("unet_ddim")
    diffusion = Diffusion(paper().diffusion.train_steps, paper().diffusion.inference_steps)
    assert_near(diffusion.scheduler.alphas_cumprod, expected["ddim_alphas_cumprod"], 1e-6)
    noise, condition = torch.tensor(expected["ddim_initial_noise"]), torch.tensor(expected["ddim_cond"])
    steps = list(diffusion.steps(narrow_unet(), noise, condition))
    assert [step.step for step in steps] == expected["ddim_timesteps"].tolist()
    for i, step in enumerate(steps):
        assert_near(step.output, expected["ddim_network_output_per_step"][i], absolute=1e-4)
        assert_near(step.latent, expected["ddim_prev_sample_per_step"][i], absolute=1e-4)
    assert_near(diffusion.sample(narrow_unet(), noise, condition), expected["ddim_final"], absolute=1e-4)


def end_to_end() -> tuple[PolicyGenerator, dict[str, Any], dict[str, Any]]:
    """The official toy generator (paper sizes, narrower U-Net), processed rows and expected numbers."""
    generator = PolicyGenerator(paper_with_a_narrow_unet(), SPEC.chunks, 1020, 117, seed=0)
    load(generator.unet, golden.weights("generator_end_to_end"), UNET_NAMES)
    load(generator.autoencoder, golden.weights("autoencoder"), AUTOENCODER_NAMES)
    rows = torch.load(golden.FOLDER / "processed" / "door-open.pt", weights_only=True)
    generator.latent_limits.fit(rows["param"])
    generator.traj_embedding_limits.fit(rows["traj"])
    generator.task_embedding_limits.fit(rows["task"])
    return generator.eval(), rows, golden.arrays("generator_end_to_end")


def stored_noise(index: int) -> Any:
    about = golden.record("generator_end_to_end")["noise"]
    noise = golden.formula(about["seed"], index, tuple(about["shape"]), about["scale"])
    assert golden.sha256(noise) == about["sha256"][index]
    return torch.tensor(noise)


def test_generator_end_to_end() -> None:
    generator, rows, expected = end_to_end()
    condition = generator.condition(rows["traj"][:4], rows["task"][:4])
    latent = generator.sample_latent(condition, stored_noise(0))
    assert_near(latent, expected["generated_latent"], absolute=1e-4)
    decoded = generator.autoencoder.decode(latent).detach()
    assert_near(decoded[:, :200], expected["decoded_first200"])
    assert_near(decoded[:, -200:], expected["decoded_last200"])
    assert_near(np.linalg.norm(decoded.numpy().astype(np.float64), axis=1), expected["decoded_l2"])


def test_generator_training_loss() -> None:
    generator, rows, expected = end_to_end()
    condition = generator.condition(rows["traj"][:4], rows["task"][:4])
    latent, noise, steps = rows["param"][:4], stored_noise(1), torch.tensor(expected["loss_timesteps"])
    noisy = generator.diffusion.add_noise(generator.latent_limits(latent), noise, steps)
    assert_near(noisy[..., :64], expected["noisy_first64"])
    assert_near(generator.diffusion_loss(latent, condition, noise, steps), expected["loss"])


def test_processed_dataset_is_reproduced() -> None:
    """What the released script writes: latents without noise or clamp, embeddings of raw inputs."""
    raw = torch.load(golden.FOLDER / "door-open.pt", weights_only=True)
    processed = torch.load(golden.FOLDER / "processed" / "door-open.pt", weights_only=True)
    generator = PolicyGenerator(paper_with_a_narrow_unet(), SPEC.chunks, 1020, 117, seed=0)
    load(generator.autoencoder, golden.weights("autoencoder"), AUTOENCODER_NAMES)
    load(generator.embedding, golden.weights("behavior_embedding"), EMBEDDING_NAMES)
    assert_near(generator.autoencoder.encode(raw["param"]), processed["param"])
    # The input limits of a fresh generator are the identity, which is the release's raw input (trap 2).
    traj_embedding, task_embedding = generator.embed(raw["traj"], raw["task"])
    assert_near(traj_embedding, processed["traj"])
    assert_near(task_embedding, processed["task"])


def test_paper_configuration_has_the_published_sizes() -> None:
    config = paper()
    assert (config.autoencoder.width, config.autoencoder.layer_norm, config.autoencoder.init) == (
        1024,
        True,
        "random",
    )
    assert (config.embedding.hidden, config.embedding.width) == (1024, 128)
    assert config.diffusion.widths == (512, 1024, 2048)
    assert (config.diffusion.kernel, config.diffusion.groups, config.diffusion.step_width) == (3, 8, 128)
    assert (config.diffusion.train_steps, config.diffusion.inference_steps) == (100, 10)
    for training, batch, epochs, lr, decay in (
        (config.autoencoder.training, 32, 3000, 1e-3, 5e-3),
        (config.embedding.training, 16, 400, 1e-4, 1e-4),
        (config.diffusion.training, 128, 1000, 2e-4, 5e-4),
    ):
        assert (training.batch, training.epochs, training.lr, training.weight_decay) == (
            batch,
            epochs,
            lr,
            decay,
        )
        assert (training.steps, training.first_cycle, training.cycle_growth) == (0, 10, 2)
    assert config.diffusion.training.betas == (0.95, 0.999)
    # On the meta device, where weights take no memory: the full network is the golden one, level by level.
    with torch.device("meta"):
        unet = ConditionalUNet(1024, 256, config.diffusion.widths)
    assert [name for name, _ in unet.named_parameters()] == [n for n, _ in narrow_unet().named_parameters()]
