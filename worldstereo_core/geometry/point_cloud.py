"""Coloured points in world coordinates, and how a depth map becomes such points."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..checks import ShapeError, WorldStereoError, check_shape
from .cameras import unproject
from .depth import EdgeMode, check_has_data, contract_far_depth, depth_edges, has_depth

logger = logging.getLogger(__name__)

# With this few points or fewer the released code gives up on a depth map, and so do we.
TOO_FEW_POINTS = 8


@dataclass(frozen=True, eq=False)
class Evidence:
    """What N fused points rest on.

    Attributes:
        weight: [N] float32, sum of the confidence of everything that was merged into the point.
        seen: [N] int32, views or clouds that saw it.
        missed: [N] int32, views that saw through it.
    """

    weight: Tensor
    seen: Tensor
    missed: Tensor

    @classmethod
    def of_one_sighting(cls, confidence: Tensor) -> Evidence:
        """Evidence of points that were seen once and never merged."""
        once = torch.ones_like(confidence, dtype=torch.int32)
        return cls(confidence, once, torch.zeros_like(once))

    def select(self, index: Tensor | slice) -> Evidence:
        return Evidence(self.weight[index], self.seen[index], self.missed[index])

    def to(self, device: torch.device | str) -> Evidence:
        return Evidence(self.weight.to(device), self.seen.to(device), self.missed.to(device))


@dataclass(frozen=True, eq=False)
class PointCloud:
    """N coloured points.

    Attributes:
        xyz: [N, 3] float32, world coordinates, scene units, OpenCV axes.
        rgb: [N, 3] float32 in 0..1.
        normal: [N, 3] float32 unit vectors in world coordinates, or None.
        confidence: [N] float32 in 0..1.
        clip: [N] int32, which clip the point came from; 0 is the input image.
        evidence: how often each point was seen, if the cloud was fused; else None.
    """

    xyz: Tensor
    rgb: Tensor
    confidence: Tensor
    clip: Tensor
    normal: Tensor | None = None
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        count = check_shape("points", self.xyz, ("N", 3))["N"]
        check_shape("point colours", self.rgb, (count, 3))
        check_shape("point confidence", self.confidence, (count,))
        check_shape("point clip numbers", self.clip, (count,))
        if self.normal is not None:
            check_shape("point normals", self.normal, (count, 3))
        if self.evidence is not None:
            check_shape("point weights", self.evidence.weight, (count,))
            check_shape("point seen counts", self.evidence.seen, (count,))
            check_shape("point missed counts", self.evidence.missed, (count,))

    @property
    def num_points(self) -> int:
        return self.xyz.shape[0]

    @classmethod
    def concat(cls, clouds: Sequence[PointCloud]) -> PointCloud:
        """Join clouds in order. Normals survive only if every cloud that has points has them.

        If one cloud is fused, the points of the others count as seen once.
        """
        if not clouds:
            raise WorldStereoError("points: there is no cloud to join, expected at least one.")
        normals = [cloud.normal for cloud in clouds if cloud.num_points or len(clouds) == 1]
        kept = [normal for normal in normals if normal is not None]
        if 0 < len(kept) < len(normals):
            logger.warning(
                "Joining %d point clouds of which %d have normals: the result has none.",
                len(normals),
                len(kept),
            )
        return cls(
            xyz=torch.cat([cloud.xyz for cloud in clouds]),
            rgb=torch.cat([cloud.rgb for cloud in clouds]),
            confidence=torch.cat([cloud.confidence for cloud in clouds]),
            clip=torch.cat([cloud.clip for cloud in clouds]),
            normal=torch.cat(kept) if kept and len(kept) == len(normals) else None,
            evidence=_join_evidence(clouds),
        )

    def select(self, index: Tensor | slice) -> PointCloud:
        """Return the points of a [N] bool mask, of a LongTensor of indices in its order, or of a slice."""
        return replace(
            self,
            xyz=self.xyz[index],
            rgb=self.rgb[index],
            confidence=self.confidence[index],
            clip=self.clip[index],
            normal=None if self.normal is None else self.normal[index],
            evidence=None if self.evidence is None else self.evidence.select(index),
        )

    def thinned(self, most: int, is_shuffled: bool = False) -> PointCloud:
        """At most so many of the points, spread evenly over their order; always the same ones.

        Args:
            is_shuffled: put them in an order whose beginnings are even samples, too.
        """
        if self.num_points <= most and not is_shuffled:
            return self
        return self.select(spread_indices(self.num_points, most, is_shuffled).to(self.xyz.device))

    def to(self, device: torch.device | str) -> PointCloud:
        """Return the cloud on another device."""
        return replace(
            self,
            xyz=self.xyz.to(device),
            rgb=self.rgb.to(device),
            confidence=self.confidence.to(device),
            clip=self.clip.to(device),
            normal=None if self.normal is None else self.normal.to(device),
            evidence=None if self.evidence is None else self.evidence.to(device),
        )

    def voxel_downsample(self, size: float) -> PointCloud:
        """Merge the points of each cube of a grid into their mean.

        Args:
            size: edge of a cube, scene units; cubes are aligned to the world's origin.

        Returns:
            One point per occupied cube, ordered by cube: mean position, colour and confidence, the lowest
            clip number, the mean normal (zero where the normals of a cube cancel), summed evidence.

        Raises: WorldStereoError if the size is not positive, or so small that the cubes cannot be numbered.
        """
        if not size > 0:
            raise WorldStereoError(f"voxel size: got {size}, expected a positive length in scene units.")
        if self.num_points == 0:
            return self
        cell = torch.floor(self.xyz.double() / size)
        cell = cell - cell.amin(0)
        # 21 bits per axis pack three cell numbers into one int64.
        if not bool((cell.amax() < 2**21).item()):
            extent = float((self.xyz.amax(0) - self.xyz.amin(0)).amax())
            raise WorldStereoError(
                f"voxel size: {size} cuts the cloud's extent of {extent:.3g} into more than 2 million cubes "
                "per axis, or a coordinate is not finite. Choose a larger size."
            )
        x, y, z = cell.long().unbind(-1)
        keys, owner, counts = torch.unique((x << 42) | (y << 21) | z, return_inverse=True, return_counts=True)

        def mean(values: Tensor) -> Tensor:
            total = values.new_zeros((len(keys), *values.shape[1:]), dtype=torch.float64)
            total.index_add_(0, owner, values.double())
            return (total / counts.reshape(-1, *[1] * (values.ndim - 1))).to(values.dtype)

        clip = torch.full((len(keys),), torch.iinfo(self.clip.dtype).max, dtype=self.clip.dtype)
        clip = clip.to(self.clip.device).scatter_reduce(0, owner, self.clip, "amin")
        normal = self.normal
        if normal is not None:
            normal = torch.nn.functional.normalize(mean(normal), dim=-1)
        evidence = self.evidence
        if evidence is not None:

            def total(values: Tensor) -> Tensor:
                return values.new_zeros(len(keys)).index_add_(0, owner, values)

            evidence = Evidence(total(evidence.weight), total(evidence.seen), total(evidence.missed))
        return PointCloud(mean(self.xyz), mean(self.rgb), mean(self.confidence), clip, normal, evidence)


def spread_indices(count: int, most: int, is_shuffled: bool = False) -> Tensor:
    """Numbers below ``count``, at most so many: one at random from each of as many equal parts.

    Every n-th point of a picture would show as stripes; random parts do not, and leave no large gap.

    Returns:
        [min(count, most)] int64, ascending or shuffled; always the same for the same arguments.
    """
    generator = torch.Generator().manual_seed(count)
    kept = min(count, most)
    edges = torch.arange(kept + 1, dtype=torch.int64) * count // max(kept, 1)
    inside = torch.rand(kept, generator=generator, dtype=torch.float64)
    index = edges[:-1] + (inside * edges.diff()).long()
    return index[torch.randperm(kept, generator=generator)] if is_shuffled else index


def _join_evidence(clouds: Sequence[PointCloud]) -> Evidence | None:
    if all(cloud.evidence is None for cloud in clouds):
        return None
    parts = [cloud.evidence or Evidence.of_one_sighting(cloud.confidence) for cloud in clouds]
    return Evidence(
        torch.cat([part.weight for part in parts]),
        torch.cat([part.seen for part in parts]),
        torch.cat([part.missed for part in parts]),
    )


def depth_to_points(
    image: Tensor,  # [3, H, W]
    depth: Tensor,  # [H, W]
    K: Tensor,  # [3, 3]
    w2c: Tensor,  # [4, 4]
    *,
    edge_threshold: float = 0.35,
    edge_mode: EdgeMode = "masked",
    far_contraction: float = 8.0,
    mask: Tensor | None = None,  # [H, W]
    clip: int = 0,
    confidence: Tensor | None = None,  # [H, W]
    normals: Tensor | None = None,  # [H, W, 3]
) -> PointCloud:
    """Lift one image with depth to coloured world points, in row-major pixel order.

    Args:
        image: [3, H, W] float 0..1; colours are carried over unchanged.
        depth: [H, W], camera z in scene units; 0 or non-finite marks no data.
        K: [3, 3], pixels of the H x W image.
        w2c: [4, 4].
        edge_threshold: points on depth edges are dropped, see ``depth_edges``; 0 keeps them.
        edge_mode: ``"masked"`` or ``"official"``, see ``depth_edges``.
        far_contraction: see ``contract_far_depth``; 0 switches it off.
        mask: [H, W] bool, True = drop the pixel.
        clip: number stored with the points; 0 is the input image.
        confidence: [H, W] 0..1; 1 by default.
        normals: [H, W, 3] unit vectors in world coordinates; a point whose normal is not finite is dropped.

    Returns:
        The points of pixels that have data, are not masked and are not on a depth edge.

    Convention: OpenCV axes, half-pixel centres.
    Raises: ShapeError if the sizes differ; WorldStereoError if the depth is empty, holds negative values, or
    leaves 8 points or fewer.
    """
    size = check_shape("image", image, (3, "H", "W"))
    height, width = size["H"], size["W"]
    _check_same_size("depth", depth, (height, width))
    check_shape("K", K, (3, 3))
    check_shape("w2c", w2c, (4, 4))
    if bool((torch.isfinite(depth) & (depth < 0)).any()):
        raise WorldStereoError(
            f"depth: the smallest value is {float(depth[torch.isfinite(depth)].min()):.4g}, expected camera "
            "z >= 0 (0 = no data). Convert disparity, or OpenGL depth (negative z), first."
        )
    valid = has_depth(depth)
    if mask is not None:
        _check_same_size("mask", mask, (height, width))
        valid = valid & ~mask.bool()
    check_has_data("depth", valid)

    # The released code takes both the median and the edges over all pixels with depth, masked ones included.
    considered = None if edge_mode == "official" else valid
    contracted = contract_far_depth(depth.float(), far_contraction, valid=considered)
    keep = valid & ~depth_edges(contracted, edge_threshold, edge_mode, valid=considered)
    if normals is not None:
        check_shape("normals", normals, (height, width, 3))
        keep = keep & torch.isfinite(normals).all(-1)
    count = int(keep.sum())
    if count <= TOO_FEW_POINTS:
        raise WorldStereoError(
            f"depth: {count} points are left of {int(valid.sum())} pixels with data after removing depth "
            f"edges at threshold {edge_threshold}, expected more than {TOO_FEW_POINTS}. Lower the edge "
            "threshold (0 keeps all) or check the depth and the mask."
        )
    points = unproject(contracted[None], K[None].to(contracted), w2c[None].to(contracted))[0]
    if confidence is not None:
        _check_same_size("confidence", confidence, (height, width))
    return PointCloud(
        xyz=points[keep],
        rgb=image.permute(1, 2, 0)[keep].float(),
        confidence=depth.new_ones(count, dtype=torch.float32)
        if confidence is None
        else confidence[keep].float(),
        clip=torch.full((count,), clip, dtype=torch.int32, device=depth.device),
        normal=None if normals is None else normals[keep].float(),
    )


def _check_same_size(name: str, values: Tensor, size: tuple[int, int]) -> None:
    if tuple(values.shape) != size:
        raise ShapeError(
            f"{name}: got a map of shape {list(values.shape)}, expected {list(size)} as the image has. "
            f"Resize the {name} or the image so that both agree."
        )
