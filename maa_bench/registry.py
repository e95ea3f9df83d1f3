"""Finding methods: through entry points, ours and anybody's alike, or as `package.module:Class`."""

from __future__ import annotations

import hashlib
import importlib
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


def _fingerprint(module: ModuleType, make: Any) -> str:
    file = Path(module.__file__ or "")
    package = getattr(module, "__path__", None) or module.__package__
    folder = file.parent
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".toml")) if package else [file]
    # The class's name too: two classes of one file may share a card, by inheritance for example.
    total = hashlib.sha256(str(getattr(make, "__qualname__", make)).encode() + b"\0")
    for path in files:
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()
