"""Suites and protocols from enemies: TOML that is damaged, of other types, or a path to somewhere else."""

from __future__ import annotations

import json
import os
import tomllib
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import frugal, mangled, mutated, refused_cleanly
from toml_text import to_toml

from maa_bench import suite_layouts
from maa_bench.files import sha256_of
from maa_bench.named_protocol import load_protocol
from maa_bench.suite import LAYOUT_SETS, load_suite

ORDINARY, HEAVY = 50, 500
TOKENS = (
    b"nan",
    b"inf",
    b"1e999",
    b"9" * 5_000,
    b"x = " + b"[" * 5_000,
    b"a." * 2_000,
    b"\xff",
    b"\0",
    b"[[a]]\n[a]\n",
)
VALUES: tuple[Any, ...] = (
    *(True, False, 0, -1, 1, 10**18, 10**30, 1e308, "", "x", "x" * 5_000, "../x", "/etc/passwd", "a\0b", "a\u202eb"),
    *([], {}, [[]], [1, 2], ["x"], [10**9], {"x": 1}, ["relu"] * 300, [10**9] * 3),
)


def suite(folder: Path) -> bytes:
    """The toy suite's file, with its layouts beside the one to be written."""
    source = resources.files("maa_bench.tasks") / "toy-v1.toml"
    (folder / "toy-v1.layouts.npz").write_bytes(
        (resources.files("maa_bench.tasks") / "toy-v1.layouts.npz").read_bytes()
    )
    return source.read_bytes()


def protocol(folder: Path) -> bytes:
    """A protocol's file, under a name of its own."""
    source = resources.files("maa_bench") / "protocols" / "noisy-v1.toml"
    return source.read_bytes().replace(b'"noisy-v1"', b'"noisy-x1"')


def read_suite(path: Path) -> None:
    """Load a suite and its layouts, and look at what a plan looks at."""
    loaded = load_suite(str(path))
    for name in loaded.tasks:
        loaded.layouts(name, "test")
    assert loaded.policy.n_params


def read_protocol(path: Path) -> None:
    """Load a protocol and its conditions."""
    for condition in load_protocol(str(path)).conditions():
        assert condition.condition


KINDS = [(suite, read_suite), (protocol, read_protocol)]
Make, Read = Callable[[Path], bytes], Callable[[Path], None]


def toml(value: Any) -> bytes:
    """TOML of whatever JSON-able is left of a document; arrays of tables are written inline."""

    def inline(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {inline(inner)}" for key, inner in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(inline, value)) + "]"
        return json.dumps(value)

    items = value.items() if isinstance(value, dict) else ()
    return "\n".join(f"{json.dumps(key)} = {inline(inner)}" for key, inner in items).encode()


def fuzz(tmp_path: Path, make: Make, read: Read, runs: int, seed: int) -> int:
    sound = make(tmp_path)
    raw = tomllib.loads(sound.decode())
    path = tmp_path / "toy-v1.toml"
    refused = 0
    with frugal():
        for run in range(runs):
            rng = np.random.default_rng([seed, run])
            path.write_bytes(toml(mutated(raw, rng, VALUES)) if run % 2 else mangled(sound, rng, TOKENS))
            refused += refused_cleanly(f"run {run}", lambda: read(path))
    return refused


@pytest.mark.parametrize(("make", "read"), KINDS)
def test_mutated_files_are_refused_in_one_line(tmp_path: Path, make: Make, read: Read) -> None:
    assert fuzz(tmp_path, make, read, ORDINARY, 0) > ORDINARY / 2


@pytest.mark.heavy
@pytest.mark.parametrize(("make", "read"), KINDS)
def test_hundreds_of_mutated_files_are_refused_in_one_line(tmp_path: Path, make: Make, read: Read) -> None:
    assert fuzz(tmp_path, make, read, HEAVY, 1) > HEAVY / 2


@pytest.mark.parametrize(("make", "read"), KINDS)
def test_what_is_no_small_file_is_not_read(tmp_path: Path, make: Make, read: Read) -> None:
    path = tmp_path / "toy-v1.toml"
    path.write_bytes(make(tmp_path))
    read(path)
    with path.open("r+b") as file:
        file.truncate(20 << 30)
    with frugal():
        assert refused_cleanly("giant", lambda: read(path))
    path.unlink()
    os.mkfifo(path)
    assert refused_cleanly("pipe", lambda: read(path))
    assert refused_cleanly("name", lambda: read(Path("a\0b.toml")))
    assert refused_cleanly("long name", lambda: read(tmp_path / ("x" * 5_000 + ".toml")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'file = "toy-v1.layouts.npz"', b'file = "../toy-v1.layouts.npz"'),
        (b'file = "toy-v1.layouts.npz"', b'file = "a\\u0000b"'),
        (b'file = "toy-v1.layouts.npz"', b'file = "' + b"x" * 5_000 + b'"'),
        (b'name = "toy-v1"', b'name = "../x"'),
        (b'name = "toy-v1"', '"name" = "t\u043ey-v1"'.encode()),
        (b"horizon = ", b"horizon = 1000000000000"),
        (b"hidden = [", b"hidden = [1000000000, "),
        (b'simulator = "toy"', b'simulator = "os"'),
    ],
)
def test_tricks_in_suites_are_refused(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "toy-v1.toml"
    sound = suite(tmp_path)
    assert old in sound
    path.write_bytes(sound.replace(old, new, 1))

    def use() -> None:
        from maa_bench.simulators import opened_task

        read_suite(path)
        loaded = load_suite(str(path))
        opened_task(loaded, next(iter(loaded.tasks)))

    assert refused_cleanly(str(new[:60]), use)


def test_mangled_layouts_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes a suite makes its hash, too."""
    monkeypatch.setattr(suite_layouts, "MAX_LAYOUTS", 2_000_000)
    path, text = tmp_path / "toy-v1.toml", suite(tmp_path).decode()
    layouts = tmp_path / "toy-v1.layouts.npz"
    sound = layouts.read_bytes()
    right = sha256_of(layouts)
    refused = 0
    for run in range(40):
        layouts.write_bytes(mangled(sound, np.random.default_rng(run)))
        path.write_text(text.replace(right, sha256_of(layouts)))
        refused += refused_cleanly(f"run {run}", lambda: read_suite(path))
    with frugal():
        for shape, stored in (("(1000000000, 2)", 0), ("(50000, 2)", 800_000)):
            header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
            bomb = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(stored)
            with zipfile.ZipFile(layouts, "w", zipfile.ZIP_DEFLATED) as archive:
                for task in load_suite("toy-v1").tasks:
                    for layout_set in LAYOUT_SETS:
                        archive.writestr(f"{task}/{layout_set}.npy", bomb)
            del bomb
            path.write_text(text.replace(right, sha256_of(layouts)))
            refused += refused_cleanly(shape, lambda: read_suite(path))
    assert refused > 30


def test_the_writer_of_these_tests_writes_toml() -> None:
    raw = tomllib.loads((resources.files("maa_bench.tasks") / "toy-v1.toml").read_text())
    assert tomllib.loads(toml(raw).decode()) == tomllib.loads(to_toml(raw)) == raw
