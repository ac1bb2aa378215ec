"""A backbone of a few lines, and conditions to go with it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Conv3d

from worldstereo_core.model.backbone import TokenGrid
from worldstereo_core.model.condition import ControlCondition
from worldstereo_core.model.config import ControlSizes, WorldStereoConfig
from worldstereo_core.model.rope import grid_rope
from worldstereo_core.model.world_control import WorldStereoControl

WIDTH, FRAMES, HEIGHT, COLUMNS, REFERENCES = 24, 3, 4, 6, 2  # latent frames, rows, columns
GRID = TokenGrid(FRAMES, HEIGHT // 2, COLUMNS // 2)


class LinearBackbone:
    """Embeds patches and time linearly; its rope is a pair of tables."""

    width = WIDTH
    num_blocks = 4
    patch_size = (1, 2, 2)

    def __init__(self):
        self.patch = Conv3d(36, WIDTH, (1, 2, 2), (1, 2, 2))
        self.calls: list[str] = []

    def embed_time(self, timesteps: Tensor) -> Tensor:
        self.calls.append("time")
        return timesteps.float()[:, None] / 1000 * torch.ones(16)

    def embed_patches(self, latents: Tensor) -> Tensor:
        self.calls.append("patches")
        return self.patch(latents).flatten(2).transpose(1, 2)

    def embed_positions(self, grid: TokenGrid) -> tuple[Tensor, Tensor]:
        self.calls.append("positions")
        return grid_rope(grid, 12)


def make_sizes(**changes: object) -> ControlSizes:
    sizes: dict[str, object] = {
        "in_channels": 36,
        "embed_width": 20,
        "width": 16,
        "num_heads": 2,
        "ffn_width": 32,
        "num_blocks": 3,
        "time_width": 16,
        "output_width": WIDTH,
        "mask_channels": 7,
        "mask_width": 16,
        "mask_kernel": 1,
    }
    return ControlSizes(**(sizes | changes))  # type: ignore[arg-type]


def make_control(camera_tokens: int | None = 7, **changes: object) -> WorldStereoControl:
    torch.manual_seed(0)
    config = WorldStereoConfig(make_sizes(**changes), camera_tokens, "memory" if camera_tokens else "camera")
    return WorldStereoControl(config).requires_grad_(False).eval()


def make_condition(batch: int = 1, mask_frames: int = FRAMES, references: bool = True) -> ControlCondition:
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, generator=generator)

    pixels = (mask_frames, 8 * HEIGHT, 8 * COLUMNS)
    condition = {
        "render_latents": random(16, FRAMES, HEIGHT, COLUMNS),
        "hole_mask": (random(1, *pixels) > 0).float(),
        "rays": random(6, *pixels),
    }
    if references:
        condition |= {
            "reference_latents": random(16, REFERENCES, HEIGHT, COLUMNS),
            "reference_index": torch.tensor([0, 1]),
            "camera_tokens": random(FRAMES, 7),
            "reference_camera_tokens": random(REFERENCES, 7),
        }
    return ControlCondition(**condition)


def make_latents(batch: int = 1) -> Tensor:
    return torch.randn(batch, 36, FRAMES, HEIGHT, COLUMNS, generator=torch.Generator().manual_seed(2))
