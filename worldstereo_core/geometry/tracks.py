"""Points of a world and where pictures show them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .cameras import Cameras


@dataclass(frozen=True, eq=False)
class Tracks:
    """P points, V pictures and O observations of points in pictures.

    Attributes:
        cameras: one of a single frame per picture; they may differ in size.
        names: of the pictures.
        xyz: [P, 3] world coordinates, scene units, OpenCV axes.
        rgb: [P, 3] 0..1.
        point: [O] int64, which point; ascending.
        view: [O] int64, which picture; ascending within a point, none twice.
        xy: [O, 2] place in that picture, pixels; it spans [0, width] x [0, height].
    """

    cameras: tuple[Cameras, ...]
    names: tuple[str, ...]
    xyz: Tensor
    rgb: Tensor
    point: Tensor
    view: Tensor
    xy: Tensor

    @property
    def num_points(self) -> int:
        return self.xyz.shape[0]

    @property
    def num_observations(self) -> int:
        return self.point.shape[0]
