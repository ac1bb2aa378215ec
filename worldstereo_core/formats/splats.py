"""3D Gaussian splats from points, as the PLY that trainers write.

Every point becomes one splat of degree 0: its colour, one opacity, and a size taken from the spacing of the
points around it. With normals it is a disc on the surface, else a ball. PLY holds log sizes, the opacity
before the sigmoid, colour as (rgb - 0.5) / SH_C0 and wxyz quaternions, in the axes of COLMAP (y down), which
splat viewers expect.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..atomic import replace_when_done
from ..checks import WorldStereoError, check_shape
from ..geometry.point_cloud import PointCloud
from ..in_order import in_order, thread_pool
from .point_axes import UpAxis, turned_columns

SH_C0 = 0.28209479177387814  # 1 / (2 sqrt(pi)), the constant spherical harmonic
OPACITY = 0.9
SIZE = 0.6  # standard deviation over spacing: neighbours blend without a gap and without a blur
THICKNESS = 0.1  # of a disc, as a share of its radius
PLY_FIELDS = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
SPLAT_CHUNK = 2**14  # their rows fit into a core's cache

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Splats:
    """Splats of N points.

    Attributes:
        cloud: positions, colours, and normals if discs are wanted.
        sigma: [N] float32, standard deviation of each splat along the surface, scene units.
        opacity: of every splat, between 0 and 1.
    """

    cloud: PointCloud
    sigma: Tensor
    opacity: float = OPACITY

    def __post_init__(self) -> None:
        check_shape("splat sizes", self.sigma, (self.cloud.num_points,))
        # The smallest tells of NaN too.
        if len(self.sigma) and not (self.sigma.amin() > 0 and torch.isfinite(self.sigma.amax())):
            raise WorldStereoError("splat sizes: some are not finite or not above 0, expected lengths.")
        if not 0 < self.opacity < 1:
            raise WorldStereoError(f"opacity: got {self.opacity}, expected a number between 0 and 1.")


@dataclass(frozen=True)
class SplatColumns:
    """What a file says about splats from first to last, one column at a time, in its axes and units.

    Attributes:
        splats: all of them.
        up_axis, scale: of the file; scale in file units per scene unit.
    """

    splats: Splats
    up_axis: UpAxis
    scale: float

    def xyz(self, first: int, last: int) -> list[np.ndarray]:
        """Three columns."""
        return turned_columns(_array(self.splats.cloud.xyz, first, last), self.up_axis, self.scale)

    def rgb(self, first: int, last: int) -> np.ndarray:
        """[n, 3], 0..1."""
        return np.clip(_array(self.splats.cloud.rgb, first, last), 0, 1)

    def log_sigma(self, first: int, last: int) -> np.ndarray:
        """[n] along the surface."""
        sigma = _array(self.splats.sigma, first, last)
        return np.log(sigma * np.float32(self.scale))

    def normal(self, first: int, last: int) -> tuple[list[np.ndarray], np.ndarray] | None:
        """Three columns, and [n] whether there is one: fused points whose normals cancel stay balls."""
        if self.splats.cloud.normal is None:
            return None
        x, y, z = turned_columns(_array(self.splats.cloud.normal, first, last), self.up_axis)
        return [x, y, z], x * x + y * y + z * z > 0.25


def write_splat_ply(
    path: str | os.PathLike[str],
    splats: Splats,
    *,
    up_axis: UpAxis = "-y",
    scale: float = 1.0,
    progress: Progress | None = None,
) -> None:
    """Write the PLY that splat viewers open and trainers start from, whole or not at all.

    Args:
        path: the file.
        splats: what to write.
        up_axis: the axes of COLMAP by default; viewers turn them upright.
        scale: file units per scene unit.
        progress: called with (splats written, splats in all); it may raise to stop.
    """
    count = splats.cloud.num_points
    properties = "".join(f"property float {name}\n" for name in PLY_FIELDS)
    columns = SplatColumns(splats, up_axis, scale)
    with replace_when_done(path) as temporary, open(temporary, "wb") as file, thread_pool() as pool:
        file.write(
            f"ply\nformat binary_little_endian 1.0\ncomment WorldStereo splats\ncomment up_axis {up_axis}\n"
            f"element vertex {count}\n{properties}end_header\n".encode("ascii")
        )
        for done, rows in in_order(pool, lambda *ends: _ply_rows(columns, *ends), count, SPLAT_CHUNK):
            file.write(rows.data)
            if progress is not None:
                progress(done, count)


def _ply_rows(columns: SplatColumns, first: int, last: int) -> np.ndarray:
    rows = np.zeros((last - first, len(PLY_FIELDS)), "<f4")
    opacity = columns.splats.opacity
    for axis, column in enumerate(columns.xyz(first, last)):
        rows[:, axis] = column
    rows[:, 6:9] = (columns.rgb(first, last) - np.float32(0.5)) * np.float32(1 / SH_C0)
    rows[:, 9] = math.log(opacity / (1 - opacity))
    rows[:, 10:13] = columns.log_sigma(first, last)[:, None]
    rows[:, 13] = 1
    normal = columns.normal(first, last)
    if normal is not None:
        for axis, column in enumerate(normal[0]):
            rows[:, 3 + axis] = column
        rows[normal[1], 12] += math.log(THICKNESS)
        rows[:, 13:17] = rotations(*normal)
    return rows


def rotations(normal: list[np.ndarray], has_normal: np.ndarray) -> np.ndarray:
    """[n, 4] wxyz of the shortest rotation from the z axis to each unit vector; none where there is none."""
    x, y, z = (np.where(has_normal, column, fill) for column, fill in zip(normal, (0, 0, 1), strict=True))
    length = np.sqrt(x * x + y * y + z * z)
    x, y, z = x / length, y / length, z / length
    quaternion = np.stack([1 + z, -y, x, np.zeros_like(z)], axis=1)
    quaternion[1 + z < 1e-6] = (0, 1, 0, 0)  # half a turn about x; the axis is free for the opposite vector
    return quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)


def _array(values: Tensor, first: int, last: int) -> np.ndarray:
    return values[first:last].detach().to("cpu", torch.float32).numpy()
