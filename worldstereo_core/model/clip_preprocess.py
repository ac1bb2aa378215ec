"""Pictures for CLIP vision: ordinary preprocessing, and the released pipelines' own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..checks import check_shape

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CLIP_SIZE = 224


def clip_pixels(image: Tensor, *, is_rescaled: bool = True, size: int = CLIP_SIZE) -> Tensor:
    """Resize the shorter side to ``size``, cut out the middle, normalise.

    Args:
        image: [3, H, W], 0..1.
        is_rescaled: True as CLIP was trained. False reproduces the released WorldStereo pipelines, which
            leave pixels at 0..255 before mean and deviation are applied.
        size: height and width of the result.

    Returns:
        [1, 3, size, size] float32.
    """
    sizes = check_shape("image", image, (3, "H", "W"), "Give one RGB picture.")
    height, width = sizes["H"], sizes["W"]
    shorter = min(height, width)
    target = (int(size * height / shorter), int(size * width / shorter))
    # Whole grey levels before and after the resize, as a picture file has them.
    levels = (image.float() * 255).round().clamp(0, 255)[None]
    resized = interpolate(levels, size=target, mode="bicubic", align_corners=False, antialias=True)
    resized = resized.round().clamp(0, 255)
    top, left = (target[0] - size) // 2, (target[1] - size) // 2
    pixels = resized[..., top : top + size, left : left + size]
    if is_rescaled:
        pixels = pixels / 255
    mean = torch.tensor(CLIP_MEAN, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(CLIP_STD, device=pixels.device).view(1, 3, 1, 1)
    return (pixels - mean) / std
