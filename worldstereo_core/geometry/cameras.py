"""Pinhole cameras: OpenCV axes, world-to-camera matrices, intrinsics in pixels, half-pixel centres."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Cameras:
    """T pinhole cameras that share one image size.

    Attributes:
        w2c: [T, 4, 4] float32, x_camera = w2c @ x_world; OpenCV axes (x right, y down, z forward).
        K: [T, 3, 3] float32, pixels of a ``height`` x ``width`` image whose columns span [0, width].
        height, width: the image size K refers to, pixels.
    """

    w2c: Tensor
    K: Tensor
    height: int
    width: int
