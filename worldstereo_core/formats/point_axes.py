"""Axes of files with points: where right, up and forward of our world point in them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from torch import Tensor

UpAxis = Literal["y", "z", "-y", "y-left"]
# Ours (x right, y down, z forward) to the file's axes; each row is an axis of the file. All are rotations but
# "y-left", a reflection, for Unity's packages that take coordinates as they are: x is turned over as its glTF
# importers do, so that both lie on each other.
FROM_OURS: dict[UpAxis, list[list[float]]] = {
    "y": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "z": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "-y": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "y-left": [[-1, 0, 0], [0, -1, 0], [0, 0, -1]],
}


def turned(vectors: Tensor, up_axis: UpAxis) -> Tensor:
    """[N, 3] of our world in a file's axes."""
    return vectors @ vectors.new_tensor(FROM_OURS[up_axis]).T


def turned_columns(vectors: np.ndarray, up_axis: UpAxis, scale: float = 1.0) -> list[np.ndarray]:
    """The three columns of [N, 3] of our world in a file's axes, times a scale."""
    columns = []
    for row in FROM_OURS[up_axis]:
        axis = next(axis for axis, value in enumerate(row) if value)
        columns.append(vectors[:, axis] * np.float32(row[axis] * scale))
    return columns


def turned_back(vectors: Tensor, up_axis: UpAxis) -> Tensor:
    """[N, 3] of a file's axes in our world."""
    return vectors @ vectors.new_tensor(FROM_OURS[up_axis])
