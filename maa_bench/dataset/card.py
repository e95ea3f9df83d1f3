"""The dataset's card: `README.md`, made from the manifest and the schema alone, so that it can be written anywhere.

No row is read and nothing tells the time: the same manifest gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from maa_bench.dataset.card_header import FOREIGN, TRANSITIONS_CONFIG, configs, header, rows
from maa_bench.dataset.collect import KINDS
from maa_bench.dataset.schema import (
    COLUMNS,
    ROLES,
    TRANSITION_UNITS,
    TRANSITIONS,
    UNITS,
    arrow_schema,
    shapes,
    transitions_schema,
)
from maa_bench.dataset.store import CARD, CheckpointDataset, Entry
from maa_bench.files import write_bytes
from maa_bench.simulators.catalogue import SIMULATORS

if TYPE_CHECKING:
    import pyarrow as pa


PRODUCERS = {
    "distill": "behaviour cloning of noisy scripted experts, saved along training (`distill`)",
    "sac": "soft actor-critic, saved along training (`sac`)",
    "official": "files in Make-An-Agent's released format; what they do was measured anew, by rolling them out",
}
"""How policies were trained, in words, by producer; another producer is named."""

LIMITS = {
    "distill": "The policies are clones of scripted experts. They are **not** the paper's, which SAC trained with "
    "rewards: those of one task act much alike, as their expert does, and the `log_std` head keeps its initial values.",
    "official": "How these policies were trained is not in the files. A file is one run here, as the format names "
    "none, and `seed` and `env_step` are -1, unknown.",
}
"""What a user of a producer's policies must know."""

SOFTWARE_CITATION = """\
@software{maa_bench,
  title = {maa-bench: a benchmark for policy generation},
  author = {{The maa-bench authors}},
  year = {2026}
}
"""

PAPER_CITATION = """\
@inproceedings{liang2024makeanagent,
  title = {Make-An-Agent: A Generalizable Policy Network Generator with Behavior-Prompted Diffusion},
  author = {Liang, Yongyuan and Xu, Tingqiang and Hu, Kaizhe and Jiang, Guangqi and Huang, Furong and Xu, Huazhe},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2024},
  note = {arXiv 2407.10973}
}
"""


def write_card(data: CheckpointDataset) -> Path:
    """Write `README.md` into a dataset's folder; returns its path."""
    path = data.folder / CARD
    write_bytes(path, card_text(data).encode())
    return path


def card_text(data: CheckpointDataset) -> str:
    """The card: a YAML header that the Hugging Face Hub and `datasets` read, and Markdown for people."""
    sections = [_what(data), _load(data), _contents(data), _columns(data), _order(data), _making(data), _limits(data)]
    return f"---\n{header(data).strip()}\n---\n\n" + "\n".join([*sections, _citation(data)])


def _what(data: CheckpointDataset) -> str:
    policies, steps = (rows(data.entries(table).values()) for table in ("checkpoints", "transitions"))
    transitions = f", and {steps:,} transitions with rewards" if steps else ""
    return f"""\
# Policy checkpoints: {data.id}

{policies:,} trained policies of {len(data.tasks)} tasks, as flat vectors of {data.suite.policy.n_params:,} parameters,
each with its measured success, one recorded trajectory, and where it comes from{transitions}. maa-bench trains
methods that generate policies on it, in the setting of Make-An-Agent (arXiv 2407.10973).

Suite `{data.suite.name}`: {data.suite.description}
"""


def _load(data: CheckpointDataset) -> str:
    named = configs(data)
    task = next(name for name in named if name in data.tasks)
    where = f'"path/to/{data.id}", "{task}", split="{next(iter(named[task]))}"'
    config = f"{TRANSITIONS_CONFIG}-{task}"
    steps = f'\nsteps = load_dataset("path/to/{data.id}", "{config}")  # "{TRANSITIONS_CONFIG}": of all tasks\n'
    split = next(iter(_trainable_splits(data)), None)
    training = f'training = data.training_set("{split}")  # what a method\'s `fit` may see of that split\n'
    return f"""\
## Load it

With Hugging Face `datasets`, from a folder, or from the Hub by the repository's name instead of the path. A config is
a task, a split is a role:

```python
from datasets import load_dataset

rows = load_dataset({where})
params = rows.with_format("numpy")[0]["params"]  # ({data.suite.policy.n_params},) float32

stream = load_dataset({where}, streaming=True)
first = next(iter(stream))  # rows are read as they are asked for
{steps if config in named else ""}```

With maa-bench, which also checks every shard's SHA-256 as it reads it:

```python
from pathlib import Path

from maa_bench.dataset.store import CheckpointDataset
from maa_bench.suite import load_suite

data = CheckpointDataset(Path("path/to/{data.id}"), load_suite("{data.suite.name}"))
{training if split else ""}```
"""


def _trainable_splits(data: CheckpointDataset) -> list[str]:
    """Splits of the suite that a method can be trained for with this dataset."""
    trained = {str(entry["task"]) for entry in data.entries("checkpoints", role="train").values()}
    return [split.name for split in data.suite.splits.values() if trained.issuperset(split.train)]


def _contents(data: CheckpointDataset) -> str:
    lines: list[Sequence[object]] = []
    for task in data.tasks:
        for role in ROLES:
            own = list(data.entries("checkpoints", task, role).values())
            steps = list(data.entries("transitions", task, role).values())
            if own or steps:
                size = sum(int(e["bytes"]) for e in [*own, *steps])
                kinds = [_total(own, kind) for kind in KINDS]
                lines.append((f"`{task}`", role, len(own), rows(own), *kinds, rows(steps), f"{size / 1e6:.1f}"))
    everything = data.shards.values()
    own = list(data.entries("checkpoints").values())
    size = sum(int(entry["bytes"]) for entry in everything)
    kinds = [_total(own, kind) for kind in KINDS]
    total = rows(data.entries("transitions").values())
    lines.append(("all", "", len(own), rows(own), *kinds, total, f"{size / 1e6:.1f}"))
    names = ("task", "role", "runs", "checkpoints", *KINDS, "transitions", "MB")
    return f"""\
## Contents

{_table(names, lines, left=2)}
A checkpoint is *verified* if every one of its verification episodes succeeded, *partial* if some did, *failing* if
none did. MB are 10^6 bytes on disk, of both tables.

- `checkpoints/<task>/<run>.parquet`: a row a checkpoint; a shard is a training run, in the order of training.
- `transitions/<task>/<run>.parquet`: a row a step of episodes that some of the run's checkpoints acted;
  `expert-00.parquet`: of the task's scripted expert, with and without noise.
- `manifest.json`: all that decided the numbers, and rows and SHA-256 of every shard.

**Roles.** A whole run serves one role, so that no two checkpoints of one lineage lie on both sides of a split:
`train` for fitting, `validation` for choosing hyperparameters, `prompt` for nothing but showing test-time behaviour.
Tasks that no split of the suite trains on have prompt runs only.
"""


def _total(entries: Iterable[Entry], count: str) -> int:
    return sum(int(entry.get(count, 0)) for entry in entries)


def _columns(data: CheckpointDataset) -> str:
    spec = data.suite.policy
    simulator = SIMULATORS.get(data.suite.simulator)
    words = simulator.units if simulator else "Observations and rewards are in the simulator's own units."
    known = shapes(spec)
    return f"""\
## Columns

Vectors are stored flat, as fixed-size lists of float32, row-major in the shape given here.

Checkpoints (config `<task>`):

{_column_table(COLUMNS, UNITS, arrow_schema(spec), known)}
Transitions (configs `{TRANSITIONS_CONFIG}` and `{TRANSITIONS_CONFIG}-<task>`):

{_column_table(TRANSITIONS, TRANSITION_UNITS, transitions_schema(spec), known)}
{words}
"""


def _column_table(
    columns: Mapping[str, str], units: Mapping[str, str], schema: pa.Schema, known: Mapping[str, tuple[int, ...]]
) -> str:
    import pyarrow as pa

    lines = []
    for name, text in columns.items():
        kind = schema.field(name).type
        is_list = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)
        if name in known:
            shape = " x ".join(map(str, known[name])) + (f" = {prod(known[name])}" if len(known[name]) > 1 else "")
        else:
            shape = "any length" if is_list else ""
        dtype = kind.value_type if is_list else kind
        lines.append((f"`{name}`", _DTYPES.get(str(dtype), str(dtype)), shape, units.get(name, ""), text))
    return _table(("column", "type", "shape", "unit", "what it is"), lines, left=5)


_DTYPES = {"float": "float32", "double": "float64"}
"""Arrow's names for what numpy and everybody else call otherwise."""


def _order(data: CheckpointDataset) -> str:
    spec = data.suite.policy
    layers = ", ".join(f"{size} {name}" for size, name in zip(spec.hidden, spec.activations, strict=True))
    lines = [(f"`{t.name}`", " x ".join(map(str, t.shape)), t.start, t.stop) for t in spec.tensors]
    return f"""\
## Order of the parameters

Policy `{spec.id}`: {spec.obs_dim} observations, hidden layers of {layers}, two linear heads of {spec.action_dim}.
The deterministic action is tanh of the `mean` head. Entries `start:stop` of `params` are one tensor, row-major, rows
are outputs (`y = weight @ x + bias`):

{_table(("tensor", "shape", "start", "stop"), lines, left=2)}"""


def _making(data: CheckpointDataset) -> str:
    identity, suite = data.identity, data.suite
    config = identity.get("config", {})
    how = PRODUCERS.get(data.producer, f"the producer `{data.producer}`")
    own = list(data.entries("checkpoints").values())
    steps = _total(data.shards.values(), "environment_steps")
    settings = {"producer": identity["producer"], "settings": identity.get("settings", {}), "dataset": config}
    rules = []
    if "episodes" in config:
        rules.append(
            f"Every checkpoint was rolled out on {config['episodes']} of the task's {suite.layout_counts['train']} "
            f"train layouts (frozen initial states), for at most {suite.horizon} steps; an episode succeeds at the "
            "first step that the task calls a success. `success` is the share of those episodes: an estimate, from "
            "few. The layouts that the benchmark selects and tests on were never visited."
        )
    if "near_duplicate" in config:
        rules.append(
            "Near-duplicates are dropped unrolled: a snapshot whose parameters differ from those its run kept last by "
            f"less than {config['near_duplicate']:g} of their Euclidean length ({_total(own, 'duplicates'):,} were)."
        )
    if data.producer not in FOREIGN:
        rules.append(
            "A run keeps as many checkpoints of each kind as it was asked for; what it showed beyond that was rolled "
            f"out and dropped ({_total(own, 'surplus'):,} were). Experts and measuring took {steps:,} environment "
            "steps."
        )
    versions = {**identity.get("software", {}), **identity["versions"]}
    return f"""\
## How it was made

Policies come from {how}.

{"".join(f"- {rule}{chr(10)}" for rule in rules)}
Settings:

```json
{json.dumps(settings, indent=1)}
```

Versions, which decide the numbers: {", ".join(f"{name} {version}" for name, version in sorted(versions.items()))}.
Format {identity["format"]} of maa-bench's datasets. The same settings and versions, on the same machine, give the same
bytes.
"""


def _limits(data: CheckpointDataset) -> str:
    limits = [LIMITS[data.producer]] if data.producer in LIMITS else []
    limits += [
        "The rows of the split `prompt` are what methods are shown at test time. A method that was trained on them, "
        "above all on tasks that have no other rows, cannot be reported as one that generates policies for unseen "
        "tasks.",
        "Observations and success hold for the simulator's versions named above; another version may move objects.",
        "Policies act in simulation only. Nothing here was tried on a robot, and nothing here makes it safe to.",
    ]
    return f"""\
## Use and limits

Meant for research on generating, embedding and comparing policy networks, and on learning from demonstrations.

{"".join(f"- {limit}{chr(10)}" for limit in limits)}"""


def _citation(data: CheckpointDataset) -> str:
    licence = "[CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/)."
    if data.producer in FOREIGN:
        licence = "The policies are other people's: the licence of the files that they were imported from holds."
    return f"""\
## Licence and citation

{licence} Please cite maa-bench, the paper whose setting it follows,
and the simulator:

```bibtex
{SOFTWARE_CITATION}
{PAPER_CITATION}```

Simulator: {data.suite.citation}
"""


def _table(names: Sequence[str], lines: Iterable[Sequence[object]], left: int) -> str:
    """A Markdown table; all but the first `left` columns are numbers."""
    rules = ["---"] * left + ["---:"] * (len(names) - left)
    every = [names, rules, *lines]
    return "".join("| " + " | ".join(_cell(cell) for cell in line) + " |\n" for line in every)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")
