"""Multi-task offline RL: one prompt-conditioned policy, trained by IQL on all seen tasks, finetuned on the prompts.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maa_bench.errors import MethodError
from maa_bench.method import Context, FlatPolicies, MethodCard, Scale, TrainingSet
from maa_bench.prompts import PromptSet

if TYPE_CHECKING:
    from ..shared.prompted_policy import PromptedPolicy
    from .policy import AnswerConfig, Config


class MultiTaskRL:
    """Learns one policy for all tasks from rewarded transitions; prompts tell it the task, then finetune it.

    Args:
        scale: a section of `config.toml`.
        config: used in its place.
    """

    card = MethodCard(
        name="multi_task_rl",
        family="multi-task",
        summary="One prompt-conditioned policy by offline RL (IQL) on all seen tasks, finetuned on the prompts.",
        trained_on="seen",
        uses="prompts",
        citation="Kostrikov et al., Offline RL with Implicit Q-Learning, ICLR 2022, arXiv 2110.06169",
    )

    def __init__(self, *, scale: Scale = "small", config: Config | None = None) -> None:
        from ..shared.config import read_config
        from .policy import Config

        self.config: AnswerConfig = config or read_config(Config, scale, Path(__file__).with_name("config.toml"))
        self._model: PromptedPolicy | None = None

    @property
    def n_parameters(self) -> int:
        """Weights of the policy and of the encoder of prompts."""
        return sum(p.numel() for p in self._fitted().parameters())

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Train on the transitions and behaviours of the seen tasks.

        Raises:
            MethodError: a task without transitions, or a training that diverged.
        """
        from .policy import Config, fit_offline

        assert isinstance(self.config, Config)
        self._model = fit_offline(self.card.name, training_set, self.config, context)

    def generate(self, prompts: PromptSet, n: int, context: Context) -> FlatPolicies:
        """Make n policies: candidate i is told prompt i mod len(prompts), then clones all prompts' steps.

        Raises:
            MethodError: not fitted, no prompts, n below 1, prompts of other sizes, or a finetuning that diverged.
        """
        from ..shared.prompting import check_prompts
        from .policy import answered

        model = self._fitted()
        check_prompts(self.card.name, model.policy.spec, prompts, n)
        return FlatPolicies(model.policy.spec, answered(model, prompts, n, self.config.finetune, context))

    def save(self, folder: Path) -> None:
        """Write the encoder and the policy into an existing empty folder."""
        from ..shared.saving import save_module

        model = self._fitted()
        save_module(folder, model, model.policy.spec, self.config)

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Read what `save` wrote; afterwards `generate` gives the very same candidates.

        Raises:
            MethodError: saved for other policies than those of `training_set`.
        """
        from ..shared.config import parse_config
        from ..shared.prompted_policy import PromptedPolicy
        from ..shared.saving import load_state, saved_record

        record = saved_record(folder, training_set.spec)
        self.config = parse_config(type(self.config), record["config"], str(folder))
        model = PromptedPolicy(training_set.spec, self.config.prompt)
        load_state(folder, model)
        self._model = model.requires_grad_(False)

    def _fitted(self) -> PromptedPolicy:
        if self._model is None:
            raise MethodError(f"{self.card.name} is not fitted: call fit or load first")
        return self._model
