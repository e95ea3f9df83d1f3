"""Synthetic benchmarks whose truth is known, for the tests of intervals and for `benchmarks/interval_coverage.py`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maa_bench.stats import TaskOutcomes


@dataclass(frozen=True)
class Outcomes:
    """One method's outcomes, as `maa_bench.stats.joint` takes them."""

    seeds: tuple[int, ...]
    tasks: dict[str, TaskOutcomes]


@dataclass(frozen=True)
class Model:
    """Log-odds of success = task + method + seed + seed x task + candidate + layout + method x layout, all normal.

    Seed effects are shared by tasks, layout effects by methods; everything else is drawn afresh.

    Attributes:
        levels: log-odds of each task. advantage: what is added for each method.
        seeds, candidates, layouts: sizes.
        of_seed, of_seed_and_task, of_candidate, of_layout, of_method_and_layout: standard deviations.
    """

    levels: tuple[float, ...] = (-3.0, -1.0, 0.0, 1.0, 3.0)
    advantage: tuple[float, ...] = (0.0, 0.0)
    seeds: int = 5
    candidates: int = 16
    layouts: int = 8
    of_seed: float = 0.5
    of_seed_and_task: float = 0.5
    of_candidate: float = 1.0
    of_layout: float = 1.0
    of_method_and_layout: float = 0.5

    def draw(self, rng: np.random.Generator) -> list[Outcomes]:
        """A benchmark of every method; select layouts are four more."""
        n_layouts = self.layouts + 4
        of_seed = rng.normal(0, self.of_seed, (len(self.advantage), self.seeds, 1, 1))
        methods: list[dict[str, TaskOutcomes]] = [{} for _ in self.advantage]
        for number, level in enumerate(self.levels):
            of_layout = rng.normal(0, self.of_layout, n_layouts)
            for i, advantage in enumerate(self.advantage):
                odds = (
                    level
                    + advantage
                    + of_seed[i]
                    + rng.normal(0, self.of_seed_and_task, (self.seeds, 1, 1))
                    + rng.normal(0, self.of_candidate, (self.seeds, self.candidates, 1))
                    + of_layout
                    + rng.normal(0, self.of_method_and_layout, n_layouts)
                )
                success = rng.random(odds.shape) < 1 / (1 + np.exp(-odds))
                select = success[..., self.layouts :] if self.candidates > 1 else None
                methods[i][f"task-{number}"] = TaskOutcomes(success[..., : self.layouts], select)
        return [Outcomes(tuple(range(self.seeds)), tasks) for tasks in methods]

    def truth(self) -> list[float]:
        """The expected aggregate mean of every method, by Gauss-Hermite quadrature: exact to 1e-9."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        parts = (self.of_seed, self.of_seed_and_task, self.of_candidate, self.of_layout, self.of_method_and_layout)
        sd = np.sqrt(sum(part**2 for part in parts))
        odds = np.array(self.levels)[:, None] + sd * nodes
        return [float(((1 / (1 + np.exp(-odds - a))) @ weights).mean() / weights.sum()) for a in self.advantage]
