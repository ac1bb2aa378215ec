"""Pictures for the VAE to learn from: drawn worlds, or a folder of the user's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..atomic import replace_when_done
from ..checks import WorldStereoError
from ..formats.images import read_image, to_bytes
from ..geometry.pictures import fit_pictures
from .config import check_number
from .world_pictures import draw_world_pictures

HELD_OUT_SEED = 1_000_000  # worlds from here on are never learnt from
HELD_OUT_VIEWS = 2
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class PictureData:
    """Where pictures come from; all are drawn or read once and kept in memory as bytes.

    Attributes:
        source: procedural worlds, or the pictures of a folder.
        folder: of the user's pictures, searched with its subfolders; they are cropped to fill the size.
        height, width: pixels, multiples of 16.
        num_worlds, frames_per_world: how much to draw: worlds of the seeds 0, 1, ..., in turn rooms, streets
            and landscapes.
        num_held_out: pictures never learnt from, for samples and figures: of other worlds, or files evenly
            taken out of the folder.
        cache: folder that keeps drawn pictures for the next run; none: draw them again.
    """

    source: Literal["worlds", "folder"] = "worlds"
    folder: str | None = None
    height: int = 64
    width: int = 96
    num_worlds: int = 400
    frames_per_world: int = 20
    num_held_out: int = 64
    cache: str | None = None

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            check_number(name, getattr(self, name), at_least=16)
            if getattr(self, name) % 16:
                raise WorldStereoError(f"{name}: got {getattr(self, name)}, expected a multiple of 16.")
        for name in ("num_worlds", "frames_per_world", "num_held_out"):
            check_number(name, getattr(self, name), at_least=1)
        check_number("num_worlds", self.num_worlds, at_least=1, at_most=HELD_OUT_SEED)
        if (self.source == "folder") != (self.folder is not None):
            raise WorldStereoError(
                f"folder: got {self.folder}, but source is {self.source}. Set both, or neither for drawn "
                "worlds."
            )

    def training(self) -> PictureSet:
        return PictureSet(self._pictures("training"))

    def held_out(self) -> Tensor:
        """[num_held_out, 3, H, W] float 0..1."""
        return self._pictures("held_out").float() / 255

    def statistics(self, count: int = 1024) -> Tensor:
        """Evenly chosen training pictures, to measure latents on: [n, 3, H, W] float 0..1."""
        pictures = self._pictures("training")
        return pictures[torch.linspace(0, len(pictures) - 1, min(count, len(pictures))).long()].float() / 255

    def _pictures(self, part: Literal["training", "held_out"]) -> Tensor:
        if self.source == "folder":
            return read_pictures(self._files(part), self.height, self.width)
        kept = self._cache_file(part)
        if kept is not None and kept.is_file():
            return torch.from_numpy(np.load(kept))
        pictures = self._draw(part)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with replace_when_done(kept) as temporary:
                np.save(temporary, pictures.numpy())
        return pictures

    def _files(self, part: Literal["training", "held_out"]) -> list[Path]:
        folder = Path(self.folder or "")
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_ENDINGS)
        if len(files) <= self.num_held_out:
            raise WorldStereoError(
                f"settings.data.folder: {folder} has {len(files)} pictures, expected more than the "
                f"{self.num_held_out} that are held out. Add pictures or lower num_held_out."
            )
        held_out = {
            round(i * (len(files) - 1) / max(1, self.num_held_out - 1)) for i in range(self.num_held_out)
        }
        return [file for i, file in enumerate(files) if (i in held_out) == (part == "held_out")]

    def _draw(self, part: Literal["training", "held_out"]) -> Tensor:
        if part == "training":
            return draw_world_pictures(range(self.num_worlds), self.frames_per_world, self.height, self.width)
        # Of every held-out world a few views, so that many worlds are judged.
        seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + -(-self.num_held_out // HELD_OUT_VIEWS))
        return draw_world_pictures(seeds, HELD_OUT_VIEWS, self.height, self.width)[: self.num_held_out]

    def _cache_file(self, part: str) -> Path | None:
        if self.cache is None:
            return None
        facts = json.dumps({**asdict(self), "cache": None}, sort_keys=True)
        return Path(self.cache) / f"{part}_{hashlib.sha256(facts.encode()).hexdigest()[:12]}.npy"


class PictureSet(Dataset):
    """Pictures as bytes [n, 3, H, W], taken out in batches."""

    def __init__(self, pictures: Tensor):
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        return self.pictures[index]


def read_pictures(files: list[Path], height: int, width: int) -> Tensor:
    """Read picture files, crop and scale them to one size: uint8 [n, 3, H, W]."""
    pictures = torch.empty(len(files), 3, height, width, dtype=torch.uint8)
    for index, file in enumerate(files):
        picture = fit_pictures(read_image(file)[None], height, width, "crop")[0]
        pictures[index] = to_bytes(str(file), picture)
    return pictures
