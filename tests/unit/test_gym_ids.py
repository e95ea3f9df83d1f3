"""Ids of all tasks, whichever of gymnasium and maa_bench is imported first, and at no cost to either."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest

import maa_bench
from maa_bench import gym_ids, suite
from maa_bench.gym_ids import env_id, register_ids
from maa_bench.suite import list_suites, load_suite

ROOT = Path(maa_bench.__file__).parents[1]
IDS = [env_id(name, task) for name in list_suites() for task in load_suite(name).tasks]

REPORT = """
import sys
print([i for i in gymnasium.registry if i.startswith("maa_bench/")])
outside = "metaworld mujoco torch numba scipy pandas datasets maa_bench.simulators maa_bench.gym_env".split()
print([name for name in outside if name in sys.modules])
print(gymnasium.__spec__.loader is gymnasium.__loader__, type(gymnasium.__loader__).__name__)
print([f for f in sys.meta_path if type(f).__module__.startswith("maa_bench")])
"""


def fresh_python(code: str, *options: str) -> list[str]:
    command = [sys.executable, *options, "-W", "error::UserWarning", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    "imports",
    [
        "import gymnasium, maa_bench",
        "import maa_bench, gymnasium",
        "import maa_bench, importlib.util; importlib.util.find_spec('gymnasium'); import gymnasium",
        "import maa_bench, gymnasium.spaces; import gymnasium",
    ],
    ids=["gymnasium first", "maa_bench first", "looked for before", "by a part of it"],
)
def test_all_ids_are_there_and_no_simulator_was_imported(imports: str) -> None:
    ids, heavy, loader, finders = fresh_python(imports + REPORT)
    assert ids == str(IDS)
    assert len(IDS) == 98
    assert heavy == "[]"
    assert loader == "True SourceFileLoader", "gymnasium's own loader must be back in its place"
    assert finders == "[]"


def test_the_usual_line_and_the_module_prefix_work() -> None:
    (made,) = fresh_python(
        "import gymnasium as gym\n"
        "env = gym.make('maa_bench:maa_bench/toy-v1.goal-030')\n"  # Gymnasium imports the module before the colon
        "import maa_bench; gym.register_envs(maa_bench)\n"
        "print(env.spec.id, env.spec.max_episode_steps)"
    )
    assert made == "maa_bench/toy-v1.goal-030 100"


def test_import_maa_bench_needs_nothing_but_the_standard_library() -> None:
    """Without site-packages: no gymnasium to be found, and the usual error when it is asked for."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import maa_bench\n"
        "try:\n    import gymnasium\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    assert fresh_python(code, "-S", "-I") == ["No module named 'gymnasium'"]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """Gymnasium's registry, restored afterwards."""
    before = dict(gym.registry)
    yield gym.registry
    gym.registry.clear()
    gym.registry.update(before)


def test_registering_again_changes_nothing(registry: dict[str, object], recwarn: pytest.WarningsRecorder) -> None:
    before = dict(registry)
    register_ids()
    assert registry == before
    assert not recwarn.list, "Gymnasium warns about an id that is overridden"


def test_a_damaged_suite_is_left_out_with_a_warning(
    tiny_suite: Path, tmp_path: Path, registry: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.toml").write_text("name = ")
    (tmp_path / "tiny.toml").write_text(tiny_suite.read_text())
    monkeypatch.setattr(suite, "_suite_folder", lambda: tmp_path)
    with pytest.warns(UserWarning, match=r"cannot register suite broken with Gymnasium: .*not valid TOML"):
        register_ids()
    assert "maa_bench/tiny.goal-030" in registry
    assert not any("broken" in name for name in registry)


def test_lost_suites_do_not_keep_anybody_from_importing_gymnasium(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "_suite_folder", lambda: Path("/nowhere"))
    with pytest.warns(UserWarning, match="cannot register the suites with Gymnasium: .*nowhere"):
        gym_ids.register_when_imported()


def test_gymnasium_takes_no_second_slash() -> None:
    """Why ids have a dot between suite and task. If this fails, they can have a slash."""
    with pytest.raises(gym.error.Error, match="Malformed environment ID"):
        gym.register("maa_bench/toy-v1/goal-000", entry_point="maa_bench.gym_env:TaskEnv")
