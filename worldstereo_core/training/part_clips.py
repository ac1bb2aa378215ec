"""What the optional parts of a control are shown with training clips, made by the code of inference."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..geometry.cameras import Cameras
from ..geometry.edges import canny
from ..memory.token_correspondence import shared_tokens
from ..model.conditioning import TOKEN_PIXELS, VAE
from ..model.control_parts import WARPED_CHANNELS
from ..model.part_inputs import geometry_maps, global_features, memory_depth, picture_maps, warped_latents
from .clip_cache import ClipCache, Tensors
from .encoded_clips import EncodedDataset
from .world_clips import WorldScene, quiet_retrieval

MOST_REFERENCES = 8  # of inference
RECIPE = 1  # of what is kept; another number makes it anew


def part_tensors(scene: WorldScene, vae: VAE) -> Tensors:
    """Everything about a clip that its latents do not tell and the parts need.

    Returns:
        memory_depth [F, H, W] float32 of the memory along the clip; edges [F, H, W] and semantic
        [F, 3, H, W] bytes, of the true pictures, as a user would draw or render them; warped
        [17, F, h, w] half, the references that inference would choose, carried over; bank_tokens
        [R, n, m] bytes, 1 where token n of the clip and token m of view R show the same surface.
    """
    memory, cameras = scene.memory, scene.cameras
    with quiet_retrieval():
        references = memory.retrieve(cameras, MOST_REFERENCES)
    rows, columns = cameras.height // TOKEN_PIXELS, cameras.width // TOKEN_PIXELS
    pairs = shared_tokens(memory, cameras, memory.views, rows, columns)
    by_view = pairs.dense().unflatten(1, (len(memory.views), rows * columns))  # [n, R, m]
    return {
        "memory_depth": memory_depth(memory, cameras),
        "edges": edge_pictures(scene).to(torch.uint8),
        "semantic": (semantic_pictures(scene) * 255).round().to(torch.uint8),
        "warped": warped_latents(vae, memory, cameras, references.views)[0].half(),
        "bank_tokens": by_view.transpose(0, 1).to(torch.uint8),
    }


def edge_pictures(scene: WorldScene) -> Tensor:
    """[F, H, W] bool edges of the true pictures."""
    return canny(scene.frames)


def semantic_pictures(scene: WorldScene) -> Tensor:
    """[F, 3, H, W] 0..1: a colour per thing, the same in all frames, black where nobody knows what it is."""
    if scene.instance is None:
        return torch.zeros_like(scene.frames)
    number = scene.instance[:, None]
    # Steps without a common divisor with 256 give neighbouring numbers colours far apart.
    steps = torch.tensor([97, 167, 59]).view(1, 3, 1, 1)
    return torch.where(number > 0, (number * steps + 40) % 256, 0).float() / 255


def shown_tensors(
    clip: Mapping[str, Tensor], kept: Mapping[str, Tensor], names: Sequence[str]
) -> dict[str, Tensor]:
    """What the parts of these names take.

    Args:
        clip: one clip of ``clip_batch.EncodedClips``.
        kept: what ``part_tensors`` made of it.
        names: of ``control_parts.PART_NAMES``.

    Returns:
        global_vector [16]; pictures [5, F, H, W]; geometry [7, F, H, W]; warped_references [17, F, h, w];
        bank_tokens as it was.
    """
    depth, holes = kept["memory_depth"], clip["hole_mask"][0]
    shown: dict[str, Tensor] = {}
    if "global_vector" in names:
        cameras = Cameras(clip["w2c"], clip["K"], *depth.shape[1:])
        shown["global_vector"] = global_features(cameras, depth, holes)[0]
    if "pictures" in names:
        shown["pictures"] = picture_maps(depth, kept["edges"], kept["semantic"].float() / 255)[0]
    if "geometry" in names:
        shown["geometry"] = geometry_maps(depth, clip["K"])[0]
    if "warped_references" in names:
        shown["warped_references"] = kept["warped"].float()
        assert len(kept["warped"]) == WARPED_CHANNELS
    if "attention" in names:
        shown["bank_tokens"] = kept["bank_tokens"]
    return shown


class PartDataset(Dataset[Tensors]):
    """Encoded clips with what the parts are shown.

    Args:
        encoded: the clips.
        names: of the parts.
        folder: keeps what was made, for all parts at once; none: in memory.
    """

    def __init__(self, encoded: EncodedDataset, names: Sequence[str], folder: str | None):
        self.encoded, self.names = encoded, tuple(names)
        weights = hashlib.sha256(Path(encoded.settings.vae).read_bytes()).hexdigest() if folder else ""
        key = json.dumps([asdict(encoded.worlds), weights, "parts", RECIPE], sort_keys=True)
        self.kept = ClipCache(self._make, folder, key)

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> Tensors:
        clip = self.encoded[index]
        if self.names == ("modulation",):
            return clip
        return {**clip, **shown_tensors(clip, self.kept[self.encoded.numbers[index]], self.names)}

    def _make(self, number: int) -> Tensors:
        return part_tensors(self.encoded.worlds.scene(number), self.encoded.settings.codec())
