"""Multi-task imitation: one prompt-conditioned policy cloned on all seen tasks; as it is, or finetuned on the prompts.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maa_bench.errors import MethodError
from maa_bench.method import Context, FlatPolicies, MethodCard, Scale, TrainingSet
from maa_bench.policy import PolicySpec
from maa_bench.prompts import PromptSet

from ..shared.config import parse_config, read_config
from .config import Config

if TYPE_CHECKING:
    from ..shared.prompted_policy import PromptedPolicy

BATCH = 16
"""Candidates are made so many at a time, the last batch filled up, so that candidate i does not depend on n."""
_CITATION = (
    "Jang et al., BC-Z, CoRL 2021, arXiv 2202.02005; 'Multi-task IL' of Liang et al., Make-An-Agent, NeurIPS 2024, "
    "arXiv 2407.10973, which names no algorithm"
)


class MultiTaskIL:
    """One policy for all tasks, told its task by a prompt; no gradient step at test time.

    Args:
        scale: a section of `config.toml`.
        config: used in its place.
    """

    card = MethodCard(
        name="multi_task_il",
        family="multi-task",
        summary="One prompt-conditioned policy cloned on all seen tasks' steps.",
        trained_on="seen",
        uses="prompts",
        citation=_CITATION,
    )
    finetunes = False

    def __init__(self, *, scale: Scale = "small", config: Config | None = None) -> None:
        self.config = config or read_config(Config, scale, Path(__file__).with_name("config.toml"))
        self._network: PromptedPolicy | None = None

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Clone the training tasks' labelled steps, each told by a prompt of its task."""
        from .network import fit_policy

        self._network = fit_policy(training_set, self.config, context)

    def generate(self, prompts: PromptSet, n: int, context: Context) -> FlatPolicies:
        """Fix what the policy is told: candidate i by prompt i mod n_prompts, the same for every n.

        From the second round on prompts are disturbed by the noise of training, or candidates would repeat.

        Raises:
            MethodError: not fitted, no prompts, n below 1, prompts of other sizes, or finetuning diverged.
        """
        from ..shared.prompting import check_prompts

        network = self._fitted()
        check_prompts(self.card.name, network.policy.spec, prompts, n)
        network.to(context.device)
        batches = (self._candidates(network, prompts, start, context) for start in range(0, n, BATCH))
        return FlatPolicies(network.policy.spec, np.concatenate([*batches])[:n])

    def _candidates(self, network: PromptedPolicy, prompts: PromptSet, start: int, context: Context) -> np.ndarray:
        """Candidates `start` to `start + BATCH - 1`: (BATCH, n_params) float32."""
        from .network import finetuned_on, told_policies

        policies = told_policies(network, prompts, start, BATCH, self.config.prompt_noise, context)
        if self.finetunes:
            policies = finetuned_on(prompts, policies, network.policy.spec, start, self.config.finetuning, context)
        made: np.ndarray = policies.cpu().numpy()
        return made

    @property
    def n_parameters(self) -> int:
        """How many numbers were trained."""
        return sum(parameter.numel() for parameter in self._fitted().parameters())

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `model.json`."""
        from ..shared.saving import save_module

        network = self._fitted()
        save_module(folder, network, network.policy.spec, self.config)

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Read what `save` wrote; afterwards `generate` gives the very same candidates.

        Raises:
            MethodError: saved for other policies than those of `training_set`.
        """
        from ..shared.saving import load_state, saved_record
        from .network import new_policy

        spec: PolicySpec = training_set.spec
        record = saved_record(folder, spec)
        self.config = parse_config(Config, record["config"], str(folder / "model.json"))
        network = new_policy(spec, self.config, seed=0)
        load_state(folder, network)
        self._network = network

    def _fitted(self) -> PromptedPolicy:
        if self._network is None:
            raise MethodError(f"{self.card.name} is not fitted: call fit or load first")
        return self._network


class MultiTaskILFinetuned(MultiTaskIL):
    """The same, and each candidate is then finetuned on the steps of all prompts."""

    card = MethodCard(
        name="multi_task_il_finetuned",
        family="multi-task",
        summary="One prompt-conditioned policy cloned on all seen tasks' steps, then finetuned on the prompts.",
        trained_on="seen",
        uses="prompts",
        citation=_CITATION,
    )
    finetunes = True
