"""Every block of every page is run by a test, or says why it is not; commands that are not run are parsed at least."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doc_pages import PAGES, ROOT, Block, blocks_in, blocks_of, environment, follow, text_of
from typer.main import get_command

from maa_bench.cli.app import app

pytestmark = pytest.mark.docs

COMMANDS = ("bash", "python", "sh")
"""Languages of what can be run."""

GENERATED = {page for page in PAGES if page.startswith("docs/dataset-1500/")}
"""Cards, as they stand in folders of datasets, which are not here. tests/unit/test_card.py runs a card's blocks."""

MARKS = {"main job": "tests/simulators/test_main_job.py, heavy", "test command": "CI runs it"}
"""Blocks of the README that something else runs."""

FOLLOWED = {"README.md", "docs/gymnasium.md", "docs/new-method.md"}
"""Pages whose own tests run their blocks, and look at what comes out."""

BLOCKS = [block for page in PAGES if page not in GENERATED for block in blocks_of(page)]
NOW = ("run in tests", "dry run in tests")
RUN = {page: {block.how for block in blocks_of(page)} - {"", "not run"} for page in PAGES if page not in FOLLOWED}
"""How blocks of a page are run."""


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED])
def test_every_block_is_run_or_says_why_not(page: str) -> None:
    for block in blocks_of(page):
        where = f"{page}, line {block.line}"
        if block.language in COMMANDS:
            assert block.how or block.mark in MARKS, f"{where}: <!-- run in tests --> or <!-- not run: REASON --> first"
            assert block.what or block.how != "not run", f"{where}: why is it not run?"
        elif not block.language:
            assert not re.search(r"^(maa-bench|python|pip|pytest) ", block.text, re.MULTILINE), f"{where}: ```bash"


@pytest.mark.parametrize("page", [page for page in RUN if RUN[page] & {*NOW}])
def test_a_page_can_be_followed(page: str, tmp_path: Path, reader_cache: Path) -> None:
    for block in blocks_of(page):
        if block.how in NOW:
            follow(block, tmp_path, environment(tmp_path, reader_cache))


@pytest.mark.heavy
@pytest.mark.parametrize("page", [page for page in RUN if "heavy run in tests" in RUN[page]])
def test_a_page_can_be_followed_to_its_end(page: str, tmp_path: Path, reader_cache: Path) -> None:
    for block in blocks_of(page):
        if block.how.endswith("run in tests"):
            follow(block, tmp_path, environment(tmp_path, reader_cache))


def _calls(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Every program that a shell block calls, with its arguments; what a shell would put in stays as it stands."""
    for line in block.commands:
        words: list[str] = []
        for word in (*shlex.split(line, comments=True), ";"):
            if word not in ("&&", "||", "|", ";", ">", "&"):
                words.append(word)
                continue
            if words:
                yield words[0].rpartition("/")[2], words[1:]
            words = []


SHELL = [block for block in BLOCKS if block.language in ("bash", "sh") and "#!/bin/bash" not in block.text]


def _verb(words: list[str]) -> tuple[Any, list[str]]:
    """The verb that words name, and those after it."""
    command: Any = get_command(app)
    words = [word for word in words if word != "--debug"]
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands or words[0].startswith("-"), f"there is no verb {words[0]!r}"
        if words[0].startswith("-"):
            break
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("block", SHELL, ids=lambda block: f"{block.page}:{block.line}")
def test_commands_name_verbs_options_and_files_that_there_are(block: Block) -> None:
    _check(block)


def _check(block: Block) -> None:
    for program, words in _calls(block):
        if program == "maa-bench":
            command, rest = _verb(words)
            if "--help" not in rest:
                _, extra, _ = command.make_parser(command.context_class(command)).parse_args(rest)
                assert not extra, f"{' '.join(words)}: {extra} is too much"
        for word in words:
            if word.startswith(("tests/", "docs/")):
                assert (ROOT / word.partition("::")[0]).exists(), word
            if re.fullmatch(r"maa_bench(\.\w+)+", word):
                module = ROOT / word.replace(".", "/")
                assert module.with_suffix(".py").exists() or module.is_dir(), word


SENTENCES = {page: re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL) for page in PAGES}
INLINE = {page: re.findall(r"`maa-bench ([^`\n]+)`", text) for page, text in SENTENCES.items()}


@pytest.mark.parametrize("page", [page for page in PAGES if INLINE[page]])
def test_commands_in_sentences_name_verbs_and_options_that_there_are(page: str) -> None:
    for text in INLINE[page]:
        words = [word.strip("[]") for word in text.split() if word != "..."]
        command, rest = _verb(words)
        known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
        assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known, text


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language == "python"], ids=lambda block: f"{block.page}:{block.line}"
)
def test_python_that_is_not_run_is_python(block: Block) -> None:
    compile(block.text, f"{block.page}:{block.line}", "exec")


def test_marks_are_read() -> None:
    text = """
<!-- run in tests: a.py -->
```python
print(1)
```

1. A list:

    <!-- not run: hours -->
    ```bash
    maa-bench run \\
        --suite toy-v1
    ```

```toml
a = 1
```
"""
    first, second, third = blocks_in(text, "page.md")
    assert (first.how, first.what, first.language, first.text) == ("run in tests", "a.py", "python", "print(1)\n")
    assert (second.how, second.what, second.line) == ("not run", "hours", 10)
    assert [command.split() for command in second.commands] == [["maa-bench", "run", "--suite", "toy-v1"]]
    assert (third.mark, third.how, third.language) == ("", "", "toml")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("maa-bench rum", "no verb 'rum'"),
        ("maa-bench run --no-such-option", "--no-such-option"),
        ("maa-bench run --suite", "requires an argument"),
        ("maa-bench doctor now", "too much"),
        ("python tests/no_such_file.py", "no_such_file"),
        ("python -m maa_bench.no_such_module", "no_such_module"),
    ],
)
def test_a_command_that_does_not_fit_is_found(wrong: str, reason: str) -> None:
    (block,) = blocks_in(f"```bash\n{wrong}\n```\n", "page.md")
    with pytest.raises(Exception, match=reason):
        _check(block)
