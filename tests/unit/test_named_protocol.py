"""Protocols by name: what their files say, what is refused, and a whole run of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from toml_text import to_toml

from maa_bench.cli import main
from maa_bench.errors import ProtocolError
from maa_bench.main_job import run, run_methods
from maa_bench.named_protocol import SETTINGS, condition_of, list_protocols, load_protocol
from maa_bench.plan import make_plan
from maa_bench.progress import Progress
from maa_bench.protocol import Protocol
from maa_bench.results import load_record

TINY: dict[str, Any] = {
    "name": "tiny-noise",
    "description": "Two axes, for tests.",
    "seeds": 2,
    "base": {"shots": 4, "candidates": 2, "episodes": 2, "select_episodes": 1},
    "axes": [
        {"setting": "prompt_noise", "values": [0.0, 0.4], "unit": "standard deviations"},
        {"setting": "shots", "values": [2, 4], "unit": "prompts"},
    ],
}


def write(folder: Path, data: dict[str, Any]) -> Path:
    """A protocol's TOML file."""
    path = folder / "own.toml"
    axes = "".join("[[axes]]\n" + to_toml(axis) for axis in data.get("axes", []) if isinstance(axis, dict))
    path.write_text(to_toml({key: value for key, value in data.items() if key != "axes"}) + axes)
    return path


def changed(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(TINY))
    return data | changes


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write(tmp_path, TINY)


@pytest.mark.parametrize("name", list_protocols())
def test_a_released_protocol_says_what_it_is(name: str) -> None:
    protocol = load_protocol(name)
    conditions = protocol.conditions()
    assert {condition.name for condition in conditions} == {name}
    assert conditions[0] == protocol.base
    assert conditions[0].condition == "base"
    assert len({condition.condition for condition in conditions}) == len(conditions)
    assert len(conditions) == 1 + sum(len(axis.values) - 1 for axis in protocol.axes)
    for condition in conditions[1:]:
        (differs,) = (s for s in SETTINGS if getattr(condition, s) != getattr(protocol.base, s))
        assert condition.condition == f"{differs}={getattr(condition, differs)}".removesuffix(".0")


def test_the_numbers_of_released_protocols() -> None:
    """A released protocol is never edited; these are the numbers that it was released with."""

    def of(name: str) -> tuple[int, ...]:
        p = load_protocol(name)
        return p.base.shots, p.base.candidates, p.base.episodes, p.base.select_episodes, p.seeds

    assert {name: of(name) for name in list_protocols()} == {
        "quick-v1": (16, 16, 8, 4, 1),
        "standard-v1": (50, 16, 10, 5, 4),
        "compact-v1": (50, 8, 6, 2, 4),
        "few-shot-v1": (50, 8, 6, 2, 1),
        "noisy-v1": (16, 8, 6, 2, 1),
        "prompt-quality-v1": (8, 8, 6, 2, 1),
        "environment-v1": (16, 8, 6, 2, 1),
        "paper-v1": (50, 50, 2, 1, 4),
    }
    axes = {name: {a.setting: a.values for a in load_protocol(name).axes} for name in list_protocols()}
    assert {name: found for name, found in axes.items() if found} == {
        "few-shot-v1": {"shots": (1, 5, 10, 50, 100)},
        "noisy-v1": {
            "prompt_noise": (0.0, 0.05, 0.1, 0.2, 0.4),
            "dropped_steps": (0.0, 0.1, 0.3),
            "prompt_steps": (60, 30, 15),
            "action_noise": (0.0, 0.1, 0.2, 0.4),
        },
        "prompt-quality-v1": {"prompt_source": ("trained", "expert", "partial")},
        "environment-v1": {
            "test_layouts": ("test", "train"),
            "mass": (1.0, 2.0, 4.0),
            "friction": (1.0, 4.0, 8.0),
            "damping": (1.0, 4.0, 8.0),
            "gain": (1.0, 1.5, 2.0),
        },
    }  # fmt: skip
    assert {name for name in list_protocols() if load_protocol(name).headline != "mean"} == {"paper-v1"}


def test_a_run_of_the_default_numbers_is_quick_v1(tiny_suite: Path, tiny_protocol: Protocol) -> None:
    quick = load_protocol("quick-v1")
    assert quick.conditions() == [replace(Protocol(), name="quick-v1", condition="base")]
    labels = []
    for protocol in (Protocol(), Protocol(device="cpu", scale="paper"), Protocol(shots=15)):
        planned = make_plan(["expert"], "toy-v1", protocol=protocol).protocol
        labels.append((planned.name, planned.condition))
    assert labels == [("quick-v1", "base"), ("quick-v1", "base"), (None, "")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(seed=1), r"unknown key 'seed'\. Did you mean 'seeds'"),
        (changed(base={"shot": 4}), r"unknown key 'base\.shot'\. Did you mean 'shots'"),
        (changed(base={"device": "cuda"}), r"unknown key 'base\.device'"),
        (changed(base={"shots": "4"}), r"'base\.shots' must be a int, not str"),
        (changed(base={"shots": True}), r"'base\.shots' must be a int, not bool"),
        (changed(base={"shots": 0}), r"--shots must be at least 1, not 0"),
        (changed(seeds=0), r"'seeds' must be at least 1, not 0"),
        (changed(headline="meen"), r"'headline' knows no 'meen'\. Did you mean 'mean'"),
        (changed(name="../up"), r"name '\.\./up' must be letters"),
        (changed(axes=[{"setting": "shot", "values": [1, 4], "unit": ""}]), r"knows no 'shot'\. Did you mean 'shots'"),
        (changed(axes=[{"setting": "shots", "values": [1, 2], "unit": ""}]), r"must hold the base's value, 4"),
        (changed(axes=[{"setting": "shots", "values": [4, 0], "unit": ""}]), r"--shots must be at least 1, not 0"),
        (changed(axes=[{"setting": "shots", "values": [4, 4], "unit": ""}]), r"two values or more, none of them twice"),
        (changed(axes=[{"setting": "shots", "values": [4]}]), r"two values or more"),
        (changed(axes=[{"setting": "shots", "values": [4, 2]}]), r"missing key 'axes\[0\]\.unit'"),
        (changed(axes=[TINY["axes"][0], TINY["axes"][0]]), r"'axes' has a setting twice"),
        (changed(name="noisy-v1"), r"'noisy-v1' is a protocol of the package, with other values"),
        ({key: TINY[key] for key in ("name", "seeds", "base")}, r"missing key 'description'"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_in_words(tmp_path: Path, data: dict[str, Any], message: str) -> None:
    path = write(tmp_path, data)
    with pytest.raises(ProtocolError, match=message) as refused:
        load_protocol(str(path))
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ProtocolError, match=r"unknown protocol 'noisy'\. Did you mean 'noisy-v1'"):
        load_protocol("noisy")
    with pytest.raises(ProtocolError, match=r"cannot read protocol file nowhere\.toml: No such file"):
        load_protocol("nowhere.toml")


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Ended]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command line in this process."""
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: object) -> Ended:
        code = main([str(argument) for argument in arguments])
        return Ended(code, *capfd.readouterr())

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shots", "3"), "--shots 3 beside --protocol tiny-noise, which settles it"),
        (("--mass", "2"), "--mass 2.0 beside --protocol tiny-noise, which settles it"),
        (("--conditions", "shot"), "--conditions: protocol tiny-noise has no 'shot'. Did you mean 'shots'?"),
    ],
)
def test_what_would_change_a_protocol_is_refused(
    cli: Cli, tiny_suite: Path, own: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    cache = tmp_path / "cache"
    found = cli("run", "--suite", tiny_suite, "--protocol", own, "--cache-dir", cache, *arguments)
    assert message in found.err
    assert found.code == 2
    assert not cache.exists()


def test_conditions_need_a_protocol(cli: Cli, tiny_suite: Path) -> None:
    assert "needs --protocol" in cli("run", "--suite", tiny_suite, "--conditions", "shots")[2]


def test_what_a_suite_cannot_serve_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(
        ProtocolError, match=r"protocol standard-v1, condition base: --shots 50: a small dataset of toy"
    ):
        run_methods(["expert"], suite="toy-v1", protocol="standard-v1", cache_dir=tmp_path, results_dir=tmp_path)
    with pytest.raises(ProtocolError, match=r"protocol environment-v1, condition friction=4: --friction"):
        run_methods(["expert"], suite="toy-v1", protocol="environment-v1", cache_dir=tmp_path, results_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def campaign(tiny_suite: Path, tiny_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A whole run of the tiny protocol on one task, from Python."""
    folder = tmp_path_factory.mktemp("campaign")
    options = {
        "suite": str(tiny_suite), "tasks": ["goal-030"], "protocol": str(write(folder, TINY)), "workers": 1,
        "results_dir": folder / "results", "cache_dir": tiny_cache, "progress": Progress(quiet=True),
    }  # fmt: skip
    return {"records": run_methods(["nearest_checkpoint"], **options), "folder": folder, **options}


def test_a_protocol_is_run_with_all_its_conditions(campaign: dict[str, Any]) -> None:
    records, results = campaign["records"], campaign["results_dir"]
    by_method: dict[str, list[Any]] = {}
    for record in records:
        by_method.setdefault(record.method.name, []).append(record)
    assert {len(own) for own in by_method.values()} == {3}
    assert len({record.run_id for record in records if record.method.name == "nearest_checkpoint"}) == 3
    assert {record.seeds.train for record in records} == {(0, 1)}
    assert [r.protocol.shots for r in by_method["nearest_checkpoint"]] == [4, 4, 2]
    for record in records:
        assert load_record(results / record.method.name / record.run_id) == record
    # What sees no prompts was measured once; each condition has its record of it.
    blind = by_method["random_seen"]
    assert len({record.run_id for record in blind}) == 3
    assert len({record.metrics.model_dump_json() for record in blind}) == 1


def test_a_protocol_goes_on_where_it_was(campaign: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maa_bench.main_job.Campaign", None)  # nothing is left to be computed
    options = {key: value for key, value in campaign.items() if key not in ("records", "folder")}
    assert run_methods(["nearest_checkpoint"], **options) == campaign["records"]
    mine = run("nearest_checkpoint", **options)
    assert mine == [record for record in campaign["records"] if record.method.name == "nearest_checkpoint"]
    with pytest.raises(ProtocolError, match="--candidates 3 beside --protocol tiny-noise"):
        run("nearest_checkpoint", candidates=3, **options)


def test_the_command_prints_a_table_an_axis(cli: Cli, campaign: dict[str, Any]) -> None:
    arguments = [
        "run", "--suite", campaign["suite"], "--tasks", "goal-030", "--protocol", campaign["protocol"],
        "--method", "nearest_checkpoint", "--results-dir", campaign["results_dir"], "--workers", "1", "--cache-dir",
        campaign["cache_dir"],
    ]  # fmt: skip
    code, out, error = cli(*arguments)
    assert (code, error.count("asks for")) == (0, 0)
    titles = " ".join(out.split())  # whatever the terminal's width
    noise = "prompt_noise (noise on prompts, in standard deviations of each dimension)"
    for setting in (noise, "shots (prompts of each test task)"):
        assert f"mean by {setting}: tiny, split unseen" in titles
    assert out.count("record.json") == len(campaign["records"])
    assert out.count("summary:") == 1
    code, out, error = cli(*arguments, "--conditions", "shots", "--seeds", "1", "--dry-run", "--json")
    assert code == 0
    assert "protocol tiny-noise asks for 2 training seeds; this run has 1" in error
    plans = json.loads(out)
    assert [plan["protocol"]["condition"] for plan in plans] == ["base", "shots=2"]
    assert all(cell["cached"] for plan in plans for cell in plan["cells"])
    assert not any(plan["to_do"]["cells"] for plan in plans)


def test_the_list_shows_protocols(cli: Cli, own: Path) -> None:
    code, out, _ = cli("list", "protocols")
    assert code == 0
    assert all(name in out for name in list_protocols())
    found = json.loads(cli("list", "protocols", own, "--json")[1])
    assert found[0]["conditions"] == ["base", "prompt_noise=0.4", "shots=2"]
    text = cli("list", "protocols", "noisy-v1")[1]
    assert "0.0, 0.05, 0.1, 0.2, 0.4" in text


DOCS = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")


def test_the_example_of_the_docs_is_a_protocol(tmp_path: Path) -> None:
    path = tmp_path / "far-v1.toml"
    path.write_text(DOCS.split("```toml\n")[1].split("```")[0])
    assert [c.condition for c in load_protocol(str(path)).conditions()] == ["base", "prompt_noise=0.8"]


@pytest.mark.parametrize("name", list_protocols())
def test_the_docs_have_the_numbers(name: str) -> None:
    p = load_protocol(name)
    numbers = (p.base.shots, p.base.candidates, f"{p.base.episodes} / {p.base.select_episodes}", p.seeds)
    (row,) = (line for line in DOCS.splitlines() if line.startswith(f"| `{name}` "))
    assert row.startswith(f"| `{name}` | " + " | ".join(map(str, numbers)) + " |")
    for axis in p.axes:
        texts = [condition_of("", value)[1:].replace("0.", ".") for value in axis.values]
        at_base = axis.values.index(getattr(p.base, axis.setting))
        texts[at_base] = f"**{texts[at_base]}**"
        assert f"`{axis.setting}` {', '.join(texts)}" in row
