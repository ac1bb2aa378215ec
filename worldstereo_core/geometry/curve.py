"""The order of points along a space-filling curve (Morton's): what is near on it is near in space."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

MOST_BITS = 16  # of a cell's number along an axis
# Cells are even where all but this share of the points lie, along each axis; outside they grow, so that a
# few far points do not make the cells of all others coarse.
TAIL = 0.005
_MARGIN = 0.25  # room for the tails, as a share of the even part's half
_SAMPLE = 100_000


class Points:
    """Points as three columns.

    Attributes:
        columns: [3, N] float32, a view of rows or three arrays.
    """

    def __init__(self, columns: np.ndarray, padded: np.ndarray | None = None) -> None:
        self.columns = columns
        self._padded = padded

    @classmethod
    def from_rows(cls, rows: np.ndarray) -> Points:
        """Of [N, 3] float32."""
        # Padded to 16 bytes, a point is one number to fetch.
        padded = np.zeros((len(rows), 4), np.float32)
        padded[:, :3] = rows
        return cls(rows.T, padded.view(np.complex128)[:, 0])

    def part(self, first: int, last: int) -> np.ndarray:
        """[3, n] from first to last."""
        return self.columns[:, first:last]

    def pick(self, numbers: np.ndarray) -> np.ndarray:
        """[3, n] points with these numbers."""
        if self._padded is not None:
            return np.take(self._padded, numbers, mode="clip").view(np.float32).reshape(-1, 4)[:, :3].T
        return np.stack([np.take(column, numbers, mode="clip") for column in self.columns])


class CurveCells:
    """Cells that points lie in, numbered along a curve."""

    def __init__(self, points: Points) -> None:
        count = points.columns.shape[1]
        self._index_bits = max(count - 1, 1).bit_length()
        self._bits = min(MOST_BITS, (63 - self._index_bits) // 3)
        sample = points.columns[:, :: max(count // _SAMPLE, 1)].astype(np.float64)
        low, high = np.quantile(sample, [TAIL, 1 - TAIL], axis=1) if count else np.zeros((2, 3))
        self._centre = ((low + high) / 2).astype(np.float32)
        least = float(np.abs(sample).max(initial=0)) * 1e-6  # what float32 tells apart
        self._half = np.float32(max(float((high - low).max()) / 2, least, 1e-30))

    def write_keys(self, points: np.ndarray, shift: float, first: int, keys: np.ndarray) -> None:
        """Write numbers that sort as the curve runs, each with its point's own number in its lowest bits.

        Args:
            points: [3, n] float32, the ones from number ``first`` on.
            shift: of all cells along every axis, in extents.
            keys: [n] int64, written.
        """
        steps = np.float32((2**self._bits - 1) / (2 * (1 + _MARGIN) * (1 + shift)))
        start = np.float32((1 + _MARGIN) * (1 + 2 * shift))
        keys[:] = np.arange(first, first + len(keys))
        for axis in range(3):
            place = (points[axis] - self._centre[axis]) / self._half
            if place.max() > 1 or place.min() < -1:
                place = _with_tails(place)
            place += start
            place *= steps
            spread = _spread(self._bits, self._index_bits + 2 - axis)
            keys |= np.take(spread, place.astype(np.int64), mode="clip")

    def points_of(self, keys: np.ndarray) -> np.ndarray:
        """[n] numbers of the points whose keys these are."""
        return keys & ((1 << self._index_bits) - 1)


def _with_tails(place: np.ndarray) -> np.ndarray:
    """Places as they are up to 1, those beyond drawn together below 1 + _MARGIN, in order."""
    beyond = np.maximum(np.abs(place) - 1, 0)
    return np.sign(place) * np.minimum(np.abs(place), 1 + _MARGIN * beyond / (beyond + 1))


@lru_cache(maxsize=6)
def _spread(bits: int, first: int) -> np.ndarray:
    """For every number of so many bits, bit i moved to bit first + 3 i."""
    numbers = np.arange(2**bits, dtype=np.int64)
    spread = np.zeros_like(numbers)
    for bit in range(bits):
        spread |= (numbers >> bit & 1) << (first + 3 * bit)
    return spread
