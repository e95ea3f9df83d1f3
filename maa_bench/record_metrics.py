"""The numbers of a record: every metric, with its interval, of each task and of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from maa_bench.metrics import METRICS
from maa_bench.record_fields import Part, Share

if TYPE_CHECKING:
    from maa_bench.stats.steps import Steps


class MetricValue(Part):
    """A metric with its interval."""

    value: Share = Field(description="Point estimate, in [0, 1], 6 decimals.")
    ci: tuple[Share, Share] = Field(description="95 % interval [low, high]; holds the value.")

    @model_validator(mode="after")
    def _inside(self) -> MetricValue:
        if not self.ci[0] <= self.value <= self.ci[1]:
            raise ValueError(f"value {self.value} lies outside its interval {list(self.ci)}")
        return self


class StepsValue(Part):
    """A number of environment steps with its interval, if it has one."""

    value: float = Field(ge=1, description="Point estimate, 6 decimals.")
    ci: tuple[float, float] | None = Field(
        description="95 % interval [low, high]; holds the value. Null where the successes have no spread to make one "
        "of: a single episode succeeded, or those of a single one of several training seeds, or all took the same "
        "number of steps; null of the aggregate where it is null of a task."
    )

    @model_validator(mode="after")
    def _inside(self) -> StepsValue:
        if self.ci is not None and not 1 <= self.ci[0] <= self.value <= self.ci[1]:
            raise ValueError(f"value {self.value} lies outside its interval {list(self.ci)}")
        return self

    @classmethod
    def of(cls, steps: Steps) -> StepsValue:
        """What was computed, rounded."""
        ci = None if steps.ci is None else (round(steps.ci[0], 6), round(steps.ci[1], 6))
        return cls(value=round(steps.value, 6), ci=ci)


class MetricSet(Part):
    """Every metric of one task, or of the mean over tasks."""

    mean: MetricValue = Field(description=METRICS["mean"])
    best_selected: MetricValue = Field(description=METRICS["best_selected"])
    top5_selected: MetricValue = Field(description=METRICS["top5_selected"])
    qualified_rate: MetricValue = Field(description=METRICS["qualified_rate"])
    oracle_best: MetricValue = Field(description=METRICS["oracle_best"])
    legacy_top5: MetricValue = Field(description=METRICS["legacy_top5"])
    legacy_best: MetricValue = Field(description=METRICS["legacy_best"])
    steps_to_success: StepsValue | None = Field(
        default=None,
        description="Mean first-success step of the successful test episodes, in environment steps (of the aggregate: "
        "mean over the tasks that have one); null where nothing succeeded. It says nothing of the episodes that "
        "failed: read it beside `mean`.",
    )

    def __getitem__(self, metric: str) -> MetricValue:
        """The metric of that name in `METRICS`."""
        if metric not in METRICS:
            raise KeyError(metric)
        value: MetricValue = getattr(self, metric)
        return value


class Metrics(Part):
    """All numbers of a run."""

    tasks: dict[str, MetricSet] = Field(description="Metrics of each test task, by task name.")
    aggregate: MetricSet = Field(description="Unweighted mean over the test tasks, with its own intervals.")
