"""Meta-imitation by MAML (Finn et al., CoRL 2017, arXiv 1709.04905): a few gradient steps on a prompt make a policy.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maa_bench.errors import MethodError
from maa_bench.method import Context, FlatPolicies, MethodCard, Scale, TrainingSet
from maa_bench.prompts import PromptSet

from ..shared.config import parse_config, read_config
from .config import Config

if TYPE_CHECKING:
    from .maml import MetaPolicy

BATCH = 16
"""Candidates are made so many at a time, the last batch filled up, so that candidate i does not depend on n."""


class MetaIL:
    """Learns first weights and step sizes from which gradient steps on prompts give a task's policy.

    Args:
        scale: a section of `config.toml`.
        config: used in its place.
    """

    card = MethodCard(
        name="meta_il",
        family="meta",
        summary="MAML: first weights and step sizes from which a few cloning steps on the prompts give a policy.",
        trained_on="seen",
        uses="prompts",
        citation="Finn et al., One-Shot Visual Imitation Learning via Meta-Learning, CoRL 2017, arXiv 1709.04905; "
        "Finn et al., MAML, ICML 2017, arXiv 1703.03400",
    )

    def __init__(self, *, scale: Scale = "small", config: Config | None = None) -> None:
        self.config = config or read_config(Config, scale, Path(__file__).with_name("config.toml"))
        self._policy: MetaPolicy | None = None

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Meta-train on prompts and labelled steps of all training tasks."""
        from .train import fit_meta_policy

        self._policy = fit_meta_policy(training_set, self.config, context)

    def generate(self, prompts: PromptSet, n: int, context: Context) -> FlatPolicies:
        """Adapt n times, candidate i first to prompt i mod n_prompts (see `config.py`); it is the same for every n.

        Raises:
            MethodError: not fitted, no prompts, n below 1, prompts of other sizes, or inner steps diverged.
        """
        from ..shared.prompting import check_prompts
        from .train import adapted_candidates

        policy = self._fitted()
        check_prompts("meta_il", policy.spec, prompts, n)
        policy.to(context.device)
        batches = [
            adapted_candidates(policy, prompts, start, BATCH, self.config, context).cpu().numpy()
            for start in range(0, n, BATCH)
        ]
        return FlatPolicies(policy.spec, np.concatenate(batches)[:n])

    @property
    def n_parameters(self) -> int:
        """How many numbers were trained."""
        return sum(parameter.numel() for parameter in self._fitted().parameters())

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `model.json`."""
        from ..shared.saving import save_module

        policy = self._fitted()
        save_module(folder, policy, policy.spec, self.config)

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Read what `save` wrote; afterwards `generate` gives the very same candidates.

        Raises:
            MethodError: saved for other policies than those of `training_set`.
        """
        import torch

        from ..shared.saving import load_state, saved_record
        from .maml import MetaPolicy

        spec = training_set.spec
        record = saved_record(folder, spec)
        self.config = parse_config(Config, record["config"], str(folder / "model.json"))
        policy = MetaPolicy(spec, torch.zeros(spec.n_params), self.config.first_step_size)
        load_state(folder, policy)
        self._policy = policy

    def _fitted(self) -> MetaPolicy:
        if self._policy is None:
            raise MethodError("meta_il is not fitted: call fit or load first")
        return self._policy
