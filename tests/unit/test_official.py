"""The released `.pt` formats: what is written and read back, and the content that is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from official_samples import (
    PAPER,
    ROWS,
    SMALL,
    processed_tensors,
    refusal,
    saved,
    small_params,
    small_tensors,
    some_behaviors,
)
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
from maa_bench.errors import DataError
from maa_bench.prompts import Behaviors
from maa_bench.suite import load_suite

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
        "import official_samples as t\n"
        "from maa_bench.dataset.official import write_raw\n"
        "write_raw(pathlib.Path(sys.argv[1]), t.small_params(), t.some_behaviors(t.SMALL, t.ROWS))\n"
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


# --- names


@pytest.mark.parametrize("name", ["door-open.pt", "door-open-v3.pt", "door_open.pt", "Door_Open_v2.pt", "door-open"])
def test_a_file_names_its_task(name: str) -> None:
    assert task_of_file(Path("processed") / name, load_suite("metaworld-v1")) == "door-open"


def test_an_unknown_name_asks_for_the_task() -> None:
    with pytest.raises(DataError, match=r"'dor_open' is no task .* with --task\. Did you mean 'door-open'"):
        task_of_file(Path("dor_open.pt"), load_suite("metaworld-v1"))
