"""The mean of the seen checkpoints that behave most like a prompt: averaging weights instead of generating them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from maa_bench.errors import MethodError
from maa_bench.method import Context, FlatPolicies, MethodCard, Scale, TrainingSet, prompt_of_candidate
from maa_bench.policy import Float32
from maa_bench.prompts import PromptSet

from ..shared.config import read_config
from ..shared.nearest import behaviour_distances
from ..shared.prompting import check_prompts


@dataclass(frozen=True)
class Config:
    """Attributes:
    nearest: checkpoints that are averaged.
    within: `any` checkpoints count, or only those of the nearest one's `lineage`: runs of the same name, whatever
        their task. Producers start such runs from the same weights, so that their checkpoints can be averaged.
    """

    nearest: int
    within: str

    def __post_init__(self) -> None:
        if self.nearest < 1 or self.within not in ("any", "lineage"):
            raise MethodError(f"mean_checkpoint: needs nearest >= 1 and within 'any' or 'lineage', not {self}")


class MeanCheckpoint:
    """Answers a prompt with the mean of the checkpoints nearest to it.

    Args:
        scale: a section of `config.toml`; all are alike.
        config: used in its place.
    """

    card = MethodCard(
        name="mean_checkpoint",
        family="control",
        summary="The mean of the training checkpoints whose behaviours are nearest to the prompt's.",
        uses="prompts",
        citation="Wortsman et al., Model soups, ICML 2022, arXiv 2203.05482 (averaging); retrieval is ours",
    )

    def __init__(self, *, scale: Scale = "small", config: Config | None = None) -> None:
        self.config = config or read_config(Config, scale, Path(__file__).with_name("config.toml"))
        self._training_set: TrainingSet | None = None

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Remember the checkpoints."""
        self._training_set = training_set

    def generate(self, prompts: PromptSet, n: int, context: Context) -> FlatPolicies:
        """Candidate i is the mean of the nearest k checkpoints to prompt i mod n_prompts, if i < n_prompts; of the
        next k of them in the following round, and so on, from the nearest again when none are left.

        Raises:
            MethodError: not fitted, no prompts, n below 1, or prompts of other sizes.
        """
        data = self._fitted()
        check_prompts("mean_checkpoint", data.spec, prompts, n)
        order = np.argsort(behaviour_distances(prompts.behaviors, data.behaviors), axis=1, kind="stable")
        eligible = [self._eligible(row) for row in order]
        made = [
            self._mean(eligible[prompt], i // len(prompts))
            for i, prompt in enumerate(prompt_of_candidate(n, len(prompts)))
        ]
        return FlatPolicies(data.spec, np.stack(made))

    def _eligible(self, order: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Of all rows, nearest first, those that may be averaged with the nearest."""
        if self.config.within == "any":
            return order
        run = self._fitted().run
        return order[run[order] == run[order[0]]]

    def _mean(self, rows: npt.NDArray[np.intp], turn: int) -> Float32:
        """The mean of the `turn`-th k of `rows`: (n_params,) float32, summed in float64."""
        k = min(self.config.nearest, len(rows))
        chosen = rows[(turn * k + np.arange(k)) % len(rows)]
        mean: Float32 = self._fitted().params[chosen].mean(axis=0, dtype=np.float64).astype(np.float32)
        return mean

    def save(self, folder: Path) -> None:
        """Nothing but the training set is needed, and `load` is given that."""

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Remember the checkpoints."""
        self._training_set = training_set

    def _fitted(self) -> TrainingSet:
        if self._training_set is None:
            raise MethodError("mean_checkpoint is not fitted: call fit or load first")
        return self._training_set
