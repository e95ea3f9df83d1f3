"""Finding methods: through entry points, ours and anybody's alike, or as `package.module:Class`."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from maa_bench.errors import MethodError, did_you_mean
from maa_bench.method import Method, MethodCard

GROUP = "maa_bench.methods"

CONTROLS = ("random_seen", "nearest_checkpoint", "random_weights", "expert")
"""Rows that stand in every table, in this order."""


@dataclass(frozen=True)
class LoadedMethod:
    """A method's class, with what identifies it.

    Attributes:
        name: what `load_method` was given; worker processes load the method by it.
        make: called with `scale=`, gives a fresh method.
        card: its card.
        source: distribution and version, or the module path for `package.module:Class`.
        fingerprint: SHA-256 over its class's name and the source files of its package: results of older code are not
            taken for its own.
    """

    name: str
    make: Callable[..., Method]
    card: MethodCard
    source: str
    fingerprint: str


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
            raise MethodError(f"unknown method {name!r}.{did_you_mean(name, registered)}")
        entry = registered[name]
        source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    make, module = _import(entry)
    card = getattr(make, "card", None)
    if not isinstance(card, MethodCard):
        raise MethodError(f"method {name!r}: {entry.value} has no attribute `card` that is a MethodCard")
    for attribute in ("fit", "generate"):
        if not callable(getattr(make, attribute, None)):
            raise MethodError(f"method {name!r}: {entry.value} has no method `{attribute}`")
    return LoadedMethod(name, make, card, source, _fingerprint(module, make))


def load_methods(names: Iterable[str]) -> list[LoadedMethod]:
    """Import methods in order, each once, by whatever names it is asked for.

    Raises:
        MethodError: as `load_method`, or two methods whose cards bear the same name (whose rows would be mixed).
    """
    found: dict[str, LoadedMethod] = {}
    for name in names:
        method = load_method(name)
        other = found.setdefault(method.card.name, method)
        if other.make is not method.make:
            raise MethodError(
                f"methods {other.name!r} and {name!r} both have the card name {method.card.name!r}: "
                "give one of them a name of its own"
            )
    return list(found.values())


def _entry_points() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise MethodError(f"method {entry.name!r} is registered twice: {other.value} and {entry.value}")
    return found


def _import(entry: EntryPoint) -> tuple[Any, ModuleType]:
    module_name, _, attribute = entry.value.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise MethodError(f"cannot import method {entry.value!r}: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        classes = [k for k, v in vars(module).items() if isinstance(v, type)]
        raise MethodError(f"module {module_name} has no {attribute!r}.{did_you_mean(attribute, classes)}")
    return getattr(module, attribute), module


_imported: dict[str, str] = {}
"""Hash of a module's sources when it was first imported."""


def _fingerprint(module: ModuleType, make: Any) -> str:
    folder, files = _sources(module)
    total = _hash_of(folder, files)
    # In a notebook: what would run is the code as it was imported, not as it reads now.
    loaded = _hash_of(folder, files if hasattr(_top(module), "__path__") else [Path(str(module.__file__))])
    if _imported.setdefault(module.__name__, loaded) != loaded:
        raise MethodError(f"the source of {module.__name__} changed after it was imported: start Python again")
    # The class's name too: two classes of one file may share a card, by inheritance for example.
    return hashlib.sha256(f"{getattr(make, '__qualname__', make)}\0{total}".encode()).hexdigest()


def _top(module: ModuleType) -> ModuleType:
    """The package whose code counts as the method's: a stranger's whole one, one folder of `baselines` of ours."""
    top = sys.modules[module.__name__.partition(".")[0]]
    if top.__name__ != "maa_bench":
        return top
    return sys.modules[module.__package__ or module.__name__]


def _sources(module: ModuleType) -> tuple[Path, list[Path]]:
    """The .py and .toml files of a method's package, or of the folder that a single file lies in."""
    if not module.__file__:
        raise MethodError(f"method module {module.__name__} has no file; write the method into one")
    paths = getattr(_top(module), "__path__", None)
    folder = Path(next(iter(paths))) if paths else Path(module.__file__).parent
    found = folder.rglob("*") if paths else folder.glob("*")
    return folder, sorted(p for p in found if p.suffix in (".py", ".toml"))


def _hash_of(folder: Path, files: list[Path]) -> str:
    total = hashlib.sha256()
    for path in files:
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()
