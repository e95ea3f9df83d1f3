"""What `maa-bench new-method` writes: a package of one's own with a method that works, to be replaced.

The files lie in `method/`, with `${name}` and `${class_name}` where the names go.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from maa_bench.errors import MethodError
from maa_bench.files import whole_folder

FILES = {
    "pyproject.toml": "pyproject.toml.in",
    "README.md": "README.md.in",
    "src/{name}/__init__.py": "method.py.in",
    "src/{name}/py.typed": None,
    "tests/test_{name}.py": "test_method.py.in",
}
"""What is written, and of which template; None: an empty file.

The package lies under `src/`, so that neither `./my_method` nor the tests can be imported in its place."""


TAKEN = frozenset({"Context", "FlatPolicies", "MethodCard", "Path", "PolicySpec", "PromptSet", "TrainingSet"})
"""Names that the skeleton's module imports (a test compares)."""


def write_method(name: str, folder: Path) -> tuple[Path, ...]:
    """Write a package whose method is registered as `name`.

    Args:
        name: name of the package and of the method, e.g. `my_method`.
        folder: the folder to write, whole or not at all; it must not exist.

    Returns:
        The files, in the order of `FILES`.

    Raises:
        MethodError: a name that cannot be used, or a folder that is there already.
    """
    check_name(name)
    if folder.exists() or folder.is_symlink():
        raise MethodError(f"{folder} is there already; choose another name, or another --folder")
    names = {"name": name, "class_name": class_name(name)}
    written = {path.format(**names): _rendered(template, names) for path, template in FILES.items()}
    with whole_folder(folder, replace=False) as draft:
        for path, text in written.items():
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).write_text(text, encoding="utf-8")
    return tuple(folder / path for path in written)


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a new package and of a new method.

    Raises:
        MethodError: not a lower-case identifier, a word of Python, or the name of a method or package that is here.
    """
    from maa_bench.registry import ALL, method_names

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or name.endswith("_") or keyword.iskeyword(name):
        raise MethodError(
            f"method name {name!r} must be a Python identifier of lower-case letters, digits and '_', at most 40, "
            "such as my_method"
        )
    if keyword.iskeyword(class_name(name)) or class_name(name) in TAKEN or name == ALL:
        raise MethodError(f"method name {name!r} would name a class {class_name(name)}, which is taken; choose another")
    if name in method_names():
        raise MethodError(
            f"a method {name!r} is registered already (see `maa-bench list methods`); choose another name"
        )
    found = importlib.util.find_spec(name)
    if found is not None and found.origin is not None:  # without one it is any folder of that name
        raise MethodError(f"{name!r} is a Python module here ({found.origin}); choose another name")


def class_name(name: str) -> str:
    """`my_method` -> `MyMethod`."""
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def _rendered(template: str | None, names: dict[str, str]) -> str:
    if template is None:
        return ""
    text = (resources.files("maa_bench.templates") / "method" / template).read_text(encoding="utf-8")
    return Template(text).substitute(names)
