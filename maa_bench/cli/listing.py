"""`maa-bench list`: what can be run, on what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from maa_bench.cli.options import DEFAULT_SUITE, JsonOption, SuiteOption, examples

if TYPE_CHECKING:
    from maa_bench.named_protocol import NamedProtocol

_app = typer.Typer(
    help="List methods, suites, tasks, splits or protocols.",
    epilog=examples(
        ("maa-bench list methods", "every installed method and its card"),
        ("maa-bench list tasks --split unseen", "the tasks of a split"),
        ("maa-bench list splits --suite toy-v1", "the splits of a suite"),
        ("maa-bench list protocols", "what `run --protocol` runs"),
        ("maa-bench list suites --json", "for programs"),
    ),
)


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.add_typer(_app, name="list")


@_app.command(
    epilog=examples(
        ("maa-bench list methods", "name, family, what it uses, summary"),
        ("maa-bench list methods --json", "whole cards"),
    )
)
def methods(as_json: JsonOption = False) -> None:
    """List the installed methods: ours and those of other packages."""
    from maa_bench.cli.output import print_json, print_table
    from maa_bench.registry import method_names

    rows = [_method(name) for name in method_names()]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("name", "family", "uses", "summary"),
        [
            (row["name"], "-", "-", f"BROKEN: {row['error']}")
            if "error" in row
            else (row["name"], row["family"], row["uses"], row["summary"])
            for row in rows
        ],
    )


def _method(name: str) -> dict[str, Any]:
    """A method's card, or what is wrong with it: one broken plug-in must not hide the others."""
    from dataclasses import asdict

    from maa_bench.registry import load_method

    try:
        loaded = load_method(name)
    except (Exception, SystemExit) as error:
        return {"name": name, "error": " ".join(str(error).split()) or type(error).__name__}
    return {**asdict(loaded.card), "name": name, "source": loaded.source}


@_app.command(epilog=examples(("maa-bench list suites", "name, simulator, sizes")))
def suites(as_json: JsonOption = False) -> None:
    """List the suites that come with the package."""
    from maa_bench.cli.output import print_json, print_table
    from maa_bench.suite import list_suites, load_suite

    loaded = [load_suite(name) for name in list_suites()]
    if as_json:
        print_json(
            [
                {
                    "name": suite.name,
                    "simulator": suite.simulator,
                    "description": suite.description,
                    "citation": suite.citation,
                    "horizon": suite.horizon,
                    "tasks": list(suite.tasks),
                    "splits": list(suite.splits),
                    "versions": dict(suite.versions),
                    "superseded_by": suite.superseded_by,
                }
                for suite in loaded
            ]
        )
        return
    print_table(
        ("name", "simulator", "tasks", "splits", "horizon", "description"),
        [(s.name, s.simulator, str(len(s.tasks)), ", ".join(s.splits), str(s.horizon), s.description) for s in loaded],
        right=("tasks", "horizon"),
    )
    for suite in loaded:
        if suite.notice:
            print(f"\n{suite.notice}")


@_app.command(
    epilog=examples(
        ("maa-bench list tasks", "all tasks of the default suite"),
        ("maa-bench list tasks --suite toy-v1 --split unseen", "of one split"),
    )
)
def tasks(
    suite: SuiteOption = DEFAULT_SUITE,
    split: Annotated[str | None, typer.Option("--split", help="Only the tasks of this split.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List a suite's tasks, and which splits train on them and test them."""
    from maa_bench.cli.output import print_json, print_table
    from maa_bench.suite import load_suite

    loaded = load_suite(suite)
    splits = list(loaded.splits.values()) if split is None else [loaded.split(split)]
    rows = [
        {
            "name": task.name,
            "env": task.env,
            "trained_in": [s.name for s in splits if task.name in s.train],
            "tested_in": [s.name for s in splits if task.name in s.test],
        }
        for task in loaded.tasks.values()
    ]
    if split is not None:
        rows = [row for row in rows if row["trained_in"] or row["tested_in"]]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("name", "env", "trained in", "tested in"),
        [
            (
                str(row["name"]),
                str(row["env"]),
                ", ".join(row["trained_in"]) or "-",
                ", ".join(row["tested_in"]) or "-",
            )
            for row in rows
        ],
    )


@_app.command(epilog=examples(("maa-bench list splits --suite toy-v1", "what is trained on and what is tested")))
def splits(suite: SuiteOption = DEFAULT_SUITE, as_json: JsonOption = False) -> None:
    """List a suite's splits: the tasks that are trained on and the tasks that are tested."""
    from maa_bench.cli.output import print_json, print_table
    from maa_bench.suite import load_suite

    found = load_suite(suite).splits.values()
    if as_json:
        print_json(
            [
                {"name": s.name, "kind": s.kind, "dataset": s.dataset, "train": list(s.train), "test": list(s.test)}
                for s in found
            ]
        )
        return
    print_table(
        ("name", "kind", "dataset", "trains on", "tests"),
        [
            (s.name, s.kind, s.dataset or "-", f"{len(s.train)} tasks", f"{len(s.test)} tasks: {', '.join(s.test)}")
            for s in found
        ],
    )


@_app.command(
    epilog=examples(
        ("maa-bench list protocols", "every protocol, its conditions and its numbers"),
        ("maa-bench list protocols noisy-v1", "one of them, axis by axis"),
    )
)
def protocols(
    name: Annotated[
        str | None,
        typer.Argument(help="A protocol, or the path of your own TOML file.", show_default="all, a line each"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the named protocols: what `maa-bench run --protocol` runs."""
    from maa_bench.cli.output import print_json, print_table
    from maa_bench.named_protocol import list_protocols, load_protocol

    found = [load_protocol(one) for one in ([name] if name is not None else list_protocols())]
    if as_json:
        print_json([_protocol(one) for one in found])
    elif name is None:
        print_table(
            ("name", "conditions", "seeds", "description"),
            [(p.name, str(len(p.conditions())), str(p.seeds), p.description) for p in found],
            right=("conditions", "seeds"),
        )
    else:
        (one,) = found
        print(f"{one.name}: {one.description}\n{one.seeds} training seeds; headline metric: {one.headline}\n")
        settings = _protocol(one)["base"]
        print_table(("setting", "base"), [(key, str(value)) for key, value in settings.items()])
        if one.axes:
            print()
            axes = [(a.setting, ", ".join(map(str, a.values)), a.unit) for a in one.axes]
            print_table(("axis", "values, one at a time", "unit"), axes)


def _protocol(named: NamedProtocol) -> dict[str, Any]:
    from maa_bench.named_protocol import SETTINGS

    return {
        "name": named.name,
        "description": named.description,
        "seeds": named.seeds,
        "headline": named.headline,
        "base": {setting: getattr(named.base, setting) for setting in SETTINGS},
        "axes": [{"setting": a.setting, "values": list(a.values), "unit": a.unit} for a in named.axes],
        "conditions": [condition.condition for condition in named.conditions()],
    }
