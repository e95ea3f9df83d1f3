"""Which source files a method is made of: its own package, and what of `baselines/` it imports, step by step.

Methods of `baselines/` share parts. A change of a file changes every method that imports it, however many steps
away, and no other, so results of older code are taken for nobody's own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

BASELINES = "maa_bench.baselines"

SOURCES = (".py", ".toml", ".json", ".yaml", ".yml")
"""Suffixes of the files that a method's numbers are taken to come from."""


def with_imported(files: Iterable[Path], root: Path, package: str = BASELINES) -> list[Path]:
    """Files, and the modules under `root` that they import, and those import, and so on; sorted.

    With a module come the `__init__.py` of the folders above it and the .toml files beside it, which it may read.

    Args:
        files: source files, under `root` or anywhere else.
        root: folder of `package`. What is imported by a computed name is not seen.
        package: name under which the modules are imported.
    """
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        if path.suffix == ".py":
            for name in _imported(path.read_bytes(), _package_of(path, root, package), package):
                waiting += _files_of(root, name.split("."))
    return sorted(found)


def unit_files(root: Path, unit: str) -> list[Path]:
    """The `SOURCES` of the folder `unit` under `root`, or of the lone module of that name."""
    folder, module = root / unit, root / f"{unit}.py"
    return source_files(folder) if folder.is_dir() else [module] if module.exists() else []


def _files_of(root: Path, parts: Sequence[str]) -> list[Path]:
    """What importing `parts` (module by module, perhaps a name in one at the end) under `root` reads."""
    folder, files = root, []
    for part in parts:
        if (folder / part).is_dir():
            folder = folder / part
            files += [*folder.glob("__init__.py"), *folder.glob("*.toml")]
        elif (module := folder / f"{part}.py").exists():
            return [*files, module, *folder.glob("*.toml")]
        else:
            return files  # a name in the package itself
    return files + source_files(folder)  # the package as a whole: what of it is used cannot be told


def source_files(folder: Path, deep: bool = True) -> list[Path]:
    """The `SOURCES` of a folder, sorted; of those below it, too, if `deep`."""
    found = folder.rglob("*") if deep else folder.glob("*")
    return sorted(path for path in found if path.suffix in SOURCES and path.is_file())


def _package_of(path: Path, root: Path, package: str) -> str:
    """What relative imports in a file start from; "" outside `root`, where they lead to no baseline."""
    return ".".join([package, *path.relative_to(root).parent.parts]) if path.is_relative_to(root) else ""


@lru_cache(maxsize=4096)
def _imported(source: bytes, own: str, package: str) -> frozenset[str]:
    """Names under `package` that a file imports, without its prefix; a name in a module is told like a module."""
    if not own and b"baselines" not in source:  # a stranger's: spares parsing most
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
    return frozenset(name.removeprefix(prefix) for name in modules if name.startswith(prefix))


def _absolute(module: str | None, level: int, own: str) -> str:
    if not level:
        return module or ""
    parents = own.split(".")[: len(own.split(".")) - (level - 1)] if own else []
    return ".".join([*parents, *([module] if module else [])])
