"""What the tests of the pages share: a cache, so that the toy suite's dataset is built once for all of them."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def reader_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for `XDG_CACHE_HOME`, empty when the first page is followed."""
    return tmp_path_factory.mktemp("reader-cache")
