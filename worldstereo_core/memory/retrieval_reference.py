"""The slow, obvious form of retrieval: one pair of cameras at a time, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

Matrix = list[list[float]]


class Camera(NamedTuple):
    """w2c 4x4 and K 3x3 as nested lists; K in pixels of a ``height`` x ``width`` image."""

    w2c: Matrix
    K: Matrix
    height: int
    width: int


class Volume(NamedTuple):
    """Axis-aligned world box around a view volume, and the viewing direction."""

    lower: list[float]
    upper: list[float]
    forward: list[float]


def to_cameras(w2c: Tensor, K: Tensor, height: int, width: int) -> list[Camera]:
    """Cameras from [N, 4, 4] and [N, 3, 3]."""
    return [Camera(one.tolist(), k.tolist(), height, width) for one, k in zip(w2c, K, strict=True)]


def best_views_reference(
    targets: Sequence[Camera], bank: Sequence[Camera], near: float, far: float
) -> list[tuple[int, float, float]]:
    """Index, score and angle in degrees of the best bank view of each target; the first of equals."""
    volumes = [view_volume(camera, near, far) for camera in bank]
    results = []
    for target in targets:
        volume = view_volume(target, near, far)
        best = (0, -math.inf, 0.0)
        for index, other in enumerate(volumes):
            score, angle_deg = score_pair(volume, other)
            if score > best[1]:
                best = (index, score, angle_deg)
        results.append(best)
    return results


def view_volume(camera: Camera, near: float, far: float) -> Volume:
    """Box around the rays through the image corners, ``near`` and ``far`` scene units long."""
    rotation = [row[:3] for row in camera.w2c[:3]]
    translation = [row[3] for row in camera.w2c[:3]]
    # The inverse of a rigid transform: world = R^T (camera - t).
    centre = [-sum(rotation[row][axis] * translation[row] for row in range(3)) for axis in range(3)]
    (fx, skew, cx), (_, fy, cy), _ = camera.K
    points = []
    for x, y in ((0, 0), (camera.width, 0), (camera.width, camera.height), (0, camera.height)):
        up = (y - cy) / fy
        ray = [(x - cx - skew * up) / fx, up, 1.0]
        length = math.sqrt(sum(value * value for value in ray))
        for distance in (near, far):
            points.append(
                [
                    centre[axis] + sum(rotation[row][axis] * ray[row] for row in range(3)) * distance / length
                    for axis in range(3)
                ]
            )
    lower = [min(point[axis] for point in points) for axis in range(3)]
    upper = [max(point[axis] for point in points) for axis in range(3)]
    return Volume(lower, upper, rotation[2])


def score_pair(first: Volume, second: Volume) -> tuple[float, float]:
    """Intersection over union of the boxes times the penalty for angles beyond 90 degrees; and that angle."""
    sides = [
        min(first.upper[axis], second.upper[axis]) - max(first.lower[axis], second.lower[axis])
        for axis in range(3)
    ]
    shared = math.prod(sides) if min(sides) > 0 else 0.0
    union = _box_volume(first) + _box_volume(second) - shared
    cosine = sum(a * b for a, b in zip(first.forward, second.forward, strict=True))
    angle_deg = math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
    penalty = min(1.0, math.exp(5 * (90 - angle_deg) / 180))
    return shared / (union + 1e-8) * penalty, angle_deg


def _box_volume(volume: Volume) -> float:
    return math.prod(upper - lower for lower, upper in zip(volume.lower, volume.upper, strict=True))
