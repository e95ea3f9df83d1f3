"""The state of a SAC training on disk: what a killed one needs to go on with the bytes that it would have had.

One folder a save, whole or absent. What was lived through and shown since the save before is written once and never
again; the networks of an older save are removed when a newer one is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from maa_bench.dataset.producers import Snapshot
from maa_bench.files import remove_leftovers, whole_folder, write_bytes, write_json

ABOUT, LIVED, SHOWN, NOW = "about.json", "lived.safetensors", "shown.safetensors", "now.safetensors"


@dataclass(frozen=True)
class Save:
    """One save.

    Attributes:
        env_step: environment steps of every run so far.
        runs: those that are still trained, by index.
        lived: (len(runs), steps, width) transitions since the save before.
        shown: snapshots since the save before.
        now: networks and random numbers, by name; empty when read of any save but the last.
    """

    env_step: int
    runs: list[int]
    lived: Tensor
    shown: list[Snapshot]
    now: Mapping[str, Tensor]


class Saves:
    """The saves of one training.

    Args:
        folder: where they lie.
        identity: names the training; saves of another one are removed.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder / identity[:16]
        if folder.is_dir():
            for other in folder.iterdir():
                if other != self._folder:
                    shutil.rmtree(other, ignore_errors=True)
        remove_leftovers(self._folder, ".*")
        self._count = 0

    def write(self, save: Save) -> None:
        """Add a save."""
        with whole_folder(self._path(self._count)) as folder:
            about = {"env_step": save.env_step, "runs": save.runs}
            write_json(folder / ABOUT, about | {"shown": [[s.run, s.step, s.env_step] for s in save.shown]})
            _write(folder / LIVED, {"rows": save.lived})
            _write(folder / SHOWN, {str(i): torch.from_numpy(s.params) for i, s in enumerate(save.shown)})
            _write(folder / NOW, save.now)
        if self._count:
            (self._path(self._count - 1) / NOW).unlink(missing_ok=True)
        self._count += 1

    def read(self) -> Iterator[Save]:
        """Every save, oldest first; further ones are then added after them."""
        while self._path(self._count).is_dir():
            folder = self._path(self._count)
            self._count += 1
            about = json.loads((folder / ABOUT).read_text())
            params = load_file(folder / SHOWN)
            shown = [
                Snapshot(run, step, env_step, params[str(i)].numpy())
                for i, (run, step, env_step) in enumerate(about["shown"])
            ]
            last = not self._path(self._count).is_dir()
            now = load_file(folder / NOW) if last else {}
            yield Save(about["env_step"], about["runs"], load_file(folder / LIVED)["rows"], shown, now)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}"


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    write_bytes(path, save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}))
