"""Choosing few views out of many: those that differ most in camera and picture, sharp ones first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

from ..checks import ShapeError
from ..geometry.poses import matrix_to_quaternion
from .view import View

# Both get the views in slot order, one row per view; a view that several frames chose is given several times.
FeatureExtractor: TypeAlias = Callable[[Sequence[View]], Tensor]  # -> [V, D]
QualityMeasure: TypeAlias = Callable[[Sequence[View]], Tensor]  # -> [V]

CAMERA_WEIGHT, IMAGE_WEIGHT = 0.3, 0.7
QUALITY_BIAS = 0.1
# Weights of blue, green and red in fixed point, as 8-bit colour conversions compute luma.
_LUMA_BITS = 15
_LUMA = (3735, 19235, 9798)


def select_views(
    views: Sequence[View],
    count: int,
    feature_extractor: FeatureExtractor | None = None,
    quality: QualityMeasure | None = None,
) -> list[int]:
    """Choose ``count`` of ``views`` by farthest-point sampling over cameras and pictures.

    Returns: positions in ``views``, in the order chosen. A view given twice may be chosen twice.
    """
    image_features = (feature_extractor or grid_colour_features)(views).double().cpu()
    qualities = (quality or image_quality)(views).double().cpu()
    for name, result in (("feature extractor", image_features), ("quality measure", qualities)):
        if result.shape[0] != len(views):
            raise ShapeError(
                f"{name}: returned {result.shape[0]} rows for {len(views)} views, expected one row per view."
            )
    w2c = torch.stack([view.w2c for view in views]).cpu()
    features = torch.cat(
        [CAMERA_WEIGHT * standardise(camera_features(w2c)), IMAGE_WEIGHT * standardise(image_features)], dim=1
    )
    return farthest_points(features, qualities, count)


def camera_features(w2c: Tensor) -> Tensor:
    """Position and orientation of cameras as numbers to compare.

    Args:
        w2c: [V, 4, 4] float32.

    Returns:
        [V, 7] float64: camera centre in world coordinates, then the quaternion of the w2c rotation.

    Convention: this quaternion alone is xyzw (w >= 0): the released selector's order.
    """
    rotation, translation = w2c[:, :3, :3], w2c[:, :3, 3:]
    centre = -(rotation.mT @ translation)[..., 0]
    # The nearest exact rotation: float32 rounding would otherwise show up once features are standardised.
    left, _, right = torch.linalg.svd(rotation.double())
    quaternion = matrix_to_quaternion(left @ right)
    return torch.cat([centre.double(), quaternion.roll(-1, dims=-1)], dim=1)


def grid_colour_features(views: Sequence[View], cells: int = 4) -> Tensor:
    """Default picture features: mean colour of each cell of a 4 x 4 grid. Needs no model and no download.

    They tell pictures of different places and exposures apart, not different things in like colours; pass a
    network's features to ``retrieve_references`` where that matters.

    Returns: [V, cells * cells * 3] float64 in 0..1, cells row by row, colour fastest.
    """
    return _per_distinct_view(
        views,
        lambda view: adaptive_avg_pool2d(view.image.double(), cells).permute(1, 2, 0).flatten() / 255,
    )


def image_quality(views: Sequence[View]) -> Tensor:
    """Sharpness, richness and contrast of each picture in one number: [V] float64, higher is better."""
    return _per_distinct_view(views, lambda view: picture_quality(view.image))


def picture_quality(image: Tensor) -> Tensor:
    """Quality of one picture.

    0.4 log(1 + variance of the Laplacian) + 0.3 entropy of the grey histogram in bits + 0.3 deviation / 128.

    Args:
        image: [3, H, W] uint8 RGB.

    Convention: grey is computed with the weights of red and blue swapped, as the released selector does.
    """
    first, second, third = image.int()
    grey = (
        first * _LUMA[0] + second * _LUMA[1] + third * _LUMA[2] + (1 << (_LUMA_BITS - 1))
    ) >> _LUMA_BITS  # [H, W]
    # Whole numbers far below 2^24: float32 is exact here.
    padded = pad(grey[None].float(), (1, 1, 1, 1), mode="reflect")[0]
    laplacian = (
        padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * padded[1:-1, 1:-1]
    )
    share = torch.bincount(grey.flatten(), minlength=256).float() / grey.numel() + 1e-10
    entropy = -(share * share.log2()).sum()
    sharpness = torch.log1p(laplacian.double().var(unbiased=False))
    return 0.4 * sharpness + 0.3 * entropy + 0.3 * grey.double().std(unbiased=False) / 128


def standardise(features: Tensor) -> Tensor:
    """Bring every column of [V, D] to mean 0 and population deviation 1."""
    return (features - features.mean(dim=0)) / (features.std(dim=0, unbiased=False) + 1e-8)


def farthest_points(features: Tensor, quality: Tensor, count: int, bias: float = QUALITY_BIAS) -> list[int]:
    """Greedy choice of rows that lie far apart, tilted towards quality.

    Starts near the centroid; then always takes the row whose distance to all chosen rows, times a factor that
    grows with quality, is largest.

    Args:
        features: [V, D].
        quality: [V], any scale.
        count: rows to choose; at most V are returned.
        bias: how much quality matters; 0 ignores it.
    """
    quality = (quality - quality.min()) / (quality.max() - quality.min() + 1e-8)
    factor = 1 + bias * (quality - 0.5)
    from_centroid = (features - features.mean(dim=0)).norm(dim=1)
    chosen = [int((bias * quality - from_centroid).argmax())]
    distance = torch.full_like(quality, torch.inf)
    while len(chosen) < min(count, len(features)):
        distance = torch.minimum(distance, (features - features[chosen[-1]]).norm(dim=1))
        attraction = distance * factor
        attraction[chosen] = -torch.inf
        chosen.append(int(attraction.argmax()))
    return chosen


def _per_distinct_view(views: Sequence[View], measure: Callable[[View], Tensor]) -> Tensor:
    distinct = {id(view): view for view in views}
    results = {key: measure(view) for key, view in distinct.items()}
    return torch.stack([results[id(view)] for view in views])
