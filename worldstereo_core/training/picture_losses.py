"""How far two pictures are apart, for training and for reports."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def gradient_loss(got: Tensor, expected: Tensor, num_scales: int = 2) -> Tensor:
    """Mean absolute difference of horizontal and vertical differences, on halved pictures too.

    Args:
        got, expected: [b, 3, H, W].
    """
    difference = got - expected
    total = difference.new_zeros(())
    for scale in range(num_scales):
        if scale:
            difference = F.avg_pool2d(difference, 2)
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
    return total / num_scales


def psnr(got: Tensor, expected: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of every picture in dB: [b, 3, H, W], 0..1 -> [b]."""
    error = (got - expected).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error.clamp_min(1e-12))
