"""maa-bench: a benchmark for methods that turn a short trajectory into a whole policy.

What stands in `__all__` is the public API. Each name is imported when it is first used, so `import maa_bench` costs
milliseconds and brings in no torch, no simulator and no compiler. It also sees to it that every task has its Gymnasium
id, `maa_bench/<suite>.<task>`, once gymnasium is imported too.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maa_bench.gym_ids import register_when_imported

__version__ = "0.1.0"

__all__ = [
    "CheckpointPromptSet",
    "Context",
    "FlatPolicies",
    "MaaBenchError",
    "MethodCard",
    "PolicySpec",
    "PromptSet",
    "Protocol",
    "RewardedPromptSet",
    "TrainingSet",
    "__version__",
    "list_suites",
    "load_record",
    "load_suite",
    "method_names",
    "run",
    "run_methods",
]

if TYPE_CHECKING:
    from maa_bench.errors import MaaBenchError
    from maa_bench.main_job import run, run_methods
    from maa_bench.method import Context, FlatPolicies, MethodCard, TrainingSet
    from maa_bench.policy import PolicySpec
    from maa_bench.prompts import CheckpointPromptSet, PromptSet, RewardedPromptSet
    from maa_bench.protocol import Protocol
    from maa_bench.registry import method_names
    from maa_bench.results import load_record
    from maa_bench.suite import list_suites, load_suite

_HOME = {
    "CheckpointPromptSet": "prompts",
    "Context": "method",
    "FlatPolicies": "method",
    "MaaBenchError": "errors",
    "MethodCard": "method",
    "PolicySpec": "policy",
    "PromptSet": "prompts",
    "Protocol": "protocol",
    "RewardedPromptSet": "prompts",
    "TrainingSet": "method",
    "list_suites": "suite",
    "load_record": "results",
    "load_suite": "suite",
    "method_names": "registry",
    "run": "main_job",
    "run_methods": "main_job",
}
"""Public name -> module of this package."""


_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "tasks" / "__init__.py").exists() and (_checkout / "baselines").is_dir():
    # Imported from a checkout's root, ahead of an installation: `tasks` and `baselines` lie one folder up there.
    __path__.append(str(_checkout))


def __getattr__(name: str) -> Any:
    """A public name, imported at its first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_when_imported()
