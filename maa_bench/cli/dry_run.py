"""`maa-bench run --dry-run`: what a run would do, and what it would cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maa_bench.main_job import Execution
    from maa_bench.plan import Plan


def show_plans(plans: Sequence[Plan], cache_dir: Path, how: Execution, as_json: bool) -> None:
    """Print what each plan would do; of many conditions a line each, of one all of its cells."""
    from maa_bench.cli.output import print_json

    counted: set[str] = set()
    shown = [_plan_info(plan, cache_dir, how, counted) for plan in plans]
    if as_json:
        print_json(shown)
        return
    for split in dict.fromkeys(info["split"] for info in shown):
        conditions = [info for info in shown if info["split"] == split]
        print(f"suite {conditions[0]['suite']}, split {split}\n")
        _show_cells(conditions[0]) if len(conditions) == 1 else _show_conditions(conditions)
        for name, reason in conditions[0]["broken"].items():
            print(f"cannot be run: {name}: {reason}\n")


def _show_cells(info: dict[str, Any]) -> None:
    from maa_bench.cli.output import print_table

    rows = [
        (
            cell["method"],
            str(cell["seed"]),
            cell["task"],
            "yes" if cell["cached"] else "no",
            str(cell["episodes"]),
            str(cell["max_steps"]),
        )
        for cell in info["cells"]
    ]
    header = ("method", "seed", "task", "cached", "episodes", "steps, at most")
    print_table(header, rows, right=("seed", "episodes", "steps, at most"))
    _show_work([info], len(rows))


def _show_conditions(conditions: Sequence[dict[str, Any]]) -> None:
    from maa_bench.cli.output import print_table

    rows = []
    for info in conditions:
        todo = info["to_do"]
        counts = f"{todo['cells']} of {len(info['cells'])}", str(todo["episodes"]), str(todo["max_steps"])
        rows.append((info["protocol"]["condition"], *counts))
    header = ("condition", "cells to do", "episodes", "steps, at most")
    print_table(header, rows, right=header[1:])
    _show_work(conditions, sum(len(info["cells"]) for info in conditions))


def _show_work(conditions: Sequence[dict[str, Any]], n_cells: int) -> None:
    """What is done first, and how much there is to do."""
    data = conditions[0]["dataset"]
    state = "cached" if data["cached"] else f"to be built ({data['tasks']} tasks)"
    fits = dict.fromkeys(f"{fit['method']} (seed {fit['seed']})" for info in conditions for fit in info["fits"])
    cells, episodes, steps = (
        sum(info["to_do"][name] for info in conditions) for name in ("cells", "episodes", "max_steps")
    )
    print(f"\ndataset {data['id']}: {state}\nto be fitted: {', '.join(fits) or 'nothing'}")
    print(f"to do: {cells} of {n_cells} cells, {episodes} episodes, at most {steps} environment steps\n")


def _plan_info(plan: Plan, cache_dir: Path, how: Execution, counted: set[str]) -> dict[str, Any]:
    """A plan's cells, what each costs, and what must be built or fitted first. Makes and changes nothing.

    Cells in `counted` belong to a plan before; those that this plan has to do are added.
    """
    from maa_bench.cache import Cache
    from maa_bench.dataset.config import DatasetPlan
    from maa_bench.main_job import found_cells, is_due

    cache = Cache(cache_dir) if cache_dir.exists() else None  # opening a cache makes its folder
    found = found_cells(plan, cache) if cache is not None else {}
    per_candidate = sum(count for _, count in plan.layouts())
    cells: list[dict[str, Any]] = []
    fits: dict[tuple[str, int], dict[str, Any]] = {}
    for cell in plan.cells:
        card = cell.method.card
        episodes = per_candidate * (1 if card.deterministic_candidates else plan.protocol.candidates)
        due = is_due(found.get(cell.key), how.overwrite) and cell.key not in counted
        counted.add(cell.key)
        cells.append(
            {
                "method": card.name,
                "seed": cell.train_seed,
                "task": cell.task,
                "cached": cell.key in found,
                "to_do": due,
                "episodes": episodes,
                "max_steps": episodes * plan.suite.horizon,
            }
        )
        # A method that cannot save its fit is fitted again for every missing cell.
        saves = all(hasattr(cell.method.make, name) for name in ("save", "load"))
        key = plan.fit_key(cell.method, cell.train_seed)
        kept = saves and cache is not None and cache.fit_cost(key) is not None and how.overwrite != "always"
        if due and not kept:
            fits[card.name, cell.train_seed] = {"method": card.name, "seed": cell.train_seed}
    todo = [cell for cell in cells if cell["to_do"]]
    data = plan.dataset
    cached = not isinstance(data, DatasetPlan) or (cache_dir / "datasets" / data.id / "manifest.json").exists()
    return {
        "suite": plan.suite.name,
        "split": plan.split.name,
        "protocol": plan.protocol.as_dict(),
        "dataset": {"id": plan.dataset_id, "cached": cached, "tasks": len(data.tasks)},
        "broken": plan.broken,
        "fits": list(fits.values()),
        "cells": cells,
        "to_do": {
            "cells": len(todo),
            "episodes": sum(cell["episodes"] for cell in todo),
            "max_steps": sum(cell["max_steps"] for cell in todo),
        },
    }
