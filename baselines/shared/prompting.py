"""What every `generate` begins with: are there prompts, do they fit, and which stream of chance is the task's."""

from __future__ import annotations

import zlib

from maa_bench.errors import MethodError
from maa_bench.policy import PolicySpec
from maa_bench.prompts import PromptSet


def check_prompts(method: str, spec: PolicySpec, prompts: PromptSet, n: int) -> None:
    """Refuse what `method`, fitted to policies of `spec`, cannot answer.

    Raises:
        MethodError: no prompts, n below 1, or prompts of another observation or action size.
    """
    if n < 1 or not len(prompts):
        raise MethodError(f"{method} needs n and prompts of 1 or more; got n={n}, {len(prompts)} prompts")
    shown = prompts.behaviors.observations.shape[2], prompts.behaviors.actions.shape[2]
    if shown != (spec.obs_dim, spec.action_dim):
        raise MethodError(
            f"{method} was fitted to observations and actions of sizes {spec.obs_dim} and {spec.action_dim}, "
            f"but prompts of {prompts.task} have {shown[0]} and {shown[1]}"
        )


def task_stream(prompts: PromptSet) -> int:
    """A number for `Context.torch_generator` and `rng`, so that tasks do not share their luck. The suite, which may be
    a path, does not enter."""
    return zlib.crc32(prompts.task.encode())
