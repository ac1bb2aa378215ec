"""Clips kept on disk or in memory: drawing and encoding happen once, however often training sees a clip."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from ..atomic import replace_when_done

Tensors = dict[str, Tensor]


class ClipCache:
    """Dicts of tensors by number, made when first asked for.

    Args:
        make: number -> tensors; a function of the number alone.
        folder: keeps them on disk, one file each, for later runs and for other processes; none: in memory.
        key: names everything they depend on; tensors of another key are never read.
    """

    def __init__(self, make: Callable[[int], Tensors], folder: str | Path | None = None, key: str = ""):
        self.make = make
        self.folder = None
        self._kept: dict[int, Tensors] = {}
        if folder is not None:
            self.folder = Path(folder) / hashlib.sha256(key.encode()).hexdigest()[:16]
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "key.txt").write_text(key + "\n")

    def __getitem__(self, index: int) -> Tensors:
        from safetensors.torch import load, save

        if self.folder is None:
            if index not in self._kept:
                self._kept[index] = self.make(index)
            return self._kept[index]
        path = self.folder / f"{index:06d}.safetensors"
        if path.is_file():
            return load(path.read_bytes())
        made = self.make(index)
        with replace_when_done(path) as temporary:
            temporary.write_bytes(save({name: tensor.contiguous() for name, tensor in made.items()}))
        return made
