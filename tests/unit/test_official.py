"""The released `.pt` formats: what is written, what is read back, and what of a stranger's file is refused."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest
import torch
from torch import nn

from maa_bench.dataset.official import (
    ProcessedFile,
    RawFile,
    read_any,
    read_processed,
    read_raw,
    task_of_file,
    write_processed,
    write_raw,
)
from maa_bench.dataset.official_processed import Weights, decode, process, read_weights
from maa_bench.errors import DataError
from maa_bench.policy import PolicySpec
from maa_bench.prompts import Behaviors
from maa_bench.suite import load_suite

PAPER = PolicySpec(39, (128, 128), 4, ("elu", "relu"))
SMALL = PolicySpec(4, (8,), 2, ("tanh",))
"""76 parameters, traj 200, task 12."""
ROWS = 3


def small_tensors() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "param": torch.tensor(rng.standard_normal((ROWS, 76)), dtype=torch.float32),
        "traj": torch.tensor(rng.standard_normal((ROWS, 200))),
        "task": torch.tensor(rng.standard_normal((ROWS, 12))),
    }


def processed_tensors() -> dict[str, Any]:
    return {"param": torch.randn(ROWS, 2, 16), "traj": torch.randn(ROWS, 8), "task": torch.randn(ROWS, 8)}


def some_behaviors(spec: PolicySpec, n: int) -> Behaviors:
    rng = np.random.default_rng(1)
    return Behaviors(
        rng.standard_normal((n, 60, spec.obs_dim)).astype(np.float32),
        rng.uniform(-1, 1, (n, 60, spec.action_dim)).astype(np.float32),
        rng.standard_normal((n, 3, spec.obs_dim)).astype(np.float32),
    )


def small_params(n: int = ROWS) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((n, 76)).astype(np.float32)


def refusal(path: Path, read: Callable[[Path], Any] = lambda path: read_any(path, SMALL)) -> str:
    """The one line that reading a file ends in; it names the file and does not advise to load it unsafely."""
    with pytest.raises(DataError) as caught:
        read(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    assert len(line) - len(str(path)) < 700
    assert "weights_only" not in line
    return line


def saved(folder: Path, content: Any, name: str = "door-open.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


# --- writing and reading back


def test_a_written_raw_file_has_the_keys_types_and_order_of_the_release(tmp_path: Path) -> None:
    path = tmp_path / "door-open.pt"
    rng = np.random.default_rng(3)
    params = rng.standard_normal((2, 22664)).astype(np.float32)
    behaviors = some_behaviors(PAPER, 2)
    write_raw(path, params, behaviors)

    content = torch.load(path, weights_only=True)
    assert {key: (value.dtype, tuple(value.shape)) for key, value in content.items()} == {
        "param": (torch.float32, (2, 22664)),
        "traj": (torch.float64, (2, 1020)),
        "task": (torch.float64, (2, 117)),
    }
    for row in range(2):
        expected: list[float] = []
        for step in range(0, 60, 3):  # s_0, a_0, a_1, a_2, s_3, a_3, ...
            expected += behaviors.observations[row, step].tolist()
            for action in behaviors.actions[row, step : step + 3]:
                expected += action.tolist()
        assert content["traj"][row].tolist() == expected
        assert content["task"][row].tolist() == [x for state in behaviors.outcome[row].tolist() for x in state]
        assert content["param"][row].numpy().tobytes() == params[row].tobytes()


def test_raw_files_are_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "reach.pt"
    params, behaviors = small_params(), some_behaviors(SMALL, ROWS)
    write_raw(path, params, behaviors)
    for raw in (read_raw(path, SMALL), read_any(path, SMALL)):
        assert isinstance(raw, RawFile)
        assert (raw.params.dtype, raw.traj.dtype, raw.task.dtype) == (np.float32, np.float64, np.float64)
        np.testing.assert_array_equal(raw.params, params)
        np.testing.assert_array_equal(raw.traj, behaviors.trajectory_vectors())
        np.testing.assert_array_equal(raw.task, behaviors.outcome_vectors())


def test_processed_files_are_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "reach.pt"
    rng = np.random.default_rng(4)
    file = ProcessedFile(*(rng.standard_normal(s).astype(np.float32) for s in ((3, 2, 16), (3, 8), (3, 8))))
    write_processed(path, file)
    for again in (read_processed(path), read_any(path, SMALL)):
        assert isinstance(again, ProcessedFile)
        np.testing.assert_array_equal(again.latents, file.latents)
        np.testing.assert_array_equal(again.traj, file.traj)
        np.testing.assert_array_equal(again.task, file.task)


def test_latents_may_be_flat_rows_as_for_the_released_loader(tmp_path: Path) -> None:
    latents = torch.randn(ROWS, 2, 1024)
    path = saved(tmp_path, {**processed_tensors(), "param": latents.reshape(ROWS, 2048)})
    file = read_any(path, SMALL)
    assert isinstance(file, ProcessedFile)
    np.testing.assert_array_equal(file.latents, latents.numpy())


def test_the_same_rows_give_the_same_bytes_under_any_name_and_in_any_process(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.pt", small_params(), some_behaviors(SMALL, ROWS))
    write_raw(tmp_path / "b.pt", small_params().copy(order="F"), some_behaviors(SMALL, ROWS))
    code = (
        "import sys, pathlib, maa_bench.dataset.official_processed\n"
        "assert 'torch' not in sys.modules, 'torch is imported only when a file is read or written'\n"
        "import test_official as t\n"
        "t.write_raw(pathlib.Path(sys.argv[1]), t.small_params(), t.some_behaviors(t.SMALL, t.ROWS))\n"
    )
    here = Path(__file__).parents
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(map(str, [here[0], *here[1:3]]))}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "c.pt")], check=True, env=environment)
    first = (tmp_path / "a.pt").read_bytes()
    assert first == (tmp_path / "b.pt").read_bytes()
    assert first == (tmp_path / "c.pt").read_bytes()


@pytest.mark.parametrize(
    ("params", "behaviors", "line"),
    [
        (small_params(2), some_behaviors(SMALL, 3), r"param 2, traj 3, task 3"),
        (small_params(0), some_behaviors(SMALL, 0), r"no rows"),
        (np.full((3, 76), np.nan, np.float32), some_behaviors(SMALL, 3), r"row 0 of 'param' .*NaN"),
    ],
)
def test_nothing_wrong_is_written_over_a_good_file(
    tmp_path: Path, params: np.ndarray, behaviors: Behaviors, line: str
) -> None:
    path = tmp_path / "reach.pt"
    path.write_bytes(b"what was there")
    with pytest.raises(DataError, match=line):
        write_raw(path, params, behaviors)
    assert [file.name for file in tmp_path.iterdir()] == ["reach.pt"]
    assert path.read_bytes() == b"what was there"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_precision_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {key: tensor.to(dtype) for key, tensor in small_tensors().items()}
    tensors["param"] = nn.Parameter(tensors["param"])
    raw = read_raw(saved(tmp_path, tensors), SMALL)
    np.testing.assert_array_equal(raw.params, tensors["param"].detach().to(torch.float32).numpy())
    np.testing.assert_array_equal(raw.traj, tensors["traj"].to(torch.float64).numpy())


def test_turned_and_cut_tensors_are_read_in_their_own_order(tmp_path: Path) -> None:
    tensors = small_tensors()
    turned = {**tensors, "param": tensors["param"].T.contiguous().T, "task": torch.cat([tensors["task"]] * 2)[:ROWS]}
    raw = read_raw(saved(tmp_path, turned), SMALL)
    np.testing.assert_array_equal(raw.params, tensors["param"].numpy())
    np.testing.assert_array_equal(raw.task, tensors["task"].numpy())
    assert raw.params.flags.c_contiguous


# --- content that does not fit


def with_bad_row(key: str, row: int, value: float) -> dict[str, Any]:
    tensors = small_tensors()
    tensors[key][row, -1] = value
    return tensors


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"param": torch.ones(3, 100)}, r"'param' has rows of 100 numbers, but gaussian-4-8tanh-2 needs 76"),
        ({"traj": torch.ones(3, 199)}, r"'traj' has rows of 199 numbers, but \S+ needs 200"),
        ({"task": torch.ones(3, 117)}, r"'task' has rows of 117 numbers, but \S+ needs 12"),
        ({"param": torch.ones(76)}, r"'param' has shape \(76,\)"),
        ({"traj": torch.ones(3, 20, 10)}, r"'traj' has shape \(3, 20, 10\)"),
        ({"param": torch.ones(4, 76)}, r"numbers of rows differ \(param 4, traj 3, task 3\)"),
        ({key: value[:0].clone() for key, value in small_tensors().items()}, r"no rows"),
        (with_bad_row("param", 2, np.nan), r"row 2 of 'param' .* NaN or infinity; 1 of 3 rows"),
        (with_bad_row("traj", 1, -np.inf), r"row 1 of 'traj' .* NaN or infinity"),
        (with_bad_row("task", 0, np.inf), r"row 0 of 'task' .* NaN or infinity"),
        ({"param": torch.full((3, 76), 1e300, dtype=torch.float64)}, r"row 0 of 'param' .* infinity; 3 of 3 rows"),
        ({"param": torch.ones(3, 76, dtype=torch.int64)}, r"'param' holds torch.int64 numbers"),
        ({"param": torch.ones(3, 76, dtype=torch.complex64)}, r"'param' holds torch.complex64 numbers"),
        ({"param": [[0.0] * 76] * 3}, r"'param' is a list, not a tensor"),
        ({"param": torch.ones(3, 76).to_sparse()}, r"'param' is not stored as plain rows"),
        ({"param": torch.ones(3, 76, device="meta")}, r"'param' is not stored as plain rows"),
        ({"param": torch.ones(1).expand(10**9, 76)}, r"'param' claims more numbers than the file holds"),
        ({"labels": torch.ones(3)}, r"has unknown keys: 'labels'; .* param, traj and task"),
        ({"x" * 9999 + "\n\x1b[31m": 0}, r"has unknown keys: 'xxx"),
    ],
)
def test_wrong_content_is_one_clear_line(tmp_path: Path, change: dict[str, Any], line: str) -> None:
    path = saved(tmp_path, {**small_tensors(), **change})
    assert re.search(line, refusal(path))


@pytest.mark.filterwarnings("ignore")  # torch calls its nested tensors a prototype
def test_rows_of_different_lengths_are_one_clear_line(tmp_path: Path) -> None:
    nested = torch.nested.nested_tensor([torch.ones(75), torch.ones(76)])
    assert "'param' is not stored as plain rows" in refusal(saved(tmp_path, {**small_tensors(), "param": nested}))


@pytest.mark.parametrize("key", ["param", "traj", "task"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    path = saved(tmp_path, {name: tensor for name, tensor in small_tensors().items() if name != key})
    assert f"lacks {key};" in refusal(path)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"param": torch.ones(3, 3, 16)}, r"'param' has shape \(3, 3, 16\); latents"),
        ({"traj": torch.ones(3, 9)}, r"'traj' has rows of 9 numbers and 'task' of 8"),
        ({"task": torch.ones(2, 8)}, r"numbers of rows differ \(param 3, traj 3, task 2\)"),
        ({"param": torch.full((3, 2, 16), float("nan"))}, r"row 0 of 'param' .* NaN"),
    ],
)
def test_wrong_processed_content_is_one_clear_line(tmp_path: Path, change: dict[str, Any], line: str) -> None:
    assert re.search(line, refusal(saved(tmp_path, {**processed_tensors(), **change})))


def test_a_tensor_alone_is_no_data_file(tmp_path: Path) -> None:
    assert "holds a Tensor, not a dict" in refusal(saved(tmp_path, torch.ones(3)))


# --- bytes that are no such file


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole = saved(tmp_path, small_tensors()).read_bytes()
    path = tmp_path / "cut.pt"
    for length in [1, 3, 4, 30, *range(100, len(whole), 997), len(whole) - 1]:
        path.write_bytes(whole[:length])
        line = refusal(path)
        assert ("truncated" in line) == (length >= 4), line
    path.write_bytes(b"")
    assert "is empty" in refusal(path)


@pytest.mark.parametrize("key", ["param", "traj", "task"])
def test_one_altered_bit_is_noticed(tmp_path: Path, key: str) -> None:
    tensors = small_tensors()
    path = saved(tmp_path, tensors)
    data = bytearray(path.read_bytes())
    data[data.index(tensors[key].numpy().tobytes()) + 3] ^= 1
    path.write_bytes(data)
    assert not torch.equal(torch.load(path, weights_only=True)[key], tensors[key]), "torch itself does not notice"
    assert re.search(r"altered, the checksum of 'door-open/data/\d'", refusal(path))


def test_other_files_are_no_data_files(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refusal(path)
    path.write_text("Entry not found")
    assert "is no archive as torch.save has written" in refusal(path)
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    assert "a zip archive, but none of tensors" in refusal(tmp_path / "a.npz")
    with zipfile.ZipFile(saved(tmp_path, small_tensors()), "a") as archive:
        archive.writestr("door-open/constants.pkl", b"")  # what tells TorchScript's programs from tensors
    assert "a zip archive, but none of tensors" in refusal(tmp_path / "door-open.pt")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("door-open/data.pkl", b"\x80\x02no pickle")
        archive.writestr("door-open/version", b"3")
    assert "is refused" in refusal(path)
    assert "is no file: name the .pt file" in refusal(tmp_path)
    assert "no file at" in refusal(tmp_path / "nothing.pt")


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path, {"param": torch.zeros(10**6)})
    path = tmp_path / "packed.pt"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry))
    assert "holds more than its own size" in refusal(path)


# --- files that would run code


class Attack:
    """Unpickled without care, it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.marker,)


def as_zip(path: Path, attack: Attack) -> None:
    torch.save({**small_tensors(), "param": attack}, path)


def as_legacy(path: Path, attack: Attack) -> None:
    torch.save({**small_tensors(), "param": attack}, path, _use_new_zipfile_serialization=False)


def as_pickle(path: Path, attack: Attack) -> None:
    path.write_bytes(pickle.dumps({"param": attack}, protocol=2))


def as_tar(path: Path, attack: Attack) -> None:
    data = pickle.dumps(attack, protocol=2)
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("write", [as_zip, as_legacy, as_pickle, as_tar])
@pytest.mark.parametrize("read", [lambda path: read_any(path, SMALL), read_weights], ids=["data", "weights"])
def test_a_malicious_file_runs_nothing(
    tmp_path: Path, write: Callable[[Path, Attack], None], read: Callable[[Path], Any]
) -> None:
    path, marker = tmp_path / "door-open.pt", tmp_path / "executed"
    write(path, Attack(marker))
    line = refusal(path, read)
    if write is as_zip:
        assert "(posix.mkdir), and nothing of it was run" in line or "(nt.mkdir)" in line
    assert [file.name for file in tmp_path.iterdir()] == ["door-open.pt"]

    with contextlib.suppress(Exception):
        torch.load(path, weights_only=False)
    assert marker.is_dir(), "the attack is a real one"


def test_old_formats_are_refused_even_when_harmless(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    torch.save(small_tensors(), path, _use_new_zipfile_serialization=False)
    assert "since torch 1.6" in refusal(path)


def test_a_torch_that_cannot_read_safely_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, small_tensors())
    monkeypatch.setattr(torch, "__version__", "2.9.1+cu128")
    with pytest.raises(DataError, match=r"needs torch 2\.10 or newer, here is 2\.9\.1"):
        read_any(path, SMALL)
    monkeypatch.setattr(torch, "__version__", "2.10.0+cpu")
    assert isinstance(read_any(path, SMALL), RawFile)


# --- names


@pytest.mark.parametrize("name", ["door-open.pt", "door-open-v3.pt", "door_open.pt", "Door_Open_v2.pt", "door-open"])
def test_a_file_names_its_task(name: str) -> None:
    assert task_of_file(Path("processed") / name, load_suite("metaworld-v1")) == "door-open"


def test_an_unknown_name_asks_for_the_task() -> None:
    with pytest.raises(DataError, match=r"'dor_open' is no task .* with --task\. Did you mean 'door-open'"):
        task_of_file(Path("dor_open.pt"), load_suite("metaworld-v1"))


# --- the networks


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
