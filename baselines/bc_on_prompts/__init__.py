"""Behaviour cloning on the prompts alone: what the shown steps are worth without any seen task.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maa_bench.errors import MethodError
from maa_bench.method import Context, FlatPolicies, MethodCard, Scale, TrainingSet
from maa_bench.policy import PolicySpec, initial_params
from maa_bench.prompts import PromptSet

from ..shared.config import FinetuneConfig, read_config

BATCH = 16
"""Policies are cloned so many at a time, the last batch filled up, so that candidate i does not depend on n."""
FIRST_WEIGHTS, STEPS = range(2)
"""Streams of the context: first weights of each policy, and the draws of steps."""


@dataclass(frozen=True)
class Config:
    """`cloning`: how each policy is cloned."""

    cloning: FinetuneConfig


class BCOnPrompts:
    """Clones all prompts' steps n times, each time from other first weights; knows nothing of the seen tasks.

    Args:
        scale: a section of `config.toml`.
        config: used in its place.
    """

    card = MethodCard(
        name="bc_on_prompts",
        family="control",
        summary="Behaviour cloning from scratch on the given prompts only, n times from other first weights.",
        trained_on="nothing",
        uses="prompts",
        citation="Pomerleau, ALVINN: An Autonomous Land Vehicle in a Neural Network, NIPS 1988",
    )

    def __init__(self, *, scale: Scale = "small", config: Config | None = None) -> None:
        self.config = config or read_config(Config, scale, Path(__file__).with_name("config.toml"))
        self._spec: PolicySpec | None = None

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Note what kind of policies is wanted; no checkpoint and no step of a seen task is looked at."""
        self._spec = training_set.spec

    def generate(self, prompts: PromptSet, n: int, context: Context) -> FlatPolicies:
        """Clone n policies on the steps of all prompts; candidate i is the same for every n.

        Raises:
            MethodError: not fitted, no prompts, n below 1, prompts of other sizes, or cloning diverged.
        """
        import torch

        from ..shared.finetuning import finetuned
        from ..shared.prompting import check_prompts, task_stream
        from ..shared.steps import shown_steps

        if self._spec is None:
            raise MethodError("bc_on_prompts is not fitted: call fit or load first")
        check_prompts("bc_on_prompts", self._spec, prompts, n)
        task = task_stream(prompts)
        observations, actions = (torch.tensor(part, device=context.device) for part in shown_steps(prompts.behaviors))
        made: list[np.ndarray] = []
        for start in range(0, n, BATCH):
            rngs = [context.rng(FIRST_WEIGHTS, task, i) for i in range(start, start + BATCH)]
            first = torch.from_numpy(np.stack([initial_params(self._spec, rng) for rng in rngs])).to(context.device)
            chance = context.torch_generator(STEPS, task, start)
            cloned = finetuned(self._spec, first, observations, actions, self.config.cloning, context, chance)
            made.append(cloned.cpu().numpy())
        return FlatPolicies(self._spec, np.concatenate(made)[:n])

    @property
    def n_parameters(self) -> int:
        """0: a fit leaves nothing behind."""
        return 0

    def save(self, folder: Path) -> None:
        """Nothing is needed but the kind of policies, and `load` is told that."""

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Note what kind of policies is wanted."""
        self._spec = training_set.spec
