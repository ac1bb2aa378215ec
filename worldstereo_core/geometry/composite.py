"""Blend the points that cover a pixel, front to back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .rasterize import Fragments


def composite(
    fragments: Fragments,
    colours: Tensor,  # [N, C]
    radius: float,
) -> tuple[Tensor, Tensor]:
    """Blend colours front to back; a point is opaque in its middle and fades out towards its radius.

    Weight of a point: 1 - (distance / radius)^2, times what the points before it let through. The sum is NOT
    divided by the total weight, so that thinly covered pixels fade towards 0.

    Args:
        fragments: [..., K].
        colours: [N, C] of the points that the fragments index.
        radius: the one they were rasterised with.

    Returns:
        Colour sum [..., C], and its total weight [...] in 0..1.
    """
    alpha = (1 - fragments.distance2 / (radius * radius)).masked_fill(fragments.index < 0, 0)
    through = torch.cumprod(1 - alpha, dim=-1)
    weight = alpha.clone()
    weight[..., 1:] *= through[..., :-1]
    if len(colours) == 0:
        return weight.new_zeros((*weight.shape[:-1], colours.shape[1])), weight.sum(-1)
    # An embedding bag is this very sum in one kernel, without a [..., K, C] intermediate.
    slots = (-1, weight.shape[-1])
    index = fragments.index.clamp(min=0).reshape(slots)
    total = F.embedding_bag(index, colours, per_sample_weights=weight.reshape(slots), mode="sum")
    return total.reshape(*weight.shape[:-1], colours.shape[1]), weight.sum(-1)
