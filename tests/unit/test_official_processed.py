"""Processed `.pt` files: the networks that make them, as torch's own layers and as the official implementation's."""

from __future__ import annotations

from pathlib import Path

import golden
import numpy as np
import pytest
import torch
from official_samples import PAPER, saved, small_tensors, some_behaviors
from torch import nn

from maa_bench.dataset.official import (
    ProcessedFile,
    RawFile,
    read_any,
    read_processed,
    read_raw,
    write_processed,
    write_raw,
)
from maa_bench.dataset.official_processed import Weights, decode, process, read_weights
from maa_bench.errors import DataError


def networks() -> tuple[nn.ModuleDict, nn.ModuleDict]:
    """Small networks of torch's own layers, with the released tensor names."""
    torch.manual_seed(0)
    pairs = {"input_parameter_projections": [(40, 16), (36, 16)], "output_parameter_projections": [(16, 40), (16, 36)]}
    linear = {
        name: nn.ModuleList(nn.Sequential(nn.Linear(*sizes, bias=False)) for sizes in chunks)
        for name, chunks in pairs.items()
    }
    autoencoder = nn.ModuleDict({**linear, "ln_in": nn.LayerNorm(16)})
    nn.init.normal_(autoencoder["ln_in"].weight)
    nn.init.normal_(autoencoder["ln_in"].bias)
    trajectory = [nn.Linear(200, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 8)]
    task = [nn.Linear(12, 24), nn.LayerNorm(24), nn.Tanh(), nn.Linear(24, 8)]
    return autoencoder, nn.ModuleDict({"traj_embed": nn.Sequential(*trajectory), "task_embed": nn.Sequential(*task)})


def as_weights(module: nn.Module) -> Weights:
    return Weights(Path("weights.pt"), module.state_dict())


def small_raw() -> RawFile:
    tensors = small_tensors()
    return RawFile(tensors["param"].numpy(), tensors["traj"].numpy(), tensors["task"].numpy())


@torch.no_grad()
def test_processing_is_that_of_the_same_layers_in_torch() -> None:
    autoencoder, embedding = networks()
    raw = small_raw()
    file = process(raw, as_weights(autoencoder), as_weights(embedding))
    chunks = torch.tensor(raw.params).split([40, 36], dim=1)
    encoders, decoders = autoencoder["input_parameter_projections"], autoencoder["output_parameter_projections"]
    tokens = torch.stack([encoder(chunk) for encoder, chunk in zip(encoders, chunks, strict=True)], 1)
    expected = autoencoder["ln_in"](tokens)
    near = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(file.latents, expected.numpy(), **near)
    np.testing.assert_allclose(file.traj, embedding["traj_embed"](torch.tensor(raw.traj).float()).numpy(), **near)
    np.testing.assert_allclose(file.task, embedding["task_embed"](torch.tensor(raw.task).float()).numpy(), **near)
    decoded = torch.cat([decoder(expected[:, i]) for i, decoder in enumerate(decoders)], 1)
    np.testing.assert_allclose(decode(file, as_weights(autoencoder)), decoded.numpy(), **near)


def test_weights_are_read_from_state_dicts_and_lightning_checkpoints(tmp_path: Path) -> None:
    autoencoder, embedding = networks()
    expected = process(small_raw(), as_weights(autoencoder), as_weights(embedding))
    plain = saved(tmp_path, autoencoder.state_dict(), "autoencoder.pt")
    state = {f"model.{name}": tensor for name, tensor in embedding.state_dict().items()}
    lightning = saved(tmp_path, {"epoch": 7, "state_dict": {**state, "normalizer.scale": torch.ones(3)}}, "e.ckpt")
    file = process(small_raw(), read_weights(plain), read_weights(lightning))
    for name in ("latents", "traj", "task"):
        np.testing.assert_array_equal(getattr(file, name), getattr(expected, name))


def test_weights_that_do_not_fit_are_one_clear_line(tmp_path: Path) -> None:
    autoencoder, embedding = map(as_weights, networks())
    raw = small_raw()
    with pytest.raises(DataError, match=r"weights\.pt lacks the weights 'input_parameter_projections\.0\.0\.weight'"):
        process(raw, embedding, autoencoder)
    longer = RawFile(np.ones((3, 77), np.float32), raw.traj, raw.task)
    with pytest.raises(DataError, match=r"encodes policies of 40 \+ 36 parameters, these have 77"):
        process(longer, autoencoder, embedding)
    shorter = RawFile(raw.params, raw.traj[:, :51], raw.task)
    with pytest.raises(DataError, match=r"'traj_embed\.0\.weight' have shape \(32, 200\), here \(any, 51\) is needed"):
        process(shorter, autoencoder, embedding)
    wide = ProcessedFile(*(np.ones(shape, np.float32) for shape in ((1, 2, 17), (1, 8), (1, 8))))
    with pytest.raises(DataError, match=r"'output_parameter_projections\.0\.0\.weight' have shape \(40, 16\)"):
        decode(wide, autoencoder)
    broken = Weights(Path("w.pt"), {**autoencoder.tensors, "ln_in.bias": torch.full((16,), float("nan"))})
    with pytest.raises(DataError, match=r"w\.pt: weights 'ln_in\.bias' hold NaN"):
        process(raw, broken, embedding)
    with pytest.raises(DataError, match="'state_dict' is a int"):
        read_weights(saved(tmp_path, {"state_dict": 3}))


# --- the official implementation's own files and numbers


@pytest.fixture(scope="module")
def official_autoencoder() -> Weights:
    return official_weights("autoencoder")


def official_weights(name: str) -> Weights:
    return Weights(Path(name), {key: torch.tensor(array) for key, array in golden.weights(name).items()})


@pytest.mark.golden
@golden.needs_golden
def test_the_official_raw_file_is_read_number_by_number() -> None:
    raw = read_any(golden.FOLDER / "door-open.pt", PAPER)
    assert isinstance(raw, RawFile)
    about = golden.record("dataset")["raw"]
    hashes = {key: value["sha256"] for key, value in about["keys"].items()}
    assert {
        "param": golden.sha256(raw.params),
        "traj": golden.sha256(raw.traj),
        "task": golden.sha256(raw.task),
    } == hashes
    formula = about["formula"]
    scale = np.empty(22664, np.float32)
    for segment in formula["param_segments"]:
        scale[segment["start"] : segment["stop"]] = segment["scale"]
    np.testing.assert_array_equal(raw.params, golden.formula(formula["seed"], 0, (12, 22664)) * scale)
    for index, (array, factor) in enumerate(((raw.traj, 0.5), (raw.task, 0.3)), start=1):
        drawn = np.random.default_rng([formula["seed"], index]).standard_normal(array.shape)
        np.testing.assert_array_equal(array, factor * drawn)


@pytest.mark.golden
@golden.needs_golden
def test_processing_the_official_raw_file_gives_the_official_processed_one(official_autoencoder: Weights) -> None:
    raw = read_raw(golden.FOLDER / "door-open.pt", PAPER)
    expected = read_any(golden.FOLDER / "processed" / "door-open.pt", PAPER)
    assert isinstance(expected, ProcessedFile)
    hashes = {key: value["sha256"] for key, value in golden.record("dataset")["processed"]["keys"].items()}
    assert golden.sha256(expected.latents) == hashes["param"]
    file = process(raw, official_autoencoder, official_weights("behavior_embedding"))
    for name in ("latents", "traj", "task"):
        ours, theirs = getattr(file, name), getattr(expected, name)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.golden
@golden.needs_golden
def test_latents_are_decoded_as_officially(official_autoencoder: Weights) -> None:
    expected = golden.arrays("autoencoder")
    none = np.zeros((len(expected["encode"]), 128), np.float32)
    decoded = decode(ProcessedFile(expected["encode"], none, none), official_autoencoder)
    assert (decoded.dtype, decoded.shape) == (np.float32, (4, 22664))
    for name, part in (
        ("first200", decoded[:, :200]),
        ("5020_5220", decoded[:, 5020:5220]),
        ("last200", decoded[:, -200:]),
    ):
        np.testing.assert_allclose(part, expected[f"decode_{name}"], rtol=1e-5, atol=1e-5)
    norms = np.linalg.norm(decoded.astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, expected["decode_l2"], rtol=1e-5)


@pytest.mark.golden
@golden.needs_golden
@pytest.mark.parametrize("processed", [False, True])
def test_a_reader_of_official_files_cannot_tell_ours_from_theirs(tmp_path: Path, processed: bool) -> None:
    theirs_path = golden.FOLDER / "processed" / "door-open.pt" if processed else golden.FOLDER / "door-open.pt"
    path = tmp_path / "door-open.pt"
    if processed:
        write_processed(path, read_processed(theirs_path))
    else:
        write_raw(path, read_raw(theirs_path, PAPER).params, some_behaviors(PAPER, 12))
    ours, theirs = (torch.load(file, weights_only=True) for file in (path, theirs_path))
    assert list(ours) == list(theirs)
    for key, tensor in theirs.items():
        assert (type(ours[key]), ours[key].dtype, ours[key].shape) == (type(tensor), tensor.dtype, tensor.shape)
        assert ours[key].is_contiguous()
        if processed or key == "param":
            assert torch.equal(ours[key], tensor)
