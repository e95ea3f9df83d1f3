"""The run record: what `results/<method>/<run_id>/record.json` holds, key by key.

Its numbers are in `maa_bench.record_metrics`, the types of single values in `maa_bench.record_fields`. Unknown keys,
NaN and infinity are refused. `docs/record.md` is made from the descriptions here. Reading and writing is in
`maa_bench.results`.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from maa_bench.metrics import METRICS
from maa_bench.record_fields import (
    Count,
    Factor,
    HubId,
    Name,
    Part,
    Positive,
    Seconds,
    Seed,
    Sha256,
    Text,
    Versions,
)
from maa_bench.record_metrics import Metrics, MetricSet

if TYPE_CHECKING:
    import pandas as pd

    from maa_bench.method import MethodCard

SCHEMA_VERSION = 2
AGGREGATE = "aggregate"
"""Where a task's name stands in a table, this is the mean over tasks."""

FILES = ("episodes.parquet", "candidates.parquet", "candidates.safetensors")
"""What may lie beside a record."""


def _files(files: dict[str, FileInfo]) -> dict[str, FileInfo]:
    for name in files:
        if name not in FILES:
            raise ValueError(f"{name!r} is no plain file name of a record's: {', '.join(FILES)}")
    return files


class MethodInfo(Part):
    """The method's card, and where the method came from."""

    name: Name = Field(description="Registry name.")
    family: Text = Field(description="`generator`, `hypernetwork`, `multi-task`, `meta`, `control` or `ceiling`.")
    summary: Text = Field(description="One sentence.")
    trained_on: Text = Field(description="`seen` (the split's training tasks) or `nothing`.")
    uses: Literal["prompts", "prompts+rewards", "test_checkpoints", "scripted_expert", "nothing"] = Field(
        description="What the method looks at on a test task."
    )
    citation: Text = Field(description="Paper or repository; empty for controls.")
    deterministic_candidates: bool = Field(
        description="Whether all its candidates are the same agent; then one is evaluated."
    )
    source: Text = Field(min_length=1, description="Distribution name and version, or module path.")
    pretrained_on: tuple[Text, ...] = Field(
        default=(), description="Tasks that the method learned from elsewhere, beside the split's training tasks."
    )

    @classmethod
    def of(cls, card: MethodCard, source: str) -> MethodInfo:
        """The card of a method that came from `source`."""
        return cls(**dataclasses.asdict(card), source=source)


class SuiteInfo(Part):
    """The suite, pinned."""

    name: Name = Field(description="Suite name with version, e.g. `metaworld-v1`.")
    simulator_versions: Versions = Field(
        description="Versions of the simulator's packages that the suite was frozen with, by package."
    )
    layouts_sha256: Sha256 = Field(description="SHA-256 of the suite's frozen layouts.")


class SplitInfo(Part):
    """Which tasks a method learned from and which it was tested on."""

    name: Name = Field(description="Split name, e.g. `unseen`.")
    train: tuple[Name, ...] = Field(description="Training tasks, in the suite's order.")
    test: tuple[Name, ...] = Field(min_length=1, description="Test tasks, in the suite's order.")


class DatasetInfo(Part):
    """The checkpoint dataset that the method was fitted on."""

    id: Text = Field(
        min_length=1,
        description="Address of the dataset: hash of everything that it is built from; of one that was given "
        "(`--dataset`), followed by a hash of its content.",
    )
    content_sha256: Sha256 = Field(description="Digest of the dataset's shards as they were built.")
    producer: Text = Field(description="What made the checkpoints, e.g. `distill` or `sac`.")
    rows: Count = Field(description="Number of checkpoints.")
    runs: Count = Field(description="Number of training runs that the checkpoints come from.")


class ProtocolInfo(Part):
    """How the method was asked and tested. Records of different protocols are never put in one table."""

    name: Name | None = Field(
        default=None, description="The named protocol that this is a condition of, e.g. `noisy-v1`; null if of none."
    )
    condition: Text = Field(
        default="",
        description="Which of its conditions: `base`, or the setting that differs from it, e.g. `prompt_noise=0.1`.",
    )
    scale: Literal["small", "paper"] = Field(description="Size of the method's networks and training.")
    shots: Positive = Field(description="Prompts (trajectories) of each test task.")
    candidates: Positive = Field(
        description="Candidates asked for, for each task and training seed. A method with "
        "`deterministic_candidates` has one evaluated."
    )
    episodes: Positive = Field(description="Test layouts that each candidate is run on, one episode each.")
    select_episodes: Count = Field(description="Select layouts that each candidate is run on.")
    horizon: Positive = Field(description="Steps after which an episode ends.")
    success_rule: Text = Field(description="When an episode counts as a success.")
    prompt_source: Text = Field(description="Whose trajectories the prompts are: `trained`, `partial` or `expert`.")
    prompt_noise: float = Field(
        default=0, ge=0, description="Gaussian noise on prompts, in standard deviations of each dimension."
    )
    dropped_steps: float = Field(default=0, ge=0, lt=1, description="Share of the prompts' steps that are dropped.")
    prompt_steps: Positive = Field(default=60, description="Steps of a prompt that are shown; the last is held then.")
    action_noise: float = Field(
        default=0, ge=0, description="Gaussian action noise while prompts were collected, in action units."
    )
    test_layouts: Literal["test", "train"] = Field(
        default="test", description="The frozen set whose layouts the reported episodes (`test` rows) ran on."
    )
    mass: Factor = Field(
        default=1, description="Bodies' masses: each layout's factor is drawn log-uniformly from [1/f, f]."
    )
    friction: Factor = Field(default=1, description="The same of contact friction.")
    damping: Factor = Field(default=1, description="The same of joint damping.")
    gain: Factor = Field(default=1, description="The same of actuator gains.")

    def settings(self) -> dict[str, Any]:
        """Everything that decides a number: all but the labels `name` and `condition`."""
        return self.model_dump(mode="json", exclude={"name", "condition"})


class Seeds(Part):
    """All randomness of the run."""

    train: tuple[Seed, ...] = Field(min_length=1, description="Training seeds; each is one fit and its candidates.")
    base: Seed = Field(description="The seed that every other random stream is derived from.")


class GitInfo(Part):
    """The checkout that the run was made with."""

    commit: str = Field(pattern=r"^[0-9a-f]{40,64}$", description="Commit hash.")
    dirty: bool = Field(
        description="Whether code, baselines or suites differed from that commit (results and docs aside)."
    )


class Environment(Part):
    """The machine and the software."""

    python: Text = Field(description="Python version.")
    packages: Versions = Field(description="Versions of the packages that can change a number.")
    platform: Text = Field(description="Operating system, kernel and architecture.")
    cpu: Text = Field(description="CPU: its name, and family, model and AVX-512 if known.")
    cores: Positive = Field(description="CPU cores that the process may use.")
    gpu: Text | None = Field(description="GPU model, or null where none was used.")
    threads: Positive = Field(description="Threads a process uses for linear algebra.")
    git: GitInfo | None = Field(description="Null when not run from a checkout.")
    mujoco_gl: Text | None = Field(description="The environment variable MUJOCO_GL, or null.")


class StageSeconds(Part):
    """Seconds of work of each stage, summed over workers, tasks and training seeds, measured when it was done."""

    dataset: Seconds = Field(
        description="Building the dataset, all of its tasks; shared by all methods; 0 if it was not built here."
    )
    fit: Seconds = Field(description="Fitting the method.")
    generate: Seconds = Field(
        description="Generating candidates: all that the method does on a test task, adapting too."
    )
    evaluate: Seconds = Field(description="Running episodes.")


class Cost(Part):
    """What the run took."""

    seconds: StageSeconds = Field(description="Wall-clock seconds by stage.")
    environment_steps: Count = Field(description="Simulator steps of all evaluation episodes.")
    peak_mb: float = Field(
        ge=0,
        le=1e9,
        description="Peak resident memory, in MB (10^6 bytes), of the largest process that fitted the method, had it "
        "generate or ran its episodes, while it did.",
    )
    test_environment_steps: Count | None = Field(
        default=None,
        description="Simulator steps that the method took while it generated, all tasks and training seeds. The replay "
        "that measures the rewards of prompts is the benchmark's and not counted. Null in records of older versions.",
    )
    parameters: Count | None = Field(
        default=None,
        description="How many numbers the fitted method has learned, as it says itself (`n_parameters`); the largest "
        "of the training seeds; null if it does not say.",
    )


class Failure(Part):
    """A candidate some of whose episodes broke off. Each such episode counts as unsuccessful."""

    task: Name = Field(description="Task name.")
    train_seed: Seed = Field(description="Training seed.")
    candidate: Count = Field(description="Index of the candidate.")
    episodes: Positive = Field(description="Episodes of it that broke off, on select and test layouts.")
    reason: Text = Field(description="Why, for the first of them.")


class FileInfo(Part):
    """A file beside the record."""

    sha256: Sha256 = Field(description="SHA-256 of the file's bytes.")
    bytes: Count = Field(description="Size.")
    rows: Count | None = Field(default=None, description="Rows, for tables; else null.")


class RunRecord(Part):
    """One method, on one split of one suite, under one protocol."""

    schema_version: Literal[2] = Field(default=2, description="Version of this schema: 2.")
    run_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", description="Name of the record's folder.")
    created_with: Text = Field(description="Version of maa-bench that wrote the record.")
    method: MethodInfo = Field(description="The method's card and source.")
    suite: SuiteInfo = Field(description="The suite and its layouts.")
    split: SplitInfo = Field(description="Training and test tasks.")
    dataset: DatasetInfo = Field(description="The checkpoint dataset.")
    protocol: ProtocolInfo = Field(description="Shots, candidates, layouts and rules.")
    seeds: Seeds = Field(description="Seeds.")
    metrics: Metrics = Field(description="The results.")
    environment: Environment = Field(description="Machine and software.")
    cost: Cost = Field(description="Time, steps and memory.")
    failures: tuple[Failure, ...] = Field(
        default=(),
        description="Candidates that raised, hung, gave actions that are no numbers, or made the simulation diverge.",
    )
    files: Annotated[dict[str, FileInfo], AfterValidator(_files)] = Field(
        default_factory=dict,
        description="Files beside the record, by name; filled in when the record is written. "
        "`episodes.parquet` is always there, `candidates.parquet` too, but for records of schema version 1; "
        "`candidates.safetensors` may be listed, but git ignores it, so a checkout may lack it.",
    )
    weights: HubId | None = Field(
        default=None,
        description="Hugging Face Hub dataset that holds `candidates.safetensors`, as `user/name` or "
        "`user/name@revision` (docs/submitting.md says where in it); null if none does.",
    )

    @model_validator(mode="after")
    def _tasks_and_seeds(self) -> RunRecord:
        for what, names in (("split.test", self.split.test), ("seeds.train", self.seeds.train)):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} names something twice: {list(names)}")
        if set(self.metrics.tasks) != set(self.split.test):
            odd = sorted(set(self.metrics.tasks) ^ set(self.split.test))
            raise ValueError(f"metrics.tasks and split.test differ in {', '.join(odd)}")
        return self

    @property
    def candidates_evaluated(self) -> int:
        """Candidates run for each task and training seed."""
        return 1 if self.method.deterministic_candidates else self.protocol.candidates

    def to_pandas(self) -> pd.DataFrame:
        """One row a task and metric, the aggregate last: method, suite, split, task, metric, value, lo,
        hi."""
        import pandas as pd

        rows = [
            (self.method.name, self.suite.name, self.split.name, task, metric, m.value, *m.ci)
            for task, values in self.metric_sets()
            for metric in METRICS
            for m in [values[metric]]
        ]
        return pd.DataFrame(rows, columns=["method", "suite", "split", "task", "metric", "value", "lo", "hi"])

    def metric_sets(self) -> list[tuple[str, MetricSet]]:
        """(task, metrics) in the split's order, then ("aggregate", metrics)."""
        sets = [(task, self.metrics.tasks[task]) for task in self.split.test]
        return [*sets, (AGGREGATE, self.metrics.aggregate)]


def record_schema() -> dict[str, Any]:
    """The JSON Schema of `record.json`."""
    return RunRecord.model_json_schema()


def known_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the schema knows in the object at `location`; empty where any key may stand."""
    schema = record_schema()
    node: dict[str, Any] = schema
    for part in location:
        if "properties" in node and part in node["properties"]:
            node = node["properties"][part]
        else:
            node = node.get("additionalProperties") or {}
        if "anyOf" in node:  # `X or null`
            node = node["anyOf"][0]
        if "$ref" in node:
            node = schema["$defs"][re.sub(r"^#/\$defs/", "", node["$ref"])]
    return list(node.get("properties", {}))
