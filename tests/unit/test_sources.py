"""Which files a method is made of: a change of a shared part changes all that use it, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from maa_bench.sources import with_imported

PACKAGE = "maa_bench.baselines"
FILES = {
    "__init__.py": "",
    "alone/__init__.py": "import numpy\n",
    "shared/__init__.py": "",
    "shared/net.py": "from .sizes import WIDTH\n",
    "shared/sizes.py": "WIDTH = 1\n",
    "shared/sizes.toml": "width = 1\n",
    "shared/other.py": "from . import net\n",
    "other_user/__init__.py": "from ..shared.other import x\n",
    "deep/__init__.py": "",
    "deep/parts/__init__.py": "from ...shared import net\n",
    "absolute/__init__.py": "def f():\n    import maa_bench.baselines.shared.net\n",
    "by_from/__init__.py": "from maa_bench.baselines.shared.net import Net\n",
    "by_name/__init__.py": "from maa_bench.baselines import shared as parts\n",
    "relative/__init__.py": "from ..shared.net import Net\n",
    "sibling/__init__.py": "from .. import shared\n",
    "indirect/__init__.py": "from maa_bench.baselines.by_from import x\n",
    "lone.py": "from .shared import net\n",
    "circle/__init__.py": "from ..circle2 import x\n",
    "circle2/__init__.py": "from ..circle import x\n",
    "words/__init__.py": "'''maa_bench.baselines.shared is not imported.'''\n",
    "template/__init__.py": "from maa_bench.baselines.shared import {{ name }}\n",
}
USERS = {"deep", "other_user", "absolute", "by_from", "by_name", "relative", "sibling", "indirect", "lone.py"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "baselines" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "baselines"


def parts(root: Path, name: str) -> set[str]:
    """Top-level names of what a package is made of."""
    own = [root / name] if name.endswith(".py") else list((root / name).rglob("*.py"))
    return {path.relative_to(root).parts[0] for path in with_imported(own, root, PACKAGE)}


def test_users_of_a_shared_part_hold_it_and_nobody_else_does(root: Path) -> None:
    units = sorted({Path(name).parts[0] for name in FILES} - {"__init__.py", "shared"})
    assert {name for name in units if "shared" in parts(root, name)} == USERS
    assert parts(root, "indirect") == {"indirect", "by_from", "shared"}
    assert parts(root, "alone") == {"alone"}


def names(root: Path, user: str) -> list[str]:
    found = with_imported([root / user / "__init__.py"], root, PACKAGE)
    return [path.relative_to(root).as_posix() for path in found]


def test_of_a_shared_folder_the_modules_that_are_imported_count(root: Path) -> None:
    net = ["shared/__init__.py", "shared/net.py", "shared/sizes.py", "shared/sizes.toml"]
    assert names(root, "by_from") == ["by_from/__init__.py", *net]
    assert names(root, "other_user") == ["other_user/__init__.py", net[0], net[1], "shared/other.py", *net[2:]]


def test_a_package_that_is_imported_as_a_whole_counts_as_a_whole(root: Path) -> None:
    assert "shared/other.py" in names(root, "sibling")
    assert "shared/other.py" in names(root, "by_name")


def test_what_is_no_file_does_not_count(root: Path) -> None:
    (root / "shared" / ".#net.py").symlink_to("somebody@somewhere.1234")  # an editor's lock
    assert "shared/other.py" in names(root, "sibling")


def test_circles_end(root: Path) -> None:
    assert parts(root, "circle") == parts(root, "circle2") == {"circle", "circle2"}


def test_a_strangers_file_that_imports_a_part_is_followed(root: Path, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.py"
    stranger.write_text("from maa_bench.baselines.by_from import x\nfrom ..shared import y\n")
    found = with_imported([stranger], root, PACKAGE)
    assert stranger in found
    assert {path.parent.name for path in found} == {tmp_path.name, "by_from", "shared"}


def test_our_methods_are_made_of_what_they_import() -> None:
    """On the real folder: every import between baselines that Python makes is one that was followed."""
    import subprocess
    import sys

    from maa_bench import baselines
    from maa_bench.registry import method_names

    root = Path(next(iter(baselines.__path__)))
    for name in sorted({p.parent.name for p in root.glob("*/__init__.py")}):
        code = f"import sys, maa_bench.baselines.{name}; print(*[m for m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        imported = {m.split(".")[2] for m in done.stdout.split() if m.startswith("maa_bench.baselines.")}
        assert imported <= parts(root, name), name
    assert "make_an_agent" in method_names()
