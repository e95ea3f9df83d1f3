"""What the leaderboard takes from the files beside the records: lifts, what runs scored, and how new candidates are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maa_bench.episodes import EpisodeGrid, outcomes_of_episodes
from maa_bench.metrics import Float64
from maa_bench.record import AGGREGATE, RunRecord
from maa_bench.report.diversity import DISTANCES
from maa_bench.report.tables import Cell, Extra, Ranged, in_order, key_of, method_labels, standing
from maa_bench.results import load_candidate_rows, load_episodes
from maa_bench.stats.joint import lift
from maa_bench.stats.resampling import generator, mean_of_tasks, resample
from maa_bench.stats.runs import Band, interval, iqm, profile_band

FLOOR, CEILING = "random_seen", "expert"


class Evidence:
    """Reads a folder of results; each file at most once."""

    def __init__(self, results_dir: Path) -> None:
        self._results_dir = results_dir
        self._grids: dict[str, EpisodeGrid] = {}
        self._tables: dict[str, dict[str, Float64]] = {}

    def extras(self, group: Sequence[RunRecord]) -> dict[str, Extra]:
        """What a group's tables say beside the records' own metrics, by `key_of` the record.

        Args:
            group: records that compare.
        """
        lifts = self.lifts(group)
        return {
            key_of(record): Extra(self.iqm(record), lifts.get(key_of(record)), self.distances(record))
            for record in group
        }

    def lifts(self, group: Sequence[RunRecord]) -> dict[str, Cell]:
        """The lift of each record's aggregate mean, by `key_of` the record; none where a control is missing.

        Args:
            group: records that compare. Where a control stands there twice, the record of more training seeds counts
                (of equals, the last by `run_id`), whatever it scored.
        """
        ordered = in_order(group)
        labels = method_labels(ordered)
        ends = {
            record.method.name: label
            for record, label in sorted(zip(ordered, labels, strict=True), key=lambda pair: standing(pair[0]))
            if record.method.name in (FLOOR, CEILING)
        }
        if len(ends) < 2:
            return {}
        grids = {label: self.grid(record) for record, label in zip(ordered, labels, strict=True)}
        means = {
            label: mean_of_tasks({task: metrics["mean"] for task, metrics in tasks.items()})
            for label, tasks in resample(grids, metrics=("mean",)).items()
        }
        floor, ceiling = means[ends[FLOOR]], means[ends[CEILING]]
        found: dict[str, Cell] = {}
        for record, label in zip(ordered, labels, strict=True):
            by_definition = {ends[FLOOR]: 0.0, ends[CEILING]: 1.0}.get(label)
            measured = lift(means[label], floor, ceiling)
            if measured is None:
                return {}  # The ceiling is not above the floor: there is no scale.
            if by_definition is not None:
                found[key_of(record)] = by_definition
            elif measured.lo is None or measured.hi is None:
                found[key_of(record)] = measured.value
            else:
                found[key_of(record)] = Ranged(measured.value, (measured.lo, measured.hi))
        return found

    def scores(self, record: RunRecord) -> Float64:
        """Success of each training seed on each task: (n_seeds, n_tasks) float64."""
        grid = self.grid(record)
        return np.stack([grid.tasks[task].success.mean(axis=(1, 2)) for task in record.split.test], axis=1)

    def iqm(self, record: RunRecord) -> Cell:
        """Interquartile mean of the runs of all tasks; its interval draws them for each task apart."""
        scores = self.scores(record)
        if len(scores) == 1:
            return float(iqm(scores))
        found = interval(_of_runs("iqm", record), iqm, scores)
        return Ranged(found.value, (found.lo, found.hi))

    def profile(self, record: RunRecord, thresholds: Float64) -> Band:
        """Share of runs above each threshold, (n_thresholds,), with its pointwise band; resampled as `iqm` is.

        Of a single training seed the band has no width.
        """
        return profile_band(_of_runs("profile", record), self.scores(record), thresholds)

    def distances(self, record: RunRecord) -> dict[str, dict[str, float]]:
        """What was measured of the candidates, by task and `AGGREGATE`, then by name; see `report.diversity`."""
        found: dict[str, dict[str, float]] = {}
        for name, values in self._measured(record).items():
            known = ~np.isnan(values)
            by_task = {
                task: float(of[of_known].mean())
                for task, of, of_known in zip(record.split.test, values, known, strict=True)
                if of_known.any()
            }
            if by_task:
                by_task[AGGREGATE] = float(np.mean(list(by_task.values())))
            for task, value in by_task.items():
                found.setdefault(task, {})[name] = value
        return found

    def newness(self, record: RunRecord) -> tuple[Float64, Float64] | None:
        """Distance to the nearest training checkpoint, and test success, of each candidate: (n_candidates,) each.

        None where no distance was measured.
        """
        measured = self._measured(record)
        if not measured:
            return None
        distance = measured["train_distance"].ravel()
        known = ~np.isnan(distance)
        if not known.any():
            return None
        grid = self.grid(record)  # Ordered as the candidates are: by task, training seed, candidate.
        success = np.concatenate([grid.tasks[task].success.mean(axis=2).ravel() for task in record.split.test])
        return distance[known], success[known]

    def grid(self, record: RunRecord) -> EpisodeGrid:
        """The record's outcomes."""
        folder = self._folder(record)
        key = str(folder)
        if key not in self._grids:
            self._grids[key] = outcomes_of_episodes(load_episodes(folder))
        return self._grids[key]

    def _measured(self, record: RunRecord) -> dict[str, Float64]:
        """Columns of `candidates.parquet`, (n_tasks, n_seeds * n_candidates) each, NaN where empty; none without it."""
        key = key_of(record)
        if key not in self._tables:
            table = load_candidate_rows(self._folder(record), record)
            flat = {} if table is None else {name: table.column(name).to_numpy() for name in DISTANCES}
            n_tasks = len(record.split.test)
            self._tables[key] = {name: of.astype(np.float64).reshape(n_tasks, -1) for name, of in flat.items()}
        return self._tables[key]

    def _folder(self, record: RunRecord) -> Path:
        return self._results_dir / record.method.name / record.run_id


def _of_runs(name: str, record: RunRecord) -> np.random.Generator:
    """What draws a record's runs: methods of the same tasks and seeds have the same draws."""
    return generator(name, repr(sorted(record.seeds.train)), *record.split.test)
