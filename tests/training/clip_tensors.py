"""Encoded clips of random numbers, with cameras that move."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worldstereo_core.model.control_parts import (
    GEOMETRY_CHANNELS,
    GLOBAL_INPUTS,
    PART_NAMES,
    PICTURE_CHANNELS,
    WARPED_CHANNELS,
)

FRAMES, HEIGHT, COLUMNS, VIEWS = 3, 4, 6, 4  # latent frames, rows, columns; views of the bank


def encoded_clips(batch: int = 2, seed: int = 0, frames: int = FRAMES) -> dict[str, Tensor]:
    """A batch of ``clip_batch.EncodedClips``."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator)

    def cameras(count: int) -> Tensor:
        w2c = torch.eye(4).repeat(batch, count, 1, 1)
        w2c[..., :3, 3] = random(count, 3)
        return w2c

    mask = torch.zeros(batch, 4, frames, HEIGHT, COLUMNS)
    mask[:, :, 0] = 1
    grey = random(16, 1, HEIGHT, COLUMNS)
    first = random(16, 1, HEIGHT, COLUMNS)
    K = torch.tensor([[40.0, 0, 4 * COLUMNS], [0, 40.0, 4 * HEIGHT], [0, 0, 1]])
    return {
        "clean": random(16, frames, HEIGHT, COLUMNS),
        "image_condition": torch.cat(
            [mask, torch.cat([first, grey.expand(-1, -1, frames - 1, -1, -1)], dim=2)], dim=1
        ),
        "render_latents": random(16, frames, HEIGHT, COLUMNS),
        "hole_mask": (random(1, frames, 8 * HEIGHT, 8 * COLUMNS) > 0).float(),
        "K": K.expand(batch, frames, 3, 3),
        "w2c": cameras(frames),
        "bank_latents": random(VIEWS, 16, HEIGHT, COLUMNS),
        "bank_w2c": cameras(VIEWS),
        "bank_matches": torch.arange(frames - 1).expand(batch, -1) % VIEWS,
    }


def part_tensors(
    batch: int = 2, frames: int = FRAMES, names: Sequence[str] = PART_NAMES
) -> dict[str, Tensor]:
    """What ``part_clips`` adds to a batch for the parts of these names."""
    generator = torch.Generator().manual_seed(7)
    pixels = (frames, 8 * HEIGHT, 8 * COLUMNS)
    cells = HEIGHT * COLUMNS // 4
    shapes = {
        "global_vector": (GLOBAL_INPUTS,),
        "pictures": (PICTURE_CHANNELS, *pixels),
        "geometry": (GEOMETRY_CHANNELS, *pixels),
        "warped_references": (WARPED_CHANNELS, frames, HEIGHT, COLUMNS),
    }
    made = {
        name: torch.rand(batch, *shape, generator=generator)
        for name, shape in shapes.items()
        if name in names
    }
    if "attention" in names:
        made["bank_tokens"] = (
            torch.rand(batch, VIEWS, frames * cells, cells, generator=generator) > 0.7
        ).byte()
    return made
