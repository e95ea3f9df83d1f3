"""`maa-bench data`: the checkpoint dataset that methods are trained on; a file a verb."""

from __future__ import annotations

import typer

from maa_bench.cli.data.build import build
from maa_bench.cli.data.card import card
from maa_bench.cli.data.info import info
from maa_bench.cli.data.official import export, official
from maa_bench.cli.data.share import pull, push
from maa_bench.cli.data.verify import verify
from maa_bench.cli.options import examples

_app = typer.Typer(
    help="Build, describe, check and share datasets of checkpoints.",
    epilog=examples(
        ("maa-bench data build", "build the default dataset (run does so too)"),
        ("maa-bench data build --per-task 1500", "the paper's size"),
        ("maa-bench data info", "what is in it, and where it lies"),
    ),
)


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.add_typer(_app, name="data")


_app.command(
    epilog=examples(
        ("maa-bench data build", "Meta-World, small"),
        ("maa-bench data build --per-task 1500", "1,500 checkpoints of success 1 a task, as the paper had"),
        ("maa-bench data build --suite toy-v1 --workers 1", "the toy suite, in this process"),
        ("maa-bench data build --producer sac --tasks handle-press,reach", "trained by SAC, two tasks only"),
        ("maa-bench data build --scale paper --backend ray --address auto", "on a Ray cluster, see docs/cluster.md"),
    )
)(build)
_app.command(
    epilog=examples(
        ("maa-bench data info", "rows, runs and success of every task"),
        ("maa-bench data info --diversity --plots figures", "how different the checkpoints are, and figures"),
        ("maa-bench data info --suite toy-v1 --json", "for programs"),
    )
)(info)
_app.command(
    epilog=examples(
        ("maa-bench data card", "write README.md again into the dataset's folder"),
        ("maa-bench data card --suite toy-v1 --output -", "print it"),
    )
)(card)
_app.command(
    epilog=examples(
        ("maa-bench data verify", "the default dataset: every row, and 200 checkpoints rolled out again"),
        ("maa-bench data verify ./my-dataset --sample 0", "a folder, without rolling anything out"),
    )
)(verify)
_app.command(
    epilog=examples(
        ("maa-bench data push user/name", "the default dataset, to the Hugging Face Hub (token: hf auth login)"),
        ("maa-bench data push ./shared toy-v1-3f2a90c1d4", "one of the cache, to a folder"),
    )
)(push)
_app.command(
    epilog=examples(
        ("maa-bench data pull user/name", "from the Hugging Face Hub into the cache"),
        ("maa-bench data pull ./shared", "from a folder"),
    )
)(pull)
_app.command(
    epilog=examples(
        ("maa-bench data export --format official ./official", "one .pt a task, for the released training code"),
        ("maa-bench data export ./prompts --role prompt --tasks door-lock", "policies of prompt runs, of one task"),
    )
)(export)
_import = typer.Typer(
    help="Make datasets of other people's files.",
    epilog=examples(("maa-bench data import official door-open.pt", "Make-An-Agent's released policies of a task")),
)
_app.add_typer(_import, name="import")
_import.callback()(lambda: None)  # or its only verb would be left out of the command line
_import.command(
    epilog=examples(
        ("maa-bench data import official door-open.pt drawer-close.pt", "two raw files, one dataset"),
        ("maa-bench data import official file.pt --task door-open", "a file whose name is not a task's"),
        ("maa-bench data import official door-open.pt --autoencoder autoencoder.ckpt", "a processed file"),
    )
)(official)
