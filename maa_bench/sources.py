"""Which source files a method is made of: its own package, and what of `baselines/` it imports, step by step.

Methods of `baselines/` share parts. A change of a part changes every method that imports it, and no other, so results
of older code are taken for nobody's own.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

BASELINES = "maa_bench.baselines"

_MAY_IMPORT = re.compile(rb"baselines|from\s+\.\.")
"""What a file inside a unit must hold to import another one; spares parsing most."""


def with_imported(files: Iterable[Path], root: Path, package: str = BASELINES) -> list[Path]:
    """Files, and those of the packages under `root` that they import, and those import, and so on; sorted.

    Args:
        files: source files, under `root` or anywhere else.
        root: folder of `package`; each folder (or lone .py file) in it is a unit that is taken whole.
        package: name under which the units are imported. What is imported by a computed name is not seen.
    """
    found: set[Path] = set()
    waiting = list(files)
    units: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        if path.suffix == ".py":
            for unit in _units_imported(path.read_bytes(), _package_of(path, root, package), package) - units:
                units.add(unit)
                waiting += unit_files(root, unit)
    return sorted(found)


def unit_files(root: Path, unit: str) -> list[Path]:
    """The .py and .toml files of the folder `unit` under `root`, or of the lone module of that name."""
    folder, module = root / unit, root / f"{unit}.py"
    return source_files(folder) if folder.is_dir() else [module] if module.exists() else []


def source_files(folder: Path, deep: bool = True) -> list[Path]:
    """The .py and .toml files of a folder, sorted; of those below it, too, if `deep`."""
    return sorted(p for p in (folder.rglob("*") if deep else folder.glob("*")) if p.suffix in (".py", ".toml"))


def _package_of(path: Path, root: Path, package: str) -> str:
    """What relative imports in a file start from; "" outside `root`, where they lead to no baseline."""
    return ".".join([package, *path.relative_to(root).parent.parts]) if path.is_relative_to(root) else ""


@lru_cache(maxsize=4096)
def _units_imported(source: bytes, own: str, package: str) -> frozenset[str]:
    if own != package and not _MAY_IMPORT.search(source):
        return frozenset()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a template, perhaps; who imports it meets the error
        return frozenset()
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node.module, node.level, own)
            modules |= {f"{base}.{alias.name}" for alias in node.names}  # each may be a module
    prefix = package + "."
    return frozenset(name[len(prefix) :].partition(".")[0] for name in modules if name.startswith(prefix))


def _absolute(module: str | None, level: int, own: str) -> str:
    if not level:
        return module or ""
    parents = own.split(".")[: len(own.split(".")) - (level - 1)] if own else []
    return ".".join([*parents, *([module] if module else [])])
