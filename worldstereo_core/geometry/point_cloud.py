"""Coloured points in world coordinates."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PointCloud:
    """N coloured points.

    Attributes:
        xyz: [N, 3] float32, world coordinates, scene units, OpenCV axes.
        rgb: [N, 3] float32 in 0..1.
        normal: [N, 3] float32 unit vectors in world coordinates, or None.
        confidence: [N] float32 in 0..1.
        clip: [N] int32, which clip the point came from; 0 is the input image.
    """

    xyz: Tensor
    rgb: Tensor
    confidence: Tensor
    clip: Tensor
    normal: Tensor | None = None
