"""Which clips a diffusion stage learns from, and the VAE that encodes them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from ..checks import WorldStereoError
from ..model.conditioning import VAE
from ..model.config import WorldStereoConfig
from .clip_cache import ClipCache, Tensors
from .encoding import encode_clip, pack_clip, packed, unpack_clip, unpacked
from .folder_clips import FolderClips
from .picture_codec import PictureCodec
from .world_clips import HELD_OUT_SEED, WorldClips


@dataclass(frozen=True)
class ClipSettings:
    """Clips of a run.

    Attributes:
        vae: Wan VAE file that encodes them.
        worlds: which worlds, moves, sizes and depth errors.
        count: clips to learn from; ``worlds.clips_per_world`` of them show the same world.
        folders: of real posed pictures with depth, in place of worlds; see ``folder_clips.FolderClips``.
            Sizes and depth errors are those of ``worlds``.
        step: of folders: take every such frame.
        depth_scale: of folders: what depth is multiplied by to be in the unit of the poses.
        held_out: clips of other worlds, for samples and figures: every world's last, which comes back to
            where the first began. Of folders: the last clips of all.
        drawn: folder that keeps drawn pictures, whatever the VAE; none: in memory.
        encoded: folder that keeps latents; none: in memory.
    """

    vae: str
    worlds: WorldClips = field(default_factory=WorldClips)
    count: int = 1200
    held_out: int = 9
    drawn: str | None = None
    encoded: str | None = None
    folders: tuple[str, ...] = ()
    step: int = 1
    depth_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("count", "held_out"):
            if getattr(self, name) < 1:
                raise WorldStereoError(f"{name}: got {getattr(self, name)}, expected at least 1.")

    def sources(self) -> tuple[WorldClips, list[int], WorldClips, list[int]]:
        """Clips to learn from and their numbers, held-out clips and theirs.

        Raises: WorldStereoError if the folders hold too few clips.
        """
        worlds = self.worlds
        if self.folders:
            clips = FolderClips(
                **_fields(worlds), folders=self.folders, step=self.step, depth_scale=self.depth_scale
            )
            learnt = min(self.count, len(clips) - self.held_out)
            if learnt < 1:
                raise WorldStereoError(
                    f"clips.folders: they hold {len(clips)} clips, expected more than the {self.held_out} "
                    "that are held out. Add folders, lower held_out, or take fewer frames per clip."
                )
            return clips, list(range(learnt)), clips, list(range(len(clips) - self.held_out, len(clips)))
        held_out = replace(worlds, first_world=worlds.first_world + HELD_OUT_SEED)
        every, last = worlds.clips_per_world, worlds.clips_per_world - 1
        return worlds, list(range(self.count)), held_out, [every * n + last for n in range(self.held_out)]

    def codec(self) -> VAE:
        """The VAE, on the CPU."""
        return _codec(self.vae)


@lru_cache(maxsize=1)
def _codec(path: str) -> PictureCodec:
    return PictureCodec.from_file(path)


def drawn_clips(worlds: WorldClips, folder: str | None) -> ClipCache:
    """Clips of worlds as bytes, kept."""
    key = json.dumps(asdict(worlds), sort_keys=True)
    return ClipCache(lambda index: pack_clip(worlds.make(index)), folder, key)


class EncodedDataset(Dataset[Tensors]):
    """Encoded clips by number.

    Args:
        settings: see ``ClipSettings``.
        config: of the control that is trained; says which first-frame latents are made.
        worlds: the worlds to take; ``settings.worlds`` or held-out ones.
        numbers: the clips of those worlds.
    """

    def __init__(
        self, settings: ClipSettings, config: WorldStereoConfig, worlds: WorldClips, numbers: list[int]
    ):
        self.settings, self.config, self.numbers = settings, config, numbers
        self.worlds = worlds
        self.drawn = drawn_clips(worlds, settings.drawn)
        weights = hashlib.sha256(Path(settings.vae).read_bytes()).hexdigest() if settings.encoded else ""
        key = json.dumps([asdict(worlds), weights, config.latent_condition_mode], sort_keys=True)
        self.encoded = ClipCache(self._encode, settings.encoded, key)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Tensors:
        return unpacked(self.encoded[self.numbers[index]])

    def _encode(self, number: int) -> Tensors:
        clip = unpack_clip(self.drawn[number])
        if self.settings.drawn is None:
            self.drawn = drawn_clips(self.worlds, None)  # pictures are not needed twice
        return packed(encode_clip(clip, self.settings.codec(), self.config))


def encoded_dataset(settings: ClipSettings, config: WorldStereoConfig) -> EncodedDataset:
    """The clips to learn from."""
    clips, numbers, _, _ = settings.sources()
    return EncodedDataset(settings, config, clips, numbers)


def held_out_clips(settings: ClipSettings, config: WorldStereoConfig) -> dict[str, Tensor]:
    """Clips that are never learnt from, as one batch."""
    _, _, clips, numbers = settings.sources()
    dataset = EncodedDataset(settings, config, clips, numbers)
    return collate([dataset[index] for index in range(len(dataset))])


def _fields(worlds: WorldClips) -> dict[str, Any]:
    return {each.name: getattr(worlds, each.name) for each in fields(worlds)}


def collate(clips: list[Tensors]) -> Tensors:
    """A batch of clips; banks are filled up with their last view, which no frame matches."""
    most = max(len(clip["bank_latents"]) for clip in clips)
    filled = [
        {
            key: _filled(value, most) if key in ("bank_latents", "bank_w2c", "bank_tokens") else value
            for key, value in clip.items()
        }
        for clip in clips
    ]
    return default_collate(filled)


def _filled(views: Tensor, count: int) -> Tensor:
    return torch.cat([views, views[-1:].expand(count - len(views), *views.shape[1:])])
