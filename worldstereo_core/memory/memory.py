"""The geometric memory: a global point cloud and a bank of views. Immutable; an update returns a new object."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..geometry.point_cloud import PointCloud


@dataclass(frozen=True)
class View:
    """One picture of the stereo bank with its camera.

    Attributes:
        image: [3, H, W] uint8.
        w2c: [4, 4] float32.
        K: [3, 3] float32, pixels of this view's own H x W.
        name: e.g. "image" or "clip_01/0003".
        clip: 0 for the input image, then 1, 2, ...
        depth: [H, W] float32 camera z in scene units, 0 = no data, or None.
    """

    image: Tensor
    w2c: Tensor
    K: Tensor
    name: str
    clip: int = 0
    depth: Tensor | None = None


@dataclass(frozen=True)
class GeometricMemory:
    """Global memory (points) and stereo memory (views) of one world.

    Attributes:
        points: the global point cloud.
        views: the stereo bank, in order of arrival; views may differ in size.
        median_depth: median camera z of the input image's valid depth, scene units; the unit that distances
            on nodes refer to.
        history: one sentence per step that made this memory, oldest first.
    """

    points: PointCloud
    views: tuple[View, ...]
    median_depth: float
    history: tuple[str, ...] = ()
