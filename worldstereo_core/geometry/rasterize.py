"""Which points cover which pixels: the K nearest of every pixel, exactly, in bounded memory.

The image is cut into bands of rows. Within a band the points, sorted by depth once per frame, spread a square
stamp of candidate pixels each; a stable sort by pixel number leaves the candidates of a pixel in depth order,
so that its first K are the K nearest. Points are taken in chunks from near to far; those whose stamp holds
only pixels that already have their K are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import WorldStereoError, check_shape

# Pixels of one band. On a CPU their numbers must fit int16, which torch sorts by radix, ten times faster than
# int64; on a GPU a whole ordinary frame is one band.
CPU_BAND_PIXELS, GPU_BAND_PIXELS = 2**15 - 1, 2**20
# Candidates handled at once, about 40 bytes each: more fall out of a CPU's cache, fewer leave a GPU idle.
CPU_CANDIDATES, GPU_CANDIDATES = 2**20, 2**24
# Pixels added around a stamp, so that rounding never loses a candidate; the radius decides in the end.
STAMP_MARGIN = 1e-3


@dataclass(frozen=True, eq=False)
class Fragments:
    """The points that cover each pixel, near to far: K slots per pixel, unused ones at the end.

    Attributes:
        index: [..., K] int64 into the points, -1 where unused.
        depth: [..., K] float32 camera z of the point, -1 where unused.
        distance2: [..., K] float32 squared distance from pixel centre to point in the radius's unit (half the
            image's shorter side), -1 where unused.
    """

    index: Tensor
    depth: Tensor
    distance2: Tensor


@dataclass(frozen=True, eq=False)
class ProjectedPoints:
    """The M points of one frame that may cover a pixel, sorted by depth, equal depths by index.

    Attributes:
        index: [M] int64 into the cloud.
        x, y: [M] pixels; the image spans [0, width] x [0, height].
        z: [M] camera z, scene units.
    """

    index: Tensor
    x: Tensor
    y: Tensor
    z: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def take(self, chosen: slice | Tensor) -> ProjectedPoints:
        return ProjectedPoints(self.index[chosen], self.x[chosen], self.y[chosen], self.z[chosen])


def rasterize_points(
    xyz: Tensor,  # [N, 3]
    K: Tensor,  # [3, 3]
    w2c: Tensor,  # [4, 4]
    height: int,
    width: int,
    radius: float = 0.008,
    points_per_pixel: int = 8,
) -> Fragments:
    """Find the nearest points of every pixel of one frame.

    Args:
        xyz: [N, 3] world points.
        K: [3, 3], pixels of a height x width image.
        w2c: [4, 4].
        height, width: pixels.
        radius: of a point's disc on the image, in units of half the shorter side (0.008 of 480 rows is
            1.92 px). A pixel is covered if its centre is nearer; the disc does not shrink with distance.
        points_per_pixel: how many are kept.

    Returns:
        Fragments [height, width, points_per_pixel]. Points behind the camera (z < 0) are skipped; there is no
        near plane. Of points at equal depth the lower index comes first.
    """
    check_raster_settings(radius, points_per_pixel)
    check_shape("points", xyz, ("N", 3))
    check_shape("K", K, (3, 3))
    check_shape("w2c", w2c, (4, 4))
    points = project_and_sort(xyz, K, w2c, height, width, radius)
    bands = [band for _, band in rasterize_bands(points, height, width, radius, points_per_pixel)]
    shape = (height, width, points_per_pixel)
    return Fragments(
        torch.cat([band.index for band in bands]).reshape(shape),
        torch.cat([band.depth for band in bands]).reshape(shape),
        torch.cat([band.distance2 for band in bands]).reshape(shape),
    )


def project_and_sort(
    xyz: Tensor, K: Tensor, w2c: Tensor, height: int, width: int, radius: float
) -> ProjectedPoints:
    """Project world points [N, 3] into one camera; keep those whose disc meets the image, in depth order."""
    reach = radius * min(height, width) / 2
    # Written out by coordinate: a matrix product may run in TF32 or bfloat16 on a GPU, half a pixel off.
    xyz = xyz.float()
    X, Y, Z = _transform(w2c.to(xyz), *xyz.T.contiguous())
    x, y, z = _transform(K.to(xyz), X, Y, Z)
    # z = 0 divides to infinity or NaN, which fails the comparisons below.
    x, y, z = x / z, y / z, Z
    seen = (z >= 0) & (x > -reach) & (x < width + reach) & (y > -reach) & (y < height + reach)
    index = torch.nonzero(seen)[:, 0]
    # The bits of non-negative floats are ordered like integers, which sort faster; + 0.0 turns -0.0 into 0.0.
    order = torch.sort((z[index] + 0.0).view(torch.int32), stable=True).indices
    index = index[order]
    return ProjectedPoints(index, x[index], y[index], z[index])


def _transform(matrix: Tensor, x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    moved = [row[0] * x + row[1] * y + row[2] * z for row in matrix[:3]]
    return [value + row[3] for value, row in zip(moved, matrix, strict=False)] if len(matrix) == 4 else moved


def rasterize_bands(
    points: ProjectedPoints,
    height: int,
    width: int,
    radius: float,
    points_per_pixel: int,
    pause: Callable[[], None] | None = None,
) -> Iterator[tuple[slice, Fragments]]:
    """Rasterise a frame in bands of rows.

    A dense cloud takes seconds per band, so `pause` is called between parts of one; it may raise.

    Yields:
        The rows of a band, and its Fragments [rows * width, points_per_pixel].
    """
    on_cpu = points.x.device.type == "cpu"
    band_pixels, budget = (CPU_BAND_PIXELS, CPU_CANDIDATES) if on_cpu else (GPU_BAND_PIXELS, GPU_CANDIDATES)
    rows_per_band = max(1, min(height, band_pixels // width))
    reach = radius * min(height, width) / 2
    for first in range(0, height, rows_per_band):
        rows = slice(first, min(first + rows_per_band, height))
        meets = (points.y > rows.start - reach) & (points.y < rows.stop + reach)
        near = points.take(torch.nonzero(meets)[:, 0]) if rows_per_band < height else points
        stamp = _Stamp.of(radius, height, width, rows)
        yield (
            rows,
            _rasterize_band(near, stamp, points_per_pixel, budget, pause),
        )


def _rasterize_band(
    points: ProjectedPoints,
    stamp: _Stamp,
    points_per_pixel: int,
    budget: int,
    pause: Callable[[], None] | None = None,
) -> Fragments:
    device = points.x.device
    slots = torch.arange(points_per_pixel, device=device)
    index = torch.full((stamp.num_pixels, points_per_pixel), -1, dtype=torch.int64, device=device)
    depth = torch.full(index.shape, -1.0, device=device)
    distance2 = torch.full(index.shape, -1.0, device=device)
    filled = torch.zeros(stamp.num_pixels, dtype=torch.int64, device=device)

    size = stamp.num_rows * stamp.num_columns
    chunk_length = max(1, budget // size)
    while len(points):
        chunk, points = points.take(slice(chunk_length)), points.take(slice(chunk_length, None))
        pixel, candidate_distance2 = stamp.candidates(chunk)
        pixel, order = torch.sort(pixel, stable=True)
        counts = torch.bincount(pixel, minlength=stamp.num_pixels + 1)[: stamp.num_pixels]
        starts = counts.cumsum(0) - counts
        # Slot k of a pixel takes its candidate number k - filled of this chunk, if there is one.
        rank = slots - filled[:, None]
        takes = (rank >= 0) & (rank < counts[:, None])
        candidate = order.take(torch.where(takes, starts[:, None] + rank, 0))
        point = candidate // size
        index = torch.where(takes, chunk.index.take(point), index)
        depth = torch.where(takes, chunk.z.take(point), depth)
        distance2 = torch.where(takes, candidate_distance2.take(candidate), distance2)
        filled += counts

        if len(points):
            if pause is not None:
                pause()
            points = points.take(torch.nonzero(stamp.meets(points, filled < points_per_pixel))[:, 0])
    return Fragments(index, depth, distance2)


@dataclass(frozen=True)
class _Stamp:
    """The rectangle of candidate pixels around a point, within one band of rows.

    Attributes:
        rows: the band.
        width: of the image, pixels.
        radius: in units of half the shorter side.
        reach: the radius in pixels.
        num_rows, num_columns: size of the rectangle.
    """

    rows: slice
    width: int
    radius: float
    reach: float
    num_rows: int
    num_columns: int

    @classmethod
    def of(cls, radius: float, height: int, width: int, rows: slice) -> _Stamp:
        reach = radius * min(height, width) / 2
        # An open interval of length L holds at most ceil(L) pixel centres.
        across = math.ceil(2 * (reach + STAMP_MARGIN))
        return cls(rows, width, radius, reach, min(across, rows.stop - rows.start), min(across, width))

    @property
    def num_pixels(self) -> int:
        return (self.rows.stop - self.rows.start) * self.width

    def corner(self, points: ProjectedPoints) -> tuple[Tensor, Tensor]:
        """Row and column [M], as floats, of each stamp's first pixel. Stamps are moved to lie in the band."""
        before = self.reach + STAMP_MARGIN + 0.5
        row = torch.ceil(points.y - before).clamp(self.rows.start, self.rows.stop - self.num_rows)
        column = torch.ceil(points.x - before).clamp(0, self.width - self.num_columns)
        return row, column

    def meets(self, points: ProjectedPoints, pixels: Tensor) -> Tensor:
        """Tell which stamps [M] hold a True pixel of the band [num_pixels]."""
        grown = pixels.reshape(1, -1, self.width).float()
        grown = F.max_pool2d(grown, (self.num_rows, 1), stride=1)
        grown = F.max_pool2d(grown, (1, self.num_columns), stride=1)[0]
        row, column = self.corner(points)
        return grown.bool()[(row - self.rows.start).long(), column.long()]

    def candidates(self, points: ProjectedPoints) -> tuple[Tensor, Tensor]:
        """List the pixels of the stamps of M points, point by point.

        Returns:
            The number of each pixel within the band, num_pixels where the point does not cover it; and the
            squared distance between them. Both [M * num_rows * num_columns].
        """
        row, column = self.corner(points)
        dtype = torch.int16 if self.num_pixels <= torch.iinfo(torch.int16).max else torch.int32
        down = torch.arange(self.num_rows, device=row.device)
        across = torch.arange(self.num_columns, device=row.device)
        unit = self.radius / self.reach
        dy2 = (((row + 0.5 - points.y)[:, None] + down) * unit).square()
        dx2 = (((column + 0.5 - points.x)[:, None] + across) * unit).square()
        distance2 = dy2[:, :, None] + dx2[:, None, :]
        first = (row.to(torch.int32) - self.rows.start) * self.width + column.to(torch.int32)
        pixel = first.to(dtype)[:, None, None] + (down[:, None] * self.width + across).to(dtype)
        pixel = torch.where(distance2 < self.radius * self.radius, pixel, self.num_pixels)
        return pixel.flatten(), distance2.flatten()


def check_raster_settings(radius: float, points_per_pixel: int) -> None:
    """Raise WorldStereoError unless the settings can draw anything."""
    if not (math.isfinite(radius) and radius > 0):
        raise WorldStereoError(
            f"radius: got {radius}, expected a positive number in units of half the image's shorter side. "
            "0.008 is the released setting."
        )
    if points_per_pixel < 1:
        raise WorldStereoError(f"points_per_pixel: got {points_per_pixel}, expected 1 or more. 8 is usual.")
