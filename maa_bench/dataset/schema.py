"""The columns of a checkpoint dataset: one row a checkpoint, typed, with provenance and measured success."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maa_bench.policy import PolicySpec
from maa_bench.prompts import OUTCOME, SEGMENT

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
"""Version of the columns and of what they mean; part of every dataset's identity."""

ROLES = ("train", "validation", "prompt")
"""What a whole training run serves: `fit` reads train runs only; prompts come from prompt runs only."""

COLUMNS: dict[str, str] = {
    "row_id": "task/run/step, unique in the dataset",
    "suite": "suite name",
    "task": "task name",
    "role": "train, validation or prompt; one role a run, so that rows of a run never part",
    "producer": "how the policy was trained",
    "run": "training run, unique within a task",
    "seed": "seed of the run's initial weights",
    "step": "gradient step of the checkpoint",
    "success": "share of successful verification episodes on train layouts, in [0, 1]",
    "episodes": "number of verification episodes",
    "layouts": "train layout of each verification episode",
    "first_success_steps": "steps up to and with the first success of each verification episode, -1 without one",
    "spec_id": "policy specification that the parameters follow",
    "params": "flat policy parameters (see PolicySpec for the order)",
    "behavior_layout": "train layout of the recorded behaviour: the first successful verification episode; -1 if none",
    "observations": f"its first {SEGMENT} states, row-major (step, obs_dim); zeros if none succeeded",
    "actions": f"its first {SEGMENT} actions, row-major (step, action_dim), in [-1, 1]; zeros if none succeeded",
    "outcome": f"the {OUTCOME} states right after its first success, row-major (state, obs_dim); zeros if none",
    "versions": "simulator and package versions, as JSON",
}


def arrow_schema(spec: PolicySpec) -> pa.Schema:
    """The Arrow types of `COLUMNS`; vectors are fixed-size lists of float32."""
    import pyarrow as pa

    def vector(n: int) -> pa.DataType:
        return pa.list_(pa.float32(), n)

    types: dict[str, Any] = dict.fromkeys(COLUMNS, pa.string())
    types |= {
        "seed": pa.int64(),
        "step": pa.int64(),
        "success": pa.float32(),
        "episodes": pa.int32(),
        "layouts": pa.list_(pa.int32()),
        "first_success_steps": pa.list_(pa.int32()),
        "params": vector(spec.n_params),
        "behavior_layout": pa.int32(),
        "observations": vector(SEGMENT * spec.obs_dim),
        "actions": vector(SEGMENT * spec.action_dim),
        "outcome": vector(OUTCOME * spec.obs_dim),
    }
    return pa.schema([pa.field(name, types[name], metadata={"description": text}) for name, text in COLUMNS.items()])
