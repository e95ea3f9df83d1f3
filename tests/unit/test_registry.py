"""Finding methods: ours and anybody's alike."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from maa_bench import registry
from maa_bench.errors import MethodError
from maa_bench.method import FAMILIES, Context, FlatPolicies, MethodCard
from maa_bench.registry import CONTROLS, GROUP, load_method, load_methods, method_names

STRANGER = """
from maa_bench.method import MethodCard

class Mine:
    card = MethodCard(name="{name}", family="generator", summary="Mine.")
    def __init__(self, scale="small"): pass
    def fit(self, training_set, context): pass
    def generate(self, prompts, n, context): pass

class NoCard:
    def fit(self, training_set, context): pass
    def generate(self, prompts, n, context): pass

class NoFit:
    card = Mine.card
    def generate(self, prompts, n, context): pass

class CardOfAnotherKind(Mine):
    card = {{"name": "mine"}}
"""


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of an importable module with a stranger's classes."""
    name = f"stranger_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(STRANGER.format(name="mine"))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_our_methods_are_found_through_entry_points() -> None:
    assert {"make_an_agent", *CONTROLS} <= set(method_names())
    for name in CONTROLS:
        assert load_method(name).card.name == name


def test_listing_methods_imports_none_of_them() -> None:
    import subprocess

    code = "import sys; from maa_bench.registry import method_names; method_names(); "
    code += "print([m for m in sys.modules if m.startswith('maa_bench.baselines') or m == 'torch'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(MethodError, match=r"unknown method 'make_a_agent'\. Did you mean 'make_an_agent'"):
        load_method("make_a_agent")
    with pytest.raises(MethodError, match=r"unknown method 'zzz'\. Known: .*random_seen"):
        load_method("zzz")


def test_a_strangers_class_is_loaded_by_module_and_name(stranger: str) -> None:
    loaded = load_method(f"{stranger}:Mine")
    assert (loaded.name, loaded.card.name, loaded.source) == (f"{stranger}:Mine", "mine", f"{stranger}:Mine")
    assert type(loaded.make(scale="small")).__name__ == "Mine"


def test_a_strangers_entry_point_is_as_good_as_ours(stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = registry.entry_points(group=GROUP)
    added = EntryPoint("theirs", f"{stranger}:Mine", GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [*ours, added])
    assert "theirs" in method_names()
    assert load_method("theirs").fingerprint == load_method(f"{stranger}:Mine").fingerprint
    with pytest.raises(MethodError, match=r"unknown method 'their'\. Did you mean 'theirs'"):
        load_method("their")


def test_one_name_for_two_methods_is_refused(stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = registry.entry_points(group=GROUP)
    added = EntryPoint("random_seen", f"{stranger}:Mine", GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [*ours, added])
    with pytest.raises(MethodError, match="method 'random_seen' is registered more than once"):
        load_method("random_seen")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("{}:Mone", r"has no 'Mone'\. Did you mean 'Mine'"),
        ("{}:", r"has no ''"),
        ("{}:NoCard", "has no attribute `card` that is a MethodCard"),
        ("{}:CardOfAnotherKind", "has no attribute `card` that is a MethodCard"),
        ("{}:NoFit", "has no method `fit`"),
        ("no_such_module_anywhere:Mine", "cannot import method 'no_such_module_anywhere:Mine': ModuleNotFoundError"),
        (":Mine", "method"),
    ],
)
def test_a_class_that_is_no_method_is_named(stranger: str, target: str, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        load_method(target.format(stranger))


def test_a_module_that_fails_to_import_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_stranger.py").write_text("raise RuntimeError('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MethodError, match="cannot import method 'broken_stranger:M': RuntimeError: no licence"):
        load_method("broken_stranger:M")


def test_a_card_that_says_no_known_use_is_refused() -> None:
    with pytest.raises(MethodError, match="method card 'x': uses='magic' must be one of prompts"):
        MethodCard(name="x", family="generator", summary="", uses="magic")


def test_a_card_of_no_known_family_is_answered_with_the_nearest() -> None:
    with pytest.raises(MethodError, match=r"card 'x': family='multitask' is none\. Did you mean 'multi-task'"):
        MethodCard(name="x", family="multitask", summary="")


def test_all_is_every_method_by_family_and_the_controls_last() -> None:
    chosen = load_methods(["all"])
    assert not chosen.broken
    names = [method.card.name for method in chosen.methods]
    assert sorted(names) == method_names()
    assert names[-4:] == list(CONTROLS)
    families = [FAMILIES.index(method.card.family) for method in chosen.methods[:-4]]
    assert families == sorted(families)
    assert [m.card.name for m in load_methods(["expert", "all"]).methods] == [
        "expert",
        *(n for n in names if n != "expert"),
    ]


def test_a_broken_plug_in_does_not_stand_in_the_way_of_all(
    stranger: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaving_stranger.py").write_text("raise SystemExit('no licence')")
    (tmp_path / f"double_{stranger}.py").write_text(STRANGER.format(name="mine"))
    added = [
        EntryPoint("gone", "no_such_module_anywhere:M", GROUP),
        EntryPoint("leaving", "leaving_stranger:M", GROUP),
        EntryPoint("mine", f"{stranger}:Mine", GROUP),
        EntryPoint("mine_too", f"double_{stranger}:Mine", GROUP),
    ]
    ours = registry.entry_points(group=GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [*ours, *added])
    chosen = load_methods(["all"])
    assert set(chosen.broken) == {"gone", "leaving", "mine_too"}
    assert "cannot import method 'leaving_stranger:M': SystemExit: no licence" in chosen.broken["leaving"]
    assert "both have the card name 'mine'" in chosen.broken["mine_too"]
    assert {"mine", *CONTROLS} <= {method.card.name for method in chosen.methods}
    with pytest.raises(MethodError, match="cannot import"):
        load_methods(["all", "gone"])  # asked for by name


def test_a_plug_in_displaces_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inheriting_stranger.py").write_text(
        "from maa_bench.baselines.controls import RandomSeen\n\n\nclass Variant(RandomSeen):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    added = [
        EntryPoint("a_variant", "inheriting_stranger:Variant", GROUP),  # it bears the card of random_seen
        EntryPoint("nearest_checkpoint", "inheriting_stranger:Variant", GROUP),  # and this our method's name
    ]
    ours = registry.entry_points(group=GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [*ours, *added])
    chosen = load_methods(["all"])
    assert set(chosen.broken) == {"a_variant", "nearest_checkpoint"}
    assert "both have the card name 'random_seen'" in chosen.broken["a_variant"]
    assert [m.name for m in chosen.methods if m.card.name == "random_seen"] == ["random_seen"]
    assert load_method("random_seen").card.name == "random_seen"  # others are not in the way
    with pytest.raises(MethodError, match="'nearest_checkpoint' is registered more than once"):
        load_method("nearest_checkpoint")


def forget(module: str) -> None:
    """As a new Python does."""
    registry._imported.pop(module)
    sys.modules.pop(module)
    importlib.invalidate_caches()


def test_the_fingerprint_follows_the_source_file(stranger: str, tmp_path: Path) -> None:
    before = load_method(f"{stranger}:Mine").fingerprint
    assert load_method(f"{stranger}:Mine").fingerprint == before
    file = tmp_path / f"{stranger}.py"
    (tmp_path / "beside_it.py").write_text("# the method may import it\n")
    beside = load_method(f"{stranger}:Mine").fingerprint
    assert beside != before
    file.write_text(file.read_text() + "# changed\n")
    with pytest.raises(MethodError, match="changed after it was imported: start Python again"):
        load_method(f"{stranger}:Mine")
    forget(stranger)
    assert load_method(f"{stranger}:Mine").fingerprint not in (before, beside)


def test_the_fingerprint_of_a_package_covers_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "strangers_package"
    (package / "parts").mkdir(parents=True)
    (package / "__init__.py").write_text(STRANGER.format(name="packaged"))
    (package / "parts" / "net.py").write_text("WIDTH = 1\n")
    (package / "config.toml").write_text("width = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    prints = [load_method("strangers_package:Mine").fingerprint]
    for file in (package / "parts" / "net.py", package / "config.toml"):
        file.write_text(file.read_text().replace("1", "2"))
        forget("strangers_package")
        prints.append(load_method("strangers_package:Mine").fingerprint)
    assert len(set(prints)) == 3


def test_methods_of_the_protocol_are_what_the_docs_say() -> None:
    rng = Context(seed=3).rng(1)
    assert rng.integers(1 << 30) == Context(seed=3).rng(1).integers(1 << 30)
    assert Context(seed=3).rng(1).integers(1 << 30) != Context(seed=3).rng(2).integers(1 << 30)
    assert Context(seed=3).rng(1).integers(1 << 30) != Context(seed=4).rng(1).integers(1 << 30)
    assert FlatPolicies.__doc__
