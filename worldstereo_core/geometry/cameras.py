"""Pinhole cameras: OpenCV axes, world-to-camera matrices, intrinsics in pixels, half-pixel centres."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..checks import PathError, ShapeError, check_shape
from .poses import invert_se3

RIGID_TOLERANCE = 1e-3
# A principal point further than this share of the image from its middle means K belongs to another image size
# far more often than it means a shifted lens.
PRINCIPAL_POINT_RANGE = (0.3, 0.7)


@dataclass(frozen=True, eq=False)
class Cameras:
    """T pinhole cameras that share one image size.

    Attributes:
        w2c: [T, 4, 4] float32, x_camera = w2c @ x_world; OpenCV axes (x right, y down, z forward).
        K: [T, 3, 3] float32, pixels of a ``height`` x ``width`` image whose columns span [0, width].
        height, width: the image size K refers to, pixels.
    """

    w2c: Tensor
    K: Tensor
    height: int
    width: int

    @property
    def num_frames(self) -> int:
        return self.w2c.shape[0]

    def __len__(self) -> int:
        return self.num_frames

    @property
    def c2w(self) -> Tensor:
        """[T, 4, 4] camera-to-world."""
        return invert_se3(self.w2c)

    @property
    def centers(self) -> Tensor:
        """[T, 3] camera positions in world coordinates."""
        return self.c2w[:, :3, 3]

    def resized(self, height: int, width: int) -> Cameras:
        """The same cameras for the image stretched to another size."""
        K = scale_K(self.K, (self.height, self.width), (height, width))
        return replace(self, K=K, height=height, width=width)

    def cropped(self, height: int, width: int) -> Cameras:
        """The same cameras for the image brought to another size by ``pictures.fit_pictures(fit="crop")``."""
        window_height, window_width, top, left = central_window((self.height, self.width), (height, width))
        K = self.K.clone()
        K[:, 0, 2] -= left
        K[:, 1, 2] -= top
        K = scale_K(K, (window_height, window_width), (height, width))
        return replace(self, K=K, height=height, width=width)

    def __getitem__(self, frames: slice | int | Tensor | Sequence[int]) -> Cameras:
        """The chosen frames, in the order given; one index gives Cameras of one frame."""
        if isinstance(frames, int):
            frames = range(self.num_frames)[frames]  # IndexError past the end
            frames = slice(frames, frames + 1)
        elif not isinstance(frames, (slice, Tensor)):
            frames = torch.as_tensor(frames, dtype=torch.long)
        return replace(self, w2c=self.w2c[frames], K=self.K[frames])

    def to(self, device: torch.device | str) -> Cameras:
        return replace(self, w2c=self.w2c.to(device), K=self.K.to(device))


def central_window(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest central window of ``size`` (height, width) with the proportions of ``target``.

    Returns:
        Height, width, top and left of the window in pixels of ``size``.
    """
    scale = max(target[0] / size[0], target[1] / size[1])
    height, width = (min(side, round(wanted / scale)) for side, wanted in zip(size, target, strict=True))
    return height, width, (size[0] - height) // 2, (size[1] - width) // 2


def check_cameras(name: str, cameras: Cameras) -> None:
    """Check that cameras are finite, rigid and fit their image size.

    Args:
        name: the input as the user sees it, e.g. ``"trajectory"``.
        cameras: what was given.

    Raises:
        ShapeError: w2c and K differ in frames, or are not lists of 4x4 and 3x3 matrices.
        PathError: no frames, non-finite numbers, a w2c that is not a rotation with a translation, or a K that
            cannot belong to a ``height`` x ``width`` image.
    """
    check_shape(f"{name}: world-to-camera matrices", cameras.w2c, ("frames", 4, 4))
    check_shape(f"{name}: intrinsics K", cameras.K, ("frames", 3, 3))
    num_frames = cameras.num_frames
    if num_frames != cameras.K.shape[0]:
        raise ShapeError(
            f"{name}: got {num_frames} world-to-camera matrices but {cameras.K.shape[0]} intrinsics K; "
            "expected one K per frame. Repeat or remove entries so that both have the same length."
        )
    if num_frames == 0:
        raise PathError(f"{name}: got no cameras, expected at least one frame. Add frames to the path.")
    if cameras.height < 1 or cameras.width < 1:
        raise PathError(
            f"{name}: got image size height {cameras.height}, width {cameras.width}; expected positive "
            "pixels. Give the size of the image that K refers to."
        )
    _check_finite(name, "world-to-camera matrix", cameras.w2c)
    _check_finite(name, "K", cameras.K)
    _check_rigid(name, cameras.w2c)
    _check_intrinsics(name, cameras)


def _check_finite(name: str, what: str, matrices: Tensor) -> None:
    finite = torch.isfinite(matrices).flatten(1).all(dim=1)
    if not finite.all():
        bad = int((~finite).nonzero()[0])
        values = matrices[bad][~torch.isfinite(matrices[bad])].tolist()
        raise PathError(
            f"{name}: the {what} of frame {bad} holds {values[0]} ({int((~finite).sum())} of {len(finite)} "
            "frames are affected); expected finite numbers. Remove those frames or export the camera again."
        )


def _check_rigid(name: str, w2c: Tensor) -> None:
    w2c = w2c.double()
    rotation = w2c[:, :3, :3]
    identity = torch.eye(3, dtype=w2c.dtype, device=w2c.device)
    row_error = (w2c[:, 3] - torch.eye(4, dtype=w2c.dtype, device=w2c.device)[3]).abs().amax(dim=1)
    if (row_error > RIGID_TOLERANCE).any():
        bad = int(row_error.argmax())
        row = [round(value, 4) for value in w2c[bad, 3].tolist()]
        raise PathError(
            f"{name}: the world-to-camera matrix of frame {bad} ends in the row {row}, expected "
            "[0, 0, 0, 1]. It may be transposed: the translation belongs in the last column."
        )
    error = (rotation @ rotation.mT - identity).abs().amax(dim=(1, 2))
    if (error > RIGID_TOLERANCE).any():
        bad = int(error.argmax())
        scale = rotation[bad].norm(dim=1).mean().item()
        raise PathError(
            f"{name}: the world-to-camera matrix of frame {bad} is not rigid: its rotation part R "
            f"differs from a rotation by {error[bad].item():.3g} (largest entry of R R^T - 1; mean row "
            f"length {scale:.4g}), expected at most {RIGID_TOLERANCE:g}. Remove scale and shear from the "
            "camera and export it again."
        )
    determinant = torch.linalg.det(rotation)
    if (determinant < 0).any():
        bad = int(determinant.argmin())
        raise PathError(
            f"{name}: the rotation of frame {bad} is mirrored (determinant {determinant[bad].item():.3g}), "
            "expected +1. Convert to OpenCV axes (x right, y down, z forward) by rotation, not by a flip."
        )


def _check_intrinsics(name: str, cameras: Cameras) -> None:
    K = cameras.K.double()
    focal = torch.stack([K[:, 0, 0], K[:, 1, 1]], dim=1)
    if (focal <= 0).any():
        bad = int(focal.amin(dim=1).argmin())
        raise PathError(
            f"{name}: K of frame {bad} has focal lengths fx {focal[bad, 0].item():g}, fy "
            f"{focal[bad, 1].item():g}; expected both above 0. Convert K to OpenCV intrinsics in pixels."
        )
    row_error = (K[:, 2] - K.new_tensor([0, 0, 1])).abs().amax(dim=1)
    if (row_error > RIGID_TOLERANCE).any():
        bad = int(row_error.argmax())
        row = [round(value, 4) for value in K[bad, 2].tolist()]
        raise PathError(
            f"{name}: K of frame {bad} ends in the row {row}, expected [0, 0, 1]. "
            "It may be transposed: the principal point belongs into the last column."
        )
    size = K.new_tensor([cameras.width, cameras.height])
    share = K[:, :2, 2] / size
    low, high = PRINCIPAL_POINT_RANGE
    outside = ((share < low) | (share > high)).any(dim=1)
    if outside.any():
        bad = int(outside.nonzero()[0])
        cx, cy = K[bad, :2, 2].tolist()
        if 0 < max(cx, cy) < 2 and min(cameras.height, cameras.width) > 4:
            advice = (
                "K looks normalised by the image size: multiply its first row by the width and its second by "
                "the height."
            )
        else:
            advice = (
                f"K looks like that of a {round(2 * cy)}x{round(2 * cx)} image (height x width): give that "
                "size, or scale K's first row by the ratio of widths and its second by the ratio of heights."
            )
        raise PathError(
            f"{name}: K of frame {bad} has its principal point at ({cx:g}, {cy:g}) pixels, but the image is "
            f"height {cameras.height}, width {cameras.width}; expected about ({cameras.width / 2:g}, "
            f"{cameras.height / 2:g}), within {low:.0%} to {high:.0%} of each side. {advice}"
        )


def scale_K(K: Tensor, from_size: tuple[int, int], to_size: tuple[int, int]) -> Tensor:
    """Scale intrinsics when the image is stretched to another size.

    With half-pixel centres the image spans [0, W], so the first two rows simply scale; nothing is shifted.

    Args:
        K: [..., 3, 3], pixels of an image of ``from_size``.
        from_size, to_size: (height, width).
    """
    factor = K.new_tensor([to_size[1] / from_size[1], to_size[0] / from_size[0], 1.0])
    return K * factor[:, None]


def fov_to_focal(fov: float, size: float) -> float:
    """Focal length in pixels from the field of view in radians across ``size`` pixels."""
    return size / (2 * math.tan(fov / 2))


def focal_to_fov(focal: float, size: float) -> float:
    """Field of view in radians across ``size`` pixels from the focal length in pixels."""
    return 2 * math.atan(size / (2 * focal))


def fov_to_K(fov: float, height: int, width: int) -> Tensor:
    """Intrinsics of square pixels and a centred principal point.

    Args:
        fov: HORIZONTAL field of view, radians.
        height, width: image size, pixels.

    Returns:
        [3, 3] float32, pixels.
    """
    focal = fov_to_focal(fov, width)
    return torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float32)


def pixel_grid(
    height: int,
    width: int,
    offset: tuple[float, float] = (0.5, 0.5),
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Sample position of every pixel.

    Args:
        height, width: image size, pixels.
        offset: (x, y) added to column and row number; the default gives pixel centres.

    Returns:
        [H, W, 2] xy in pixels.
    """
    y = torch.arange(height, device=device, dtype=dtype) + offset[1]
    x = torch.arange(width, device=device, dtype=dtype) + offset[0]
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def pixel_directions(
    K: Tensor,  # [T, 3, 3]
    height: int,
    width: int,
    offset: tuple[float, float] = (0.5, 0.5),
) -> Tensor:
    """Directions in camera axes with z = 1 through every pixel, [T, H, W, 3]."""
    xy = pixel_grid(height, width, offset, K.device, K.dtype)
    homogeneous = torch.cat([xy, torch.ones_like(xy[..., :1])], dim=-1).reshape(-1, 3)
    # inv_ex: a non-finite K gives non-finite rays here and is refused where cameras enter.
    return (homogeneous @ torch.linalg.inv_ex(K)[0].mT).unflatten(-2, (height, width))


def project(points: Tensor, K: Tensor, w2c: Tensor) -> tuple[Tensor, Tensor]:
    """Project world points into images.

    Args:
        points: [N, 3] or [T, N, 3] world coordinates.
        K: [T, 3, 3], pixels (or [3, 3] together with w2c [4, 4]).
        w2c: [T, 4, 4].

    Returns:
        xy [T, N, 2] in pixels (the image spans [0, width] x [0, height]) and z [T, N], camera depth in scene
        units. Where z is 0 or negative the point lies behind the camera and xy means nothing.
    """
    in_camera = points @ w2c[..., :3, :3].mT + w2c[..., None, :3, 3]
    on_image = in_camera @ K.mT
    return on_image[..., :2] / on_image[..., 2:], in_camera[..., 2]


def project_to_pixels(points: Tensor, camera: Cameras) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find the pixel of each world point [N, 3] in one camera.

    Returns:
        Row, column, camera z, and whether the point falls into the picture: [N] each. Row and column are
        valid numbers also where it does not.
    """
    xy, z = project(points, camera.K[0], camera.w2c[0])
    inside = (z > 0) & ((xy >= 0) & (xy < xy.new_tensor([camera.width, camera.height]))).all(-1)
    column, row = torch.where(inside[:, None], xy, 0.0).long().unbind(-1)
    return row.clamp(max=camera.height - 1), column.clamp(max=camera.width - 1), z, inside


def unproject(depth: Tensor, K: Tensor, w2c: Tensor) -> Tensor:
    """Lift depth maps to world points.

    Args:
        depth: [T, H, W], camera z in scene units; 0, negative or non-finite marks no data.
        K: [T, 3, 3], pixels of an H x W image.
        w2c: [T, 4, 4].

    Returns:
        [T, H, W, 3] world points; NaN where depth has no data.

    Convention: OpenCV axes, half-pixel centres.
    Raises: ShapeError if the frame counts differ.
    """
    sizes = check_shape("depth", depth, ("T", "H", "W"))
    frames = sizes["T"]
    check_shape("K", K, (frames, 3, 3), "Give one K per depth map.")
    check_shape("w2c", w2c, (frames, 4, 4), "Give one camera per depth map.")
    valid = torch.isfinite(depth) & (depth > 0)
    depth = torch.where(valid, depth, torch.nan)
    in_camera = pixel_directions(K, sizes["H"], sizes["W"]) * depth[..., None]
    c2w = invert_se3(w2c)
    in_world = in_camera.flatten(1, 2) @ c2w[:, :3, :3].mT + c2w[:, None, :3, 3]
    return in_world.reshape(in_camera.shape)


def w2c_to_plucker(
    K: Tensor,
    w2c: Tensor,
    height: int,
    width: int,
    pixel_offset: tuple[float, float] = (0.5, 0.5),
) -> Tensor:
    """Plücker rays of every pixel.

    Args:
        K: [T, 3, 3], pixels of a ``height`` x ``width`` image.
        w2c: [T, 4, 4].
        pixel_offset: (x, y) added to column and row number; the default samples pixel centres.

    Returns:
        [T, 6, H, W]: unit direction in world axes, then moment = camera centre x direction.
    """
    c2w = invert_se3(w2c)
    in_camera = pixel_directions(K, height, width, pixel_offset).flatten(1, 2)
    direction = normalize(in_camera @ c2w[:, :3, :3].mT, dim=-1)
    moment = torch.linalg.cross(c2w[:, None, :3, 3].expand_as(direction), direction)
    rays = torch.cat([direction, moment], dim=-1)
    return rays.mT.unflatten(-1, (height, width))  # [T, H*W, 6] -> [T, 6, H, W]


def look_at(eye: Tensor, target: Tensor, up: Tensor | None = None) -> Tensor:
    """World-to-camera matrix of a camera at ``eye`` that looks at ``target``.

    Args:
        eye, target: [..., 3] world coordinates.
        up: [..., 3] direction that points up in the picture; default (0, -1, 0), since y points down.

    Returns:
        [..., 4, 4].

    Raises: PathError if eye and target coincide or the camera looks along ``up``.
    """
    upward = eye.new_tensor([0.0, -1.0, 0.0]) if up is None else up
    forward = normalize(target - eye, dim=-1)
    right = torch.linalg.cross(forward, upward.expand_as(forward))
    if (right.norm(dim=-1) < 1e-6).any():
        raise PathError(
            "look at: the camera stands on its target or looks along the up direction, so its roll "
            "is undefined; expected a view direction that differs from up. Move the target or change up."
        )
    right = normalize(right, dim=-1)
    down = torch.linalg.cross(forward, right)
    rotation = torch.stack([right, down, forward], dim=-2)  # rows are the camera's axes in world coordinates
    w2c = torch.eye(4, dtype=eye.dtype, device=eye.device).repeat(*eye.shape[:-1], 1, 1)
    w2c[..., :3, :3] = rotation
    w2c[..., :3, 3] = -(rotation @ eye[..., None])[..., 0]
    return w2c
