"""Gymnasium ids of all tasks: `maa_bench/<suite>.<task>`, there as soon as maa_bench and gymnasium are both imported.

Gymnasium allows one slash in an id, so suite and task are joined by a dot. A Gymnasium from 1.0 on no longer looks for
plug-ins itself: a package registers its ids when it is imported. To do so without importing gymnasium (and numpy) for
everybody who types `maa-bench --help`, `import maa_bench` registers at once where gymnasium is already imported, and
otherwise leaves a finder in `sys.meta_path` (PEP 302) that does it at the end of `import gymnasium`. Registering reads
the suites' TOML files and no simulator.
"""

from __future__ import annotations

import importlib.abc
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType


def env_id(suite: str, task: str) -> str:
    """The id that `gymnasium.make` takes, e.g. `maa_bench/metaworld-v1.window-close`."""
    return f"maa_bench/{suite}.{task}"


def register_ids() -> None:
    """Register every task of every suite that comes with the package; imports gymnasium.

    A suite that cannot be read is left out with a warning: it must not keep anybody from importing gymnasium.
    """
    with _failure_is_a_warning("the suites"):
        from maa_bench.suite import list_suites

        for name in list_suites():
            with _failure_is_a_warning(f"suite {name}"):
                _register_suite(name)


def register_when_imported() -> None:
    """`register_ids` now if gymnasium is imported, else as soon as it is."""
    if "gymnasium" in sys.modules:
        register_ids()
    else:
        sys.meta_path.insert(0, _Finder())


def _register_suite(name: str) -> None:
    from gymnasium.envs.registration import register, registry

    from maa_bench.suite import load_suite

    suite = load_suite(name)
    for task in suite.tasks:
        if env_id(name, task) not in registry:
            register(
                env_id(name, task),
                entry_point="maa_bench.gym_env:TaskEnv",
                max_episode_steps=suite.horizon,
                kwargs={"suite": name, "task": task},
            )


@contextmanager
def _failure_is_a_warning(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        warnings.warn(f"maa-bench: cannot register {what} with Gymnasium: {error}", stacklevel=2)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds gymnasium as the finders behind it do, and has the ids registered once it is executed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self)
                return spec
        return None


class _Loader(importlib.abc.Loader):
    """Executes the module by its own loader, which it puts back first: no trace is left in the module."""

    def __init__(self, loader: importlib.abc.Loader, finder: _Finder) -> None:
        self._loader = loader
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        register_ids()
