"""The method around a policy emitter: fit, generate, save, load. Imports nothing heavy, as method packages must not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from maa_bench.errors import MethodError
from maa_bench.method import Context, FlatPolicies, MethodCard, TrainingSet
from maa_bench.policy import PolicySpec
from maa_bench.prompts import PromptSet

if TYPE_CHECKING:
    from .emitter import PolicyEmitter


class EmitterMethod:
    """A method that is one network from prompt to policy; a subclass has the card, the config and `build`.

    Args:
        config: an `EmitterConfig`.
    """

    card: MethodCard

    def __init__(self, config: Any) -> None:
        self.config = config
        self._network: PolicyEmitter | None = None

    def build(self, spec: PolicySpec) -> PolicyEmitter:
        """The untrained network for policies `spec`, with weights from torch's global generator."""
        raise NotImplementedError

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Train on the training tasks' prompts and labelled steps."""
        from .emitter import fit_emitter

        self._network = fit_emitter(self.build, training_set, self.config, context)

    def generate(self, prompts: PromptSet, n: int, context: Context) -> FlatPolicies:
        """Make n policies; candidate i answers prompt i mod len(prompts), see `emitted_candidates`.

        Raises:
            MethodError: not fitted, no prompts, n below 1, or prompts of another observation or action size.
        """
        from .emitter import emitted_candidates
        from .prompting import check_prompts

        network = self._fitted()
        check_prompts(self.card.name, network.spec, prompts, n)
        return FlatPolicies(network.spec, emitted_candidates(network, prompts, n, self.config.prompt_noise, context))

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` (all tensors) and `model.json` (configuration) into `folder`."""
        from .saving import save_module

        network = self._fitted()
        save_module(folder, network, network.spec, self.config)

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Read what `save` wrote; afterwards `generate` gives the very same candidates.

        Raises:
            MethodError: saved for other policies than those of `training_set`.
        """
        from .config import parse_config
        from .saving import load_state, saved_record
        from .training import first_weights

        record = saved_record(folder, training_set.spec)
        self.config = parse_config(type(self.config), record["config"], str(folder / "model.json"))
        with first_weights(0):
            network = self.build(training_set.spec)
        load_state(folder, network)
        self._network = network.eval()

    @property
    def n_parameters(self) -> int:
        """How many numbers were trained."""
        return sum(parameter.numel() for parameter in self._fitted().parameters())

    def _fitted(self) -> PolicyEmitter:
        if self._network is None:
            raise MethodError(f"{self.card.name} is not fitted: call fit or load first")
        return self._network
