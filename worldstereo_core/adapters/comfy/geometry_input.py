"""Depth from what ComfyUI's estimators put on their sockets, and back onto MoGe's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ...checks import ShapeError, WorldStereoError, check_shape
from ...geometry.cameras import fov_to_K, scale_K, unproject
from ...geometry.depth import has_depth

PictureKind = Literal["depth", "disparity"]
SKY_PROBABILITY = 0.5


@dataclass(frozen=True, eq=False)
class EstimatedDepth:
    """Depth of T pictures as an estimator, a file or a picture gave it.

    Attributes:
        depth: [T, H, W] float32 camera z in the estimator's units; 0 marks no data, sky and masked pixels.
        K: [T, 3, 3] float32, pixels of an H x W image, or None when it is not known.
        source: "MoGe", "Depth Anything 3" or "depth picture", for messages.
        confidence: [T, H, W] float32 0..1, or None if the estimator gives none.
        sky: [T, H, W] bool, or None if the estimator does not tell sky from other missing depth.
    """

    depth: Tensor
    K: Tensor | None
    source: str
    confidence: Tensor | None = None
    sky: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.depth.shape[1], self.depth.shape[2]

    def require_K(self, fov_deg: float, name: str = "fov_deg") -> Tensor:
        """K of every picture: from the horizontal field of view in degrees, or at 0 the estimator's own.

        Raises: WorldStereoError if neither is known.
        """
        height, width = self.size
        if fov_deg > 0:
            K = fov_to_K(float(torch.deg2rad(torch.tensor(fov_deg))), height, width)
            return K.expand(self.depth.shape[0], 3, 3)
        if self.K is None:
            raise WorldStereoError(
                f"{name}: 0 takes the field of view from the geometry, but this {self.source} does not carry "
                "one. Set the horizontal field of view in degrees (a phone's main camera has about 65, a "
                "50 mm "
                "lens 40)."
            )
        return self.K


def geometry_to_depth(
    geometry: Mapping[str, Any] | Tensor, name: str = "geometry", picture_kind: PictureKind = "depth"
) -> EstimatedDepth:
    """Read MOGE_GEOMETRY, DA3_GEOMETRY or a depth picture.

    Args:
        geometry: the estimator's dict, or an IMAGE [T, H, W, C] whose first channel is depth.
        name: the input as the user sees it.
        picture_kind: whether a depth picture's values are depth or 1 / depth.

    Raises: WorldStereoError for a panorama, something else than geometry, or depth without any data.
    """
    if isinstance(geometry, Tensor):
        found = _picture_to_depth(geometry, name, picture_kind)
    elif not isinstance(geometry, Mapping) or not isinstance(geometry.get("depth"), Tensor):
        got = sorted(geometry) if isinstance(geometry, Mapping) else type(geometry).__name__
        raise WorldStereoError(
            f"{name}: got {got}, expected geometry with depth. Wire Run MoGe Inference, Run Depth "
            "Anything 3, "
            "Load Depth Map, or a depth picture."
        )
    elif "mode" in geometry:
        found = _da3_to_depth(geometry, name)
    else:
        found = _moge_to_depth(geometry, name)
    if not bool((found.depth > 0).any()):
        raise WorldStereoError(
            f"{name}: no pixel of the {list(found.depth.shape)} depth has data (0, non-finite and masked "
            "pixels "
            "do not count), expected depth above 0. Check the estimator, the file's scale and the mask."
        )
    return found


def panorama_to_distance(geometry: Mapping[str, Any] | Tensor, name: str = "geometry") -> Tensor:
    """Read the distances of one panorama.

    Args:
        geometry: MOGE_GEOMETRY of core's Run MoGe Panorama Inference (distances along the rays; no
            intrinsics) or of Load Depth Map without a field of view, or an IMAGE [1, H, W, C] whose first
            channel is distance.

    Returns:
        [H, W] float32 distance along each ray in the estimator's units; 0 marks no data.

    Raises: WorldStereoError for perspective geometry, a batch, or no data.
    """
    if isinstance(geometry, Mapping) and geometry.get("intrinsics") is not None:
        raise WorldStereoError(
            f"{name}: got geometry of an ordinary picture (it carries a focal length), expected that of a "
            "panorama. Wire Run MoGe Panorama Inference, or use Create Geometric Memory for a picture."
        )
    if isinstance(geometry, Mapping) and "points" in geometry:
        # geometry_to_depth takes the same dict without points for a plain map.
        geometry = {key: value for key, value in geometry.items() if key != "points"}
    distance = geometry_to_depth(geometry, name).depth
    if distance.shape[0] != 1:
        raise ShapeError(
            f"{name}: got distances of {distance.shape[0]} pictures, expected those of one panorama. Run the "
            "estimator on the panorama alone."
        )
    return distance[0]


def depth_to_geometry(depth: Tensor, K: Tensor | None) -> dict[str, Tensor]:
    """Pack depth as MOGE_GEOMETRY, so that core's MoGe nodes take it.

    Args:
        depth: [T, H, W], camera z in scene units; 0 or non-finite marks no data.
        K: [T, 3, 3], pixels of an H x W image, or None.

    Returns:
        ``depth`` (inf without data) and ``mask`` (True = data); with K also ``points`` [T, H, W, 3] (OpenCV
        camera axes, inf without data) and ``intrinsics``, normalised by the image size.
    """
    height, width = check_shape("depth", depth, ("T", "H", "W"))["H"], depth.shape[2]
    mask = has_depth(depth)
    geometry = {"depth": torch.where(mask, depth, torch.inf), "mask": mask}
    if K is not None:
        identity = torch.eye(4).expand(depth.shape[0], 4, 4)
        points = unproject(depth, K, identity)
        geometry["points"] = torch.where(mask[..., None], points, torch.inf)
        geometry["intrinsics"] = scale_K(K, (height, width), (1, 1))
    return geometry


def _picture_to_depth(picture: Tensor, name: str, kind: PictureKind) -> EstimatedDepth:
    check_shape(name, picture, ("T", "H", "W", "*"), "Wire a depth picture.")
    values = picture[..., 0].float().cpu()
    valid = has_depth(values)
    depth = torch.where(valid, 1 / values if kind == "disparity" else values, 0.0)
    return EstimatedDepth(depth, None, "depth picture")


def _moge_to_depth(geometry: Mapping[str, Any], name: str) -> EstimatedDepth:
    depth = _depth_of(geometry, name)
    if "mask" in geometry:
        _check_same_size(name, "mask", geometry["mask"], depth)
        depth = torch.where(geometry["mask"].cpu().bool(), depth, 0.0)
    intrinsics = geometry.get("intrinsics")
    if intrinsics is None:
        if "points" in geometry:
            raise WorldStereoError(
                f"{name}: got MoGe geometry of a panorama, expected that of an ordinary picture. Wire it to "
                "Create Panorama Memory, or run MoGe Inference on a perspective picture."
            )
        return EstimatedDepth(depth, None, "depth map")
    return EstimatedDepth(depth, scale_K(intrinsics.float().cpu(), (1, 1), tuple(depth.shape[1:])), "MoGe")


def _da3_to_depth(geometry: Mapping[str, Any], name: str) -> EstimatedDepth:
    depth = _depth_of(geometry, name)
    sky = confidence = None
    if "sky" in geometry:
        _check_same_size(name, "sky", geometry["sky"], depth)
        sky = geometry["sky"].cpu() >= SKY_PROBABILITY
        depth = torch.where(sky, 0.0, depth)
    if "confidence" in geometry:
        _check_same_size(name, "confidence", geometry["confidence"], depth)
        confidence = _scaled_confidence(geometry["confidence"].float().cpu())
    K = None
    intrinsics = geometry.get("intrinsics")
    if intrinsics is not None:
        stated = intrinsics.float().cpu().reshape(-1, 3, 3)
        size = 2 * stated[:, :2, 2].flip(-1)  # height, width of the pictures as the model saw them
        if bool((size > 1).all()):
            # Core brings depth back to the picture's size but leaves K in pixels of the size that the model
            # ran at, which only the principal point tells.
            sizes = [(round(height), round(width)) for height, width in size.tolist()]
            height, width = depth.shape[1:]
            K = torch.stack(
                [scale_K(k, seen, (height, width)) for k, seen in zip(stated, sizes, strict=True)]
            )
    return EstimatedDepth(depth, K, "Depth Anything 3 geometry", confidence, sky)


def _scaled_confidence(raw: Tensor) -> Tensor:
    """Depth Anything's confidence, 1 and up, into 0..1: the odds raw - 1 to 1 of the depth being right."""
    sure = torch.where(torch.isfinite(raw), raw.clamp_min(1), 1.0)
    return 1 - 1 / sure


def _depth_of(geometry: Mapping[str, Any], name: str) -> Tensor:
    depth = geometry["depth"]
    check_shape(f"{name}: depth", depth, ("T", "H", "W"), "Wire MoGe or Depth Anything 3 geometry.")
    depth = depth.float().cpu()
    return torch.where(has_depth(depth), depth, 0.0)


def _check_same_size(name: str, part: str, values: Tensor, depth: Tensor) -> None:
    if values.shape != depth.shape:
        raise ShapeError(
            f"{name}: its {part} is {list(values.shape)}, its depth {list(depth.shape)}; expected the same "
            "shape. Run the depth estimator again."
        )
