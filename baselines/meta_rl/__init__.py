"""Meta-RL by inference: a posterior over the task from rewarded transitions (PEARL), trained offline (FOCAL, IQL).

As it is, or finetuned on the prompts.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maa_bench.errors import MethodError
from maa_bench.method import Context, FlatPolicies, MethodCard, Scale, TrainingSet
from maa_bench.prompts import SEGMENT, PromptSet, RewardedPromptSet

if TYPE_CHECKING:
    from .agent import Config, MetaAgent

_CITATION = "Rakelly et al., PEARL, ICML 2019, arXiv 1903.08254; Li et al., FOCAL, ICLR 2021, arXiv 2010.01112"


class MetaRL:
    """Infers the task from the prompts' states, actions and rewards; no gradient step at test time.

    Args:
        scale: a section of `config.toml`.
        config: used in its place.
    """

    card = MethodCard(
        name="meta_rl",
        family="meta",
        summary="Context-based meta-RL (PEARL, trained offline as in FOCAL): a policy told a posterior over the task.",
        trained_on="seen",
        uses="prompts+rewards",
        citation=_CITATION,
    )
    finetunes = False

    def __init__(self, *, scale: Scale = "small", config: Config | None = None) -> None:
        from ..shared.config import read_config
        from .agent import Config

        self.config = config or read_config(Config, scale, Path(__file__).with_name("config.toml"))
        self._agent: MetaAgent | None = None

    @property
    def n_parameters(self) -> int:
        """Weights of the policy and of the context encoder."""
        return sum(p.numel() for p in self._fitted().parameters())

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Train on the transitions of the seen tasks.

        Raises:
            MethodError: a task without transitions, or a training that diverged.
        """
        from .agent import fit_offline

        self._agent = fit_offline(self.card.name, training_set, self.config, context)

    def generate(self, prompts: PromptSet, n: int, context: Context) -> FlatPolicies:
        """Make n policies: candidate i is told the i-th draw of the posterior after all prompts' rewarded steps.

        Args:
            prompts: a `RewardedPromptSet`.
            n: candidates.
            context: seed and device.

        Raises:
            MethodError: not fitted, no prompts, n below 1, prompts of other sizes or without rewards, or a finetuning
                that diverged.
        """
        from ..shared.prompting import check_prompts
        from .agent import answered

        agent = self._fitted()
        check_prompts(self.card.name, agent.policy.spec, prompts, n)
        if not isinstance(prompts, RewardedPromptSet):
            raise MethodError(
                f"{self.card.name} needs the reward of each of the {SEGMENT} steps of a prompt (a RewardedPromptSet); "
                f"those of {prompts.task} do not say it"
            )
        finetune = self.config.finetune if self.finetunes else None
        return FlatPolicies(agent.policy.spec, answered(agent, prompts, prompts.rewards, n, finetune, context))

    def save(self, folder: Path) -> None:
        """Write the encoder and the policy into an existing empty folder."""
        from ..shared.saving import save_module

        agent = self._fitted()
        save_module(folder, agent, agent.policy.spec, self.config)

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Read what `save` wrote; afterwards `generate` gives the very same candidates.

        Raises:
            MethodError: saved for other policies than those of `training_set`.
        """
        from ..shared.config import parse_config
        from ..shared.saving import load_state, saved_record
        from .agent import MetaAgent

        record = saved_record(folder, training_set.spec)
        self.config = parse_config(type(self.config), record["config"], str(folder))
        agent = MetaAgent(training_set.spec, self.config.context)
        load_state(folder, agent)
        self._agent = agent.requires_grad_(False)

    def _fitted(self) -> MetaAgent:
        if self._agent is None:
            raise MethodError(f"{self.card.name} is not fitted: call fit or load first")
        return self._agent


class MetaRLFinetuned(MetaRL):
    """The same, and each candidate is then finetuned on the steps of all prompts."""

    card = MethodCard(
        name="meta_rl_finetuned",
        family="meta",
        summary="Context-based meta-RL as meta_rl, each policy then finetuned on the prompts.",
        trained_on="seen",
        uses="prompts+rewards",
        citation=_CITATION,
    )
    finetunes = True
