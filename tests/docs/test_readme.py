"""The README's blocks, run as they stand, in an empty folder; its tables, from committed records."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from doc_pages import Block, blocks_of, environment, follow

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [block for block in blocks_of("README.md") if block.how == "run in tests"]

METHODS = (ROOT / "baselines").glob("*/README.md")

pytestmark = pytest.mark.docs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


def test_the_readme_has_blocks_to_run() -> None:
    assert {block.language for block in BLOCKS} == {"bash", "python"}
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block{i}" for i in range(len(BLOCKS))])
def test_block_runs(folder: Path, reader_cache: Path, block: Block) -> None:
    follow(block, folder, environment(folder, reader_cache))


def test_every_metric_and_public_name_of_the_readme_exists() -> None:
    import maa_bench
    from maa_bench.metrics import METRICS
    from maa_bench.report.tables import IQM, LIFT

    table = README.partition("## What is measured")[2].partition("A success is")[0]
    assert set(re.findall(r"`(\w+)`", table)) == {*METRICS, LIFT, IQM}
    public = README.partition("The public names")[2].partition("\n\n")[0]
    names = re.findall(r"`(\w+)`", public)
    assert names
    for name in names:
        assert hasattr(maa_bench, name), name


def test_relative_links_and_named_files_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README) + re.findall(r"`(docs/[\w./-]+\.md)`", README):
        assert (ROOT / target).exists(), target


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`results/` as committed: runs of one's own may lie beside it."""
    folder = tmp_path_factory.mktemp("committed")
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", "HEAD", "results"], capture_output=True, check=False)
    if archive.returncode:
        pytest.skip("not a git checkout")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder / "results"


@pytest.fixture(scope="module")
def filled(committed: Path) -> Callable[[str], str]:
    """Fills a page's tables from the committed records."""
    from maa_bench.report.readme import table_filler

    return table_filler(committed)


PAGES = [
    "README.md",
    "docs/baselines.md",
    "docs/results.md",
    "docs/robosuite-results.md",
    *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("baselines/*/README.md")),
]


@pytest.mark.parametrize("name", PAGES)
def test_tables_are_those_of_the_committed_records(filled: Callable[[str], str], name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert filled(text) == text, f"run: python -m maa_bench.report.readme results {name}"
    if name != "baselines/latent/README.md":  # of parts, not of a method
        assert "<!-- table: " in text or "<!-- measured: " in text


def test_every_method_is_in_the_committed_tables_and_named_in_the_docs(committed: Path) -> None:
    from maa_bench.registry import load_method, method_names
    from maa_bench.report.leaderboard import read_results

    ours = {name for name in method_names() if load_method(name).source.startswith("maa-bench ")}
    everything = read_results(committed)
    for place in product(("metaworld-v1", "robosuite-v1"), ("seen", "unseen")):
        records = [r for r in everything if (r.suite.name, r.split.name) == place]
        assert {record.method.name for record in records} == ours
        assert len(records) == len(ours), "two records of one method"
        assert {len(record.seeds.train) for record in records} == {4}
        assert all(not record.failures for record in records)
    arms = [r for r in everything if (r.suite.name, r.split.name) == ("robosuite-v1", "unseen-arms")]
    controls = {name for name in ours if load_method(name).card.family == "control"}
    assert {record.method.name for record in arms} >= {"make_an_agent", "expert", *controls}
    assert {len(record.seeds.train) for record in arms} == {4}
    assert all(not record.failures for record in arms)
    guide = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")
    assert {name for name in ours if f"| `{name}` |" not in guide} == set()


def test_the_leaderboard_is_that_of_the_committed_records(committed: Path, tmp_path: Path) -> None:
    from maa_bench.report.gallery import KINDS
    from maa_bench.report.leaderboard import build_leaderboard

    hint = "run: maa-bench leaderboard"
    made = {path.relative_to(tmp_path) for path in build_leaderboard(committed, tmp_path)}
    for name in made:
        there = ROOT / "leaderboard" / name
        if name.suffix in (".png", ".svg"):  # Another matplotlib draws other bytes.
            assert there.is_file(), hint
        else:
            assert (tmp_path / name).read_bytes() == there.read_bytes(), hint
    drawn = {path.relative_to(ROOT / "leaderboard") for path in (ROOT / "leaderboard" / "figures").iterdir()}
    assert {name for name in drawn if name.name.partition("-")[0] in KINDS} <= made, hint


def test_citation_file_is_valid() -> None:
    from cffconvert import Citation

    citation = Citation((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    citation.validate()
