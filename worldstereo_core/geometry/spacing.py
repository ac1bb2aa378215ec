"""How far apart the points of a cloud are, place by place.

In chunks that stay in a core's cache, some per core at once: ten million points take about a second on two
cores.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ..checks import WorldStereoError
from ..in_order import in_order, thread_pool
from .curve import CurveCells, Points

NEIGHBOURS = 3  # as many as Gaussian-splat trainers take
WINDOW = 10  # places before and after a point along the curve, in which its neighbours are looked for
# Lone points would get splats as large as their loneliness; none is taken as larger than this many medians.
LARGEST = 20.0
# A curve jumps at the faces of its cubes; there the other, whose cubes lie elsewhere, does not. In extents.
SHIFTS = (0.0, 1 / 3)
_CHUNK = 2**15
_ROUNDS = 7
_SAMPLE = 2**20  # points of which the median is taken

Progress = Callable[[int, int], None]


def local_spacing(xyz: Tensor, progress: Progress | None = None) -> Tensor:
    """Distance from each point to its neighbours: the root mean square of the three nearest.

    Neighbours are looked for along two space-filling curves (Morton order), so the result is exact or a
    little too large, in a time that grows as sorting does. Points in the very same place do not count as
    neighbours.

    Args:
        xyz: [N, 3], any length unit, finite.
        progress: called with (steps done, steps in all); it may raise to stop.

    Returns:
        [N] float32 in the same unit, above 0 and at most 20 times the median.

    Raises: WorldStereoError if fewer than two places are different.
    """
    points = xyz.detach().to("cpu", torch.float32).contiguous().numpy()
    with thread_pool() as pool:
        found = _spacing(Points.from_rows(points), _Rounds(pool, len(points), progress))
    return torch.from_numpy(found).to(xyz.device)


class _Rounds:
    """Runs work on chunks of the points and reports progress over all rounds of it."""

    def __init__(self, pool: ThreadPoolExecutor, count: int, progress: Progress | None) -> None:
        self.pool, self.count, self.progress = pool, count, progress
        self.number = 0

    def run(self, work: Callable[[int, int], None]) -> None:
        """Call ``work`` with the first and the last-plus-one point of every chunk."""
        for done, _ in in_order(self.pool, work, self.count, _CHUNK):
            if self.progress is not None:
                self.progress(self.number * self.count + done, _ROUNDS * self.count)
        self.number += 1


def _spacing(points: Points, rounds: _Rounds) -> np.ndarray:
    cells = CurveCells(points)
    spacing, other = np.empty((2, rounds.count), np.float32)
    order, placed = _along_curve(points, cells, SHIFTS[0], rounds)
    del points  # their padded copy is 16 bytes each

    def measure(first: int, last: int) -> None:
        spacing[first:last] = _measured(placed.columns, first, last)

    rounds.run(measure)
    # The second curve starts from the first one's order, in which its own neighbours are in the cache too.
    again, moved = _along_curve(placed, cells, SHIFTS[1], rounds)

    def measure_again(first: int, last: int) -> None:
        other[again[first:last]] = _measured(moved.columns, first, last)

    rounds.run(measure_again)
    np.fmin(spacing, other, out=spacing)
    typical = _median(spacing)
    found = other

    def put_back(first: int, last: int) -> None:
        known = np.where(np.isnan(spacing[first:last]), typical, spacing[first:last])
        found[order[first:last]] = np.minimum(known, LARGEST * typical)

    rounds.run(put_back)
    return found


def _median(spacing: np.ndarray) -> float:
    """Raises: WorldStereoError if no point has a neighbour elsewhere."""
    for known in (spacing[:: max(len(spacing) // _SAMPLE, 1)], spacing):
        known = known[np.isfinite(known)]
        if len(known):
            return float(np.median(known))
    raise WorldStereoError(
        f"points: all {len(spacing)} stand in one place, expected at least two places, so that splats can "
        "have a size. Export points instead."
    )


def _along_curve(
    points: Points, cells: CurveCells, shift: float, rounds: _Rounds
) -> tuple[np.ndarray, Points]:
    """Where each place of a curve came from, [N], and the points in the curve's order."""
    keys = np.empty(rounds.count, np.int64)

    def encode(first: int, last: int) -> None:
        cells.write_keys(points.part(first, last), shift, first, keys[first:last])

    rounds.run(encode)
    keys.sort()  # numpy's sort of 64-bit numbers is six times as fast as torch's, and as its own argsort
    placed = np.empty((3, rounds.count), np.float32)

    def place(first: int, last: int) -> None:
        keys[first:last] = cells.points_of(keys[first:last])
        placed[:, first:last] = points.pick(keys[first:last])

    rounds.run(place)
    return keys, Points(placed)


def _measured(columns: np.ndarray, first: int, last: int) -> np.ndarray:
    """Spacing of points from first to last along a curve; NaN for those that have no neighbour."""
    begin, end = max(first - WINDOW, 0), min(last + WINDOW, columns.shape[1])
    part = columns[:, begin:end]
    nearest = _nearest_squares(part, has_doubles=False)
    if not nearest[0].all():
        nearest = _nearest_squares(part, has_doubles=True)
    total = nearest[0] + nearest[1] + nearest[2]
    total /= NEIGHBOURS
    if not np.isfinite(total).all():
        is_found = np.isfinite(nearest)
        with np.errstate(invalid="ignore"):
            total = np.where(is_found, nearest, 0).sum(0) / is_found.sum(0)
    return np.sqrt(total[first - begin : last - begin])


def _nearest_squares(points: np.ndarray, has_doubles: bool) -> np.ndarray:
    """[3, n] squared distances to the three nearest, smallest first; infinite where there are fewer."""
    count = points.shape[1]
    nearest = np.full((NEIGHBOURS, count), np.inf, np.float32)
    apart, axis_apart, larger = np.empty((3, count), np.float32)
    for step in range(1, min(WINDOW, count - 1) + 1):
        length = count - step
        square, other, spare = apart[:length], axis_apart[:length], larger[:length]
        for axis in range(3):
            target = other if axis else square
            np.subtract(points[axis, step:], points[axis, :-step], out=target)
            target *= target
            if axis:
                square += other
        if has_doubles:
            square[square == 0] = np.inf
        for side in (slice(step, None), slice(0, length)):  # each distance belongs to both points
            first, second, third = nearest[:, side]
            np.maximum(first, square, out=other)
            np.minimum(first, square, out=first)
            np.maximum(second, other, out=spare)
            np.minimum(second, other, out=second)
            np.minimum(third, spare, out=third)
    return nearest
