"""The Ray backend: same bytes as on this machine, also when a node dies; and one clear line where it cannot run.

That jobs mean the same to it as to the local executor is in test_execution.py.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maa_bench import cli
from maa_bench.errors import ClusterError
from maa_bench.execution import ray_node, ray_session
from maa_bench.execution.ray_cluster import RayExecutor
from maa_bench.main_job import run_methods
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol

ray_session.quieten()
ray = pytest.importorskip("ray")

NUMBERS = ["--shots", "4", "--candidates", "3", "--episodes", "4", "--select-episodes", "3"]

METHOD = '''
"""The mean of the training set and noise. A fit notes where it runs, and hangs once on the node that is to die."""
import os, time
from pathlib import Path
import numpy as np
from maa_bench.method import FlatPolicies, MethodCard

HERE = Path(__file__).parent


def node():
    import ray
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else "local"


class Mean:
    card = MethodCard(name="mean_of_seen", family="generator", summary="A stranger's.")

    def __init__(self, scale="small"):
        pass

    def fit(self, training_set, context):
        note = HERE / f"fit.{context.seed}.{time.time_ns()}"
        note.with_suffix(".part").write_text(node())
        note.with_suffix(".part").rename(note)
        victim = HERE / "victim"
        if victim.exists() and victim.read_text() == node():
            time.sleep(40)
        self.spec, self.params = training_set.spec, training_set.params.mean(axis=0)

    def generate(self, prompts, n, context):
        noise = context.rng(*prompts.task.encode()).standard_normal((n, len(self.params)))
        return FlatPolicies(self.spec, (self.params + 0.01 * noise).astype(np.float32))
'''


@pytest.fixture
def method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stranger's method in a folder that only this process has on its path."""
    name = f"stranger_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    return f"{name}:Mean"


@pytest.fixture
def two_nodes() -> Iterator[tuple[Any, Any]]:
    """A running Ray cluster: a head and a second node, of one CPU each; (cluster, second node)."""
    from ray.cluster_utils import Cluster

    ray_session.quieten()
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "_system_config": quick})
    second = cluster.add_node(num_cpus=1)
    try:
        yield cluster, second
    finally:
        ray.shutdown()
        cluster.shutdown()


def content(folder: Path, pattern: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob(pattern))}


def assert_same_results(one: Path, two: Path) -> None:
    for pattern in (
        "results/*/*/episodes.parquet",
        "results/*/*/candidates.safetensors",
        "cache/datasets/*/*/*/*.parquet",
    ):
        here, there = content(one, pattern), content(two, pattern)
        assert here
        assert here == there, pattern


def run(folder: Path, method: str, suite: Path, protocol: Protocol, **options: Any) -> None:
    defaults: dict[str, Any] = {"suite": str(suite), "protocol": protocol, "progress": Progress(quiet=True)}
    run_methods([method], results_dir=folder / "results", cache_dir=folder / "cache", **{**defaults, **options})


def test_a_run_from_an_empty_cache_has_the_bytes_of_the_local_one_and_json_is_all_of_standard_output(
    method: str,
    tiny_suite: Path,
    tiny_protocol: Protocol,
    tiny_cache_with_controls: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Dataset, fit, weights and episodes, on a cluster that the command starts for itself."""
    shutil.copytree(tiny_cache_with_controls, tmp_path / "local" / "cache")  # its dataset was built here, too
    run(tmp_path / "local", method, tiny_suite, tiny_protocol, workers=1)
    folder = tmp_path / "ray"
    place = ["--suite", str(tiny_suite), "--cache-dir", str(folder / "cache"), "--results-dir", str(folder / "results")]
    how = ["--backend", "ray", "--workers", "2", "--cell-timeout", "100", "--json"]
    capfd.readouterr()
    assert cli.main(["run", "--method", method, *place, *NUMBERS, *how]) == 0
    shown = capfd.readouterr()
    assert json.loads(shown.out)["method"]["name"] == "mean_of_seen"
    ours = r"no dataset .*: building it|.+: \d+/\d+ [a-z]+\b.*"
    assert all(re.fullmatch(ours, line) for line in shown.err.splitlines()), shown.err
    assert_same_results(tmp_path / "local", folder)
    assert not ray.is_initialized(), "what it started it ends"
    notes = [note.read_text() for note in sorted(tmp_path.glob("fit.0.*"), key=lambda note: note.name)]
    assert notes[0] == "local"
    assert len(notes) == 2
    assert notes[1] != "local", "the second run was Ray's"


@pytest.mark.heavy
def test_a_node_that_dies_in_a_run_costs_nothing(
    two_nodes: tuple[Any, Any],
    method: str,
    tiny_suite: Path,
    tiny_protocol: Protocol,
    tiny_cache: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    cluster, second = two_nodes
    for name in ("local", "ray"):
        shutil.copytree(tiny_cache / "datasets", tmp_path / name / "cache" / "datasets")
        shutil.copy(tiny_cache / "format.json", tmp_path / name / "cache")
    run(tmp_path / "local", method, tiny_suite, tiny_protocol, workers=1, seeds=4)
    for note in tmp_path.glob("fit.*"):
        note.unlink()
    (tmp_path / "victim").write_text(second.node_id)

    def kill_when_it_works() -> None:
        deadline = time.monotonic() + 60
        while not any(note.read_text() == second.node_id for note in tmp_path.glob("fit.[0-9].*[0-9]")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)

    killer = threading.Thread(target=kill_when_it_works, daemon=True)
    killer.start()
    capfd.readouterr()
    run(tmp_path / "ray", method, tiny_suite, tiny_protocol, seeds=4, backend="ray", address=cluster.address)
    killer.join()
    assert capfd.readouterr() == ("", ""), "Ray's account of it stays in Ray's logs"
    assert_same_results(tmp_path / "local", tmp_path / "ray")
    fits: dict[str, list[bool]] = {}
    for note in sorted(tmp_path.glob("fit.*"), key=lambda note: note.name):
        fits.setdefault(note.name.split(".")[1], []).append(note.read_text() == second.node_id)
    assert sorted(fits.values()) == [[False], [False], [False], [True, False]], "its fit was begun again elsewhere"
    ray.init(cluster.address)
    assert ray.cluster_resources()["CPU"] == 1, "a cluster that ran before is left running"


def one_line(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> str:
    """What a failing command says."""
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    return shown.err


def command(verb: str, tiny_suite: Path, folder: Path) -> list[str]:
    place = ["--suite", str(tiny_suite), "--cache-dir", str(folder / "cache"), "--backend", "ray", "--quiet"]
    return [*verb.split(), *place, *(NUMBERS if verb == "run" else [])]


@pytest.mark.parametrize("verb", ["run", "data build"])
def test_without_ray_there_is_one_line(
    verb: str, tiny_suite: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "ray" else find(name, *more))
    monkeypatch.chdir(tmp_path)
    assert "pip install 'maa-bench[ray]'" in one_line(capsys, command(verb, tiny_suite, tmp_path))


def test_a_dead_address_is_one_line_at_once(tiny_suite: Path, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    started = time.monotonic()
    for way in (["--address", address], ["--address", "auto"]):
        monkeypatch.setenv("RAY_ADDRESS", address)
        line = one_line(capsys, command("run", tiny_suite, tmp_path) + way)
        assert f"no Ray cluster at {address}" in line
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("address", ["nonsense", "ray://127.0.0.1:10001", "host:port", ":1", "127.0.0.1:99999999"])
def test_an_address_that_cannot_be_is_one_line(address: str, tiny_suite: Path, tmp_path: Path, capsys: Any) -> None:
    line = one_line(capsys, [*command("data build", tiny_suite, tmp_path), "--address", address])
    assert address in line


def test_an_address_without_ray_is_a_mistake(capsys: Any) -> None:
    line = one_line(capsys, ["run", "--suite", "toy-v1", "--address", "auto"])
    assert "--address" in line
    assert "--backend ray" in line
    assert "did you mean 'ray'" in one_line(capsys, ["run", "--suite", "toy-v1", "--backend", "rey"]).lower()


def test_other_software_on_a_node_is_named() -> None:
    here = {"numpy": "2.1", "torch": "2.13", "scipy": "1"}
    assert ray_node.difference(here, dict(here)) == ""
    assert ray_node.difference(here, {**here, "numpy": "1.26"}) == "numpy is 1.26, not 2.1"
    assert ray_node.difference(here, {"numpy": "2.1", "torch": "2.13"}) == "scipy is missing, not 1"
    assert ray_node.difference(here, {**here, "numba": "0.6"}) == "numba is 0.6, not missing"


def test_nodes_that_are_not_alike_and_folders_that_they_do_not_see_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = ray_node.identity()
    assert {"maa-bench", "numpy", "Python"} <= set(own)
    with ray_session.cluster(None, 1):
        with RayExecutor(shared=tmp_path):
            pass
        assert list(tmp_path.iterdir()) == [], "the marker is removed"
        with pytest.raises(RuntimeError, match="the job's own words"), RayExecutor() as executor:
            executor.run([Failing()], lambda *_: ())
        assert ray.is_initialized(), "an executor ends what it has begun, and no cluster that was there before"
        with monkeypatch.context() as patch:
            patch.setattr(ray_node, "identity", lambda: {**own, "numpy": "0.1"})
            with pytest.raises(ClusterError, match=rf"numpy is {own['numpy']}, not 0\.1"), RayExecutor():
                pass
        with monkeypatch.context() as patch:  # as if the folder of that name were another one there
            patch.setattr(ray_session.tempfile, "NamedTemporaryFile", _Elsewhere)
            with pytest.raises(ClusterError, match="cannot see, or not write to, the cache folder /nowhere"):  # noqa: SIM117
                with RayExecutor(shared=tmp_path):
                    pass
        surroundings = ray_node.Surroundings(str(tmp_path), (), {**own, "torch": "0.1"})
        serve = ray.remote(ray_node.serve)
        kind, error = pickle.loads(ray.get(serve.remote(surroundings, None, 0, b"")))
        assert kind == "error"
        assert "torch is" in str(error), "a node that joins later is checked by the first job that it gets"


class Failing:
    """A job."""

    def __call__(self, report: Any) -> None:
        raise RuntimeError("the job's own words")


class _Elsewhere:
    name = "/nowhere/marker"

    def __init__(self, **_: Any) -> None:
        pass

    def __enter__(self) -> _Elsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def descendants(session: int) -> set[int]:
    """Processes of a session (Linux)."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.add(int(entry.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_leaves_nothing(method: str, tiny_suite: Path, warm_cache_copy: Path, tmp_path: Path) -> None:
    """In the folder of the user's own module, as a user does it."""
    (tmp_path / f"{method.partition(':')[0]}.py").write_text(
        METHOD.replace("if victim.exists()", "if True or victim.exists()")
    )
    place = ["--suite", str(tiny_suite), "--cache-dir", str(warm_cache_copy), *NUMBERS]
    command = [sys.executable, "-m", "maa_bench.cli", "run", "--method", method, *place]
    with subprocess.Popen(
        [*command, "--backend", "ray", "--workers", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Who runs the tests in the background has it ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as going:
        while not list(tmp_path.glob("fit.[0-9].*[0-9]")):
            assert going.poll() is None
            time.sleep(0.05)
        going.send_signal(signal.SIGINT)
        assert going.wait(90) == 130
        assert going.stderr is not None
        assert "interrupted" in going.stderr.read().splitlines()[-1]
    deadline = time.monotonic() + 15
    while left := descendants(going.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
