"""Make-An-Agent (Liang et al., NeurIPS 2024, arXiv 2407.10973): policies from behaviour, by diffusion.

Nothing heavy is imported here, because `maa-bench list` imports every method to show its card.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maa_bench.errors import MethodError
from maa_bench.method import Context, FlatPolicies, MethodCard, Scale, TrainingSet, prompt_of_candidate
from maa_bench.policy import PolicySpec
from maa_bench.prompts import PromptSet

from ..shared.config import parse_config
from ..shared.prompting import check_prompts, task_stream
from .config import Config, read_config

if TYPE_CHECKING:
    from .generator import LatentGenerator

BATCH = 32
"""Candidates are made so many at a time, the last batch filled up, so that their bits do not depend on n."""
NOISE = 100
"""Stream of `Context.torch_generator` for the start noise (those of training are in `train.py`)."""
FORMAT = 1
"""Version of what `save` writes."""


class MakeAnAgent:
    """Generates policies for a task from trajectories of it.

    Args:
        scale: `small` (a minute on one CPU thread) or `paper` (the published sizes; needs a GPU).
        config: used in place of the scale's section of `config.toml`.
    """

    card = MethodCard(
        name="make_an_agent",
        family="generator",
        summary="Diffusion over autoencoded policy parameters, prompted by an embedding of behaviour.",
        trained_on="seen",
        uses="prompts",
        citation="Liang et al., Make-An-Agent, NeurIPS 2024, arXiv 2407.10973",
    )

    def __init__(self, *, scale: Scale = "small", config: Config | None = None) -> None:
        self.config = config or read_config(scale)
        self._spec: PolicySpec | None = None
        self._generator: LatentGenerator | None = None

    def fit(self, training_set: TrainingSet, context: Context) -> None:
        """Train on the parameters and behaviours of all checkpoints (about a minute at small scale)."""
        from .train import fit_generator

        self._generator = fit_generator(self._new_generator, training_set, context)
        self._spec = training_set.spec

    def generate(self, prompts: PromptSet, n: int, context: Context) -> FlatPolicies:
        """Make n policies; candidate i answers prompt i mod len(prompts), from start noise of its own.

        Candidate i is the same for every n: its noise is the i-th draw of a generator seeded by the context
        and the task, and the networks always see batches of the same size.

        Raises:
            MethodError: not fitted, no prompts, n below 1, or prompts of another observation or action size.
        """
        import torch

        generator, spec = self._fitted()
        check_prompts(self.card.name, spec, prompts, n)
        traj, task = prompts.behaviors.trajectory_vectors(), prompts.behaviors.outcome_vectors()
        generator.to(context.device)
        chance = context.torch_generator(NOISE, task_stream(prompts))
        made: list[np.ndarray] = []
        for start in range(0, n, BATCH):
            chosen = prompt_of_candidate(start + BATCH, len(prompts))[start:]
            made_of = [generator.start_noise(i >= len(prompts), chance) for i in range(start, start + BATCH)]
            rows = (torch.tensor(traj[chosen]), torch.tensor(task[chosen]), torch.stack(made_of))
            made.append(generator(*(row.to(context.device) for row in rows)).cpu().numpy())
            context.progress("sampling", min(start + BATCH, n), n)
        return FlatPolicies(spec, np.concatenate(made)[:n])

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` (all tensors) and `model.json` (sizes, configuration) into `folder`."""
        from safetensors.torch import save_file

        generator, spec = self._fitted()
        tensors = {name: tensor.contiguous().cpu() for name, tensor in generator.state_dict().items()}
        save_file(tensors, folder / "model.safetensors")
        record = {
            "format": FORMAT,
            "policy": spec.id,
            "traj_dim": generator.traj_dim,
            "task_dim": generator.task_dim,
            "config": dataclasses.asdict(self.config),
        }
        (folder / "model.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    def load(self, folder: Path, training_set: TrainingSet) -> None:
        """Read what `save` wrote; afterwards `generate` gives the very same candidates.

        Raises:
            MethodError: saved by another version, or for other policies than those of `training_set`.
        """
        from safetensors.torch import load_file

        record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if record.get("format") != FORMAT:
            raise MethodError(
                f"{folder / 'model.json'} has format {record.get('format')}; this is {FORMAT}. Fit again."
            )
        spec = training_set.spec
        if record["policy"] != spec.id:
            raise MethodError(f"{folder} was fitted to policies {record['policy']}, the training set holds {spec.id}")
        self.config = parse_config(type(self.config), record["config"], str(folder / "model.json"))
        generator = self._new_generator(spec, record["traj_dim"], record["task_dim"], seed=0)
        generator.load_state_dict(load_file(folder / "model.safetensors"))
        self._generator, self._spec = generator.eval(), spec

    @property
    def n_parameters(self) -> int:
        """Fitted numbers that `generate` reads; what only training needed (the encoders, for one) does not count."""
        return self._fitted()[0].n_parameters

    def _new_generator(self, spec: PolicySpec, traj_dim: int, task_dim: int, seed: int) -> LatentGenerator:
        """A generator that is not fitted; its first weights come from `seed`."""
        from .generator import PolicyGenerator

        return PolicyGenerator(self.config, spec.chunks, traj_dim, task_dim, seed)

    def _fitted(self) -> tuple[LatentGenerator, PolicySpec]:
        if self._generator is None or self._spec is None:
            raise MethodError(f"{self.card.name} is not fitted: call fit or load first")
        return self._generator, self._spec
