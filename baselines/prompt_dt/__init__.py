"""Prompt-DT without returns (Xu et al., ICML 2022, arXiv 2206.13499): a causal transformer prompted by trajectories.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maa_bench.errors import MethodError
from maa_bench.method import Agents, Context, MethodCard, Scale, TrainingSet, prompt_of_candidate
from maa_bench.policy import PolicySpec
from maa_bench.prompts import PromptSet

from ..shared.config import parse_config, read_config
from .config import Config

if TYPE_CHECKING:
    from .network import PromptTransformer

STEPS = 100
"""Stream of `Context.torch_generator` for the shown steps (those of training are in `train.py`)."""


class PromptDT:
    """Acts by a transformer that reads steps of a prompt, then the episode so far.

    Args:
        scale: `small`, `paper` or `tiny`.
        config: used in place of the scale's section of `config.toml`.
    """

    card = MethodCard(
        name="prompt_dt",
        family="meta",
        summary="A causal transformer, prompted by steps of a trajectory; without returns (the paper's Prompt-MT-BC).",
        trained_on="seen",
        uses="prompts",
        citation="Xu et al., Prompting Decision Transformer for Few-Shot Policy Generalization, ICML 2022, "
        "arXiv 2206.13499",
    )

    def __init__(self, *, scale: Scale = "small", config: Config | None = None) -> None:
        self.config = config or read_config(Config, scale, Path(__file__).with_name("config.toml"))
        self._spec: PolicySpec | None = None
        self._network: PromptTransformer | None = None

    @property
    def n_parameters(self) -> int:
        """Numbers that were trained and that acting needs."""
        network, _ = self._fitted()
        return sum(parameter.numel() for parameter in network.parameters())

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Clone the expert's labels on the training tasks' episodes, prompted by behaviours of the same task."""
        from .train import fit_transformer

        self._network = fit_transformer(training_set, self.config, context)
        self._spec = training_set.spec

    def generate(self, prompts: PromptSet, n: int, context: Context) -> Agents:
        """Make n agents; candidate i is shown steps of its own drawing of prompt i mod len(prompts).

        Candidate i is the same for every n: its steps are the i-th draw of a generator seeded by the context and the
        task, and the network reads one prompt at a time.

        Raises:
            MethodError: not fitted, no prompts, n below 1, or prompts of another observation or action size.
        """
        import torch

        from ..shared.prompting import check_prompts, task_stream
        from .acting import prompted_agents
        from .data import drawn_steps, shown

        network, spec = self._fitted()
        check_prompts("prompt_dt", spec, prompts, n)
        behaviors = shown(prompts.behaviors, context.device)
        network.to(context.device)
        chance = context.torch_generator(STEPS, task_stream(prompts))
        memories = []
        for row in prompt_of_candidate(n, len(prompts)).tolist():
            steps = drawn_steps(1, self.config.prompt_steps, chance).to(context.device)
            with torch.no_grad():
                memories.append(network.remember(*behaviors.prompts(torch.tensor([row], device=context.device), steps)))
        context.progress("prompting", n, n)
        return prompted_agents(network, memories)

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` (all tensors) and `model.json` (policy, configuration) into `folder`."""
        from ..shared.saving import save_module

        network, spec = self._fitted()
        save_module(folder, network, spec, self.config)

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Read what `save` wrote; afterwards `generate` gives the very same candidates.

        Raises:
            MethodError: saved for other policies than those of `training_set`.
        """
        from ..shared.saving import FILES, load_state, saved_record
        from .network import PromptTransformer

        spec = training_set.spec
        self.config = parse_config(Config, saved_record(folder, spec)["config"], str(folder / FILES[1]))
        network = PromptTransformer(self.config, spec, seed=0)
        load_state(folder, network)
        self._network, self._spec = network.eval(), spec

    def _fitted(self) -> tuple[PromptTransformer, PolicySpec]:
        if self._network is None or self._spec is None:
            raise MethodError("prompt_dt is not fitted: call fit or load first")
        return self._network, self._spec
