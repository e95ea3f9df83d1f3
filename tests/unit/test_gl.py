"""Which GL backend is taken, and what is said where there is none."""

from __future__ import annotations

import pytest

from maa_bench import gl
from maa_bench.errors import DrawingError


def test_a_probe_that_crashes_is_only_a_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_PROBE", "import os; print('made', flush=True); os.abort()")
    assert not gl.works("egl")
    monkeypatch.setattr(gl, "_PROBE", "import os; print('made', os.environ['MUJOCO_GL'])")
    assert gl.works("egl")
    assert not gl.works(""), "MuJoCo's own choice is what it does without the variable"


def test_a_probe_is_not_told_what_another_backend_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYOPENGL_PLATFORM", "egl")
    monkeypatch.setattr(gl, "_PROBE", "import os; print('made' if 'PYOPENGL_PLATFORM' not in os.environ else 'no')")
    assert gl.works("osmesa")


@pytest.mark.parametrize(
    ("working", "wanted", "chosen"),
    [
        ({"egl", "osmesa"}, "", "egl"),
        ({"osmesa"}, "", "osmesa"),
        ({""}, "", ""),
        ({"egl", "osmesa"}, "OSMesa", "osmesa"),
        ({"egl"}, "osmesa", None),
        (set(), "", None),
    ],
)
def test_the_users_choice_first(
    monkeypatch: pytest.MonkeyPatch, working: set[str], wanted: str, chosen: str | None
) -> None:
    monkeypatch.setattr(gl, "works", lambda backend: backend in working)
    monkeypatch.setenv("MUJOCO_GL", wanted)
    gl._choose.cache_clear()
    try:
        if chosen is not None:
            assert gl.choose() == chosen
            return
        with pytest.raises(DrawingError, match=r"libegl1.*MUJOCO_GL=egl.*libosmesa6.*MUJOCO_GL=osmesa") as error:
            gl.choose()
        assert "\n" not in str(error.value)
        assert (f"MUJOCO_GL={wanted}: unset it" in str(error.value)) == bool(wanted)
    finally:
        gl._choose.cache_clear()
