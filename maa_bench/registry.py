"""Finding methods: through entry points, ours and anybody's alike, as `package.module:Class`, or `all` of them."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from maa_bench.errors import MethodError, did_you_mean
from maa_bench.method import FAMILIES, Method, MethodCard
from maa_bench.sources import BASELINES, source_files, unit_files, with_imported

GROUP = "maa_bench.methods"

CONTROLS = ("random_seen", "nearest_checkpoint", "random_weights", "expert")
"""Rows that stand in every table, in this order."""

ALL = "all"
"""In the place of a name: every registered method."""


@dataclass(frozen=True)
class LoadedMethod:
    """A method's class, with what identifies it.

    Attributes:
        name: what `load_method` was given; worker processes load the method by it.
        make: called with `scale=`, gives a fresh method.
        card: its card.
        source: distribution and version, or the module path for `package.module:Class`.
        fingerprint: SHA-256 over its class's name and the source files of its package and of the baselines that it
            imports: results of older code are not taken for its own.
    """

    name: str
    make: Callable[..., Method]
    card: MethodCard
    source: str
    fingerprint: str


@dataclass(frozen=True)
class Chosen:
    """What some names came to.

    Attributes:
        methods: in order, each once.
        broken: why a method that only `all` named cannot be loaded, by its name.
    """

    methods: list[LoadedMethod]
    broken: dict[str, str]


def method_names() -> list[str]:
    """Names of all registered methods, sorted; imports none of them."""
    return sorted(_entry_points())


def load_method(name: str) -> LoadedMethod:
    """Import a method by registered name or `package.module:Class`.

    Raises:
        MethodError: unknown name, failing import, or a class that does not meet the protocol.
    """
    if ":" in name:
        entry, source = EntryPoint(name, name, GROUP), name
    else:
        registered = _entry_points()
        if name not in registered:
            raise MethodError(f"unknown method {name!r}.{did_you_mean(name, [ALL, *registered])}")
        entry, *others = registered[name]
        if others:
            values = ", ".join(other.value for other in (entry, *others))
            raise MethodError(f"method {name!r} is registered more than once ({values}): uninstall all but one")
        source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    make, module = _import(entry)
    card = getattr(make, "card", None)
    if not isinstance(card, MethodCard):
        raise MethodError(f"method {name!r}: {entry.value} has no attribute `card` that is a MethodCard")
    for attribute in ("fit", "generate"):
        if not callable(getattr(make, attribute, None)):
            raise MethodError(f"method {name!r}: {entry.value} has no method `{attribute}`")
    return LoadedMethod(name, make, card, source, _fingerprint(module, make))


def load_methods(names: Iterable[str]) -> Chosen:
    """Import methods in order, each once, by whatever names it is asked for.

    `all` stands for every registered method: families in the order of `FAMILIES`, in each by name, the `CONTROLS` last
    and in theirs. A method that is broken, and that nobody asked for by its name, is left out and told of: somebody
    else's installed package must not stand in the way of the others.

    Raises:
        MethodError: as `load_method`, or two methods whose cards bear the same name (whose rows would be mixed).
    """
    found: dict[str, LoadedMethod] = {}
    broken: dict[str, str] = {}
    for name in names:
        if name != ALL:
            _add(found, load_method(name))
            continue
        loaded = []
        for registered in method_names():
            try:
                loaded.append(load_method(registered))
            except MethodError as error:
                broken[registered] = str(error)
        # Whose registered name a card bears is first: a plug-in that inherits one of our cards does not displace ours.
        loaded.sort(key=lambda method: method.name != method.card.name)
        added: dict[str, LoadedMethod] = dict(found)
        for method in loaded:
            try:
                _add(added, method)
            except MethodError as error:
                broken[method.name] = str(error)
        for method in sorted(added.values(), key=_place_in_all):
            found.setdefault(method.card.name, method)
    return Chosen(list(found.values()), broken)


def _add(found: dict[str, LoadedMethod], method: LoadedMethod) -> None:
    other = found.setdefault(method.card.name, method)
    if other.make is not method.make:
        raise MethodError(
            f"methods {other.name!r} and {method.name!r} both have the card name {method.card.name!r}: "
            "give one of them a name of its own"
        )


def _place_in_all(method: LoadedMethod) -> tuple[int, int, str]:
    card = method.card
    control = CONTROLS.index(card.name) + 1 if card.name in CONTROLS else 0
    return control, FAMILIES.index(card.family), card.name


def _entry_points() -> dict[str, list[EntryPoint]]:
    """By name; more than one for a name that packages quarrel about."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        same = found.setdefault(entry.name, [])
        if all(other.value != entry.value for other in same):
            same.append(entry)
    return found


def _import(entry: EntryPoint) -> tuple[Any, ModuleType]:
    module_name, _, attribute = entry.value.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise MethodError(f"cannot import method {entry.value!r}: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        classes = [k for k, v in vars(module).items() if isinstance(v, type)]
        raise MethodError(f"module {module_name} has no {attribute!r}.{did_you_mean(attribute, classes)}")
    return getattr(module, attribute), module


_imported: dict[str, str] = {}
"""Hash of a module's sources when it was first imported."""


def _fingerprint(module: ModuleType, make: Any) -> str:
    try:
        return _hash_of_sources(module, make)
    except OSError as error:
        raise MethodError(f"cannot read the source of {module.__name__}: {error.strerror or error}") from error


def _hash_of_sources(module: ModuleType, make: Any) -> str:
    root = Path(next(iter(importlib.import_module(BASELINES).__path__)))
    files = with_imported(_sources(module, root), root)
    # In a notebook: what would run is the code as it was imported, not as it reads now.
    own = files if hasattr(_top(module), "__path__") else with_imported([Path(str(module.__file__))], root)
    loaded = _hash_of(own, root)
    if _imported.setdefault(module.__name__, loaded) != loaded:
        raise MethodError(f"the source of {module.__name__} changed after it was imported: start Python again")
    # The class's name too: two classes of one file may share a card, by inheritance for example.
    return hashlib.sha256(f"{getattr(make, '__qualname__', make)}\0{_hash_of(files, root)}".encode()).hexdigest()


def _top(module: ModuleType) -> ModuleType:
    return sys.modules[module.__name__.partition(".")[0]]


def _sources(module: ModuleType, root: Path) -> list[Path]:
    """A method's own files: its folder of `baselines`, a stranger's whole package, or a lone file and those beside."""
    if not module.__file__:
        raise MethodError(f"method module {module.__name__} has no file; write the method into one")
    if module.__name__.startswith(f"{BASELINES}."):
        return unit_files(root, module.__name__.removeprefix(f"{BASELINES}.").partition(".")[0])
    paths = getattr(_top(module), "__path__", None)
    return source_files(Path(next(iter(paths)))) if paths else source_files(Path(module.__file__).parent, deep=False)


def _hash_of(files: list[Path], root: Path) -> str:
    """Of names and contents; names as seen from the baselines' folder, or from the top of the stranger's files."""
    outside = [path for path in files if not path.is_relative_to(root)]
    top = Path(os.path.commonpath([path.parent for path in outside])) if outside else root
    total = hashlib.sha256()
    for path in files:
        name = path.relative_to(root if path.is_relative_to(root) else top)
        total.update(name.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()
