"""Read a photo, its depth and a camera file together, and refuse what does not fit together."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..checks import PathError, ShapeError, WorldStereoError
from ..geometry.camera_path import CameraPath
from ..geometry.cameras import Cameras, check_cameras, scale_K
from .outcome import CannotRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One photo with geometry.

    Attributes:
        image: [3, H, W] in 0..1.
        depth: [H, W] camera z in scene units, 0 = no data.
        K: [3, 3], pixels of H x W.
        w2c: [4, 4].
    """

    image: Tensor
    depth: Tensor
    K: Tensor
    w2c: Tensor

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[-2], self.image.shape[-1]


def require_file(option: str, path: Path) -> Path:
    if not path.is_file():
        raise CannotRun(f"{option}: no file {path}. Check the path.")
    return path


def read_cameras(option: str, path: Path, image_path: Path) -> Cameras:
    """Read a camera.json; one that does not say its picture size means the image's."""
    from ..formats.camera_json import read_camera_json
    from ..formats.images import read_image

    size = read_image(require_file("--image", image_path)).shape[-2:]
    return read_camera_json(require_file(option, path), size=(size[0], size[1]))


def read_path_file(option: str, path: Path) -> CameraPath:
    """Read a camera path's JSON; what was repaired is logged."""
    from ..formats.camera_path import read_camera_path

    found, notes = read_camera_path(require_file(option, path))
    for note in notes:
        logger.warning("%s", note)
    return found


def photo_camera(path: CameraPath, image_path: Path) -> Cameras:
    """The camera of a photo that only its path tells of: at the origin, with the first waypoint's lens."""
    from ..formats.images import read_image
    from ..geometry.path_spline import sample_path

    height, width = read_image(require_file("--image", image_path)).shape[-2:]
    first = sample_path(path, 1, height=height, width=width).cameras
    return Cameras(torch.eye(4)[None], first.K, height, width)


def read_source(
    image_path: Path,
    depth_path: Path,
    first: Cameras | None,
    *,
    fov_deg: float | None = None,
    png_scale: float = 0.001,
) -> Source:
    """Read image and depth and find the camera they were taken with.

    The camera is the depth file's own ``K`` and ``w2c`` where it carries them, else the first camera of
    `first`, else the identity with a horizontal field of view of `fov_deg` degrees.

    Raises: WorldStereoError if sizes disagree or no camera is known.
    """
    from ..formats.depth_files import read_depth
    from ..formats.images import read_image

    image = read_image(require_file("--image", image_path))
    if png_scale <= 0:
        raise WorldStereoError(
            f"--png-scale: got {png_scale:g}, expected scene units per step of the PNG, above 0; 0.001 reads "
            "millimetres as metres."
        )
    stored = read_depth(require_file("--depth", depth_path), png_scale=png_scale)
    height, width = image.shape[-2:]
    if tuple(stored.depth.shape) != (height, width):
        raise ShapeError(
            f"--depth: {depth_path.name} is {stored.depth.shape[-2]} x {stored.depth.shape[-1]} (height x "
            f"width), {image_path.name} is {height} x {width}. Use the depth of this very image, at its size."
        )
    K, w2c = stored.K, stored.w2c
    if K is None and fov_deg is not None:
        from ..geometry.cameras import fov_to_K

        if not 1 <= fov_deg < 179:
            raise PathError(f"--fov: got {fov_deg:g} degrees, expected 1 to 179 (a phone's photo: about 65).")
        K = fov_to_K(math.radians(fov_deg), height, width)
    if K is None:
        K = _first_K(first, image_path, height, width)
    if w2c is None:
        w2c = first.w2c[0] if first is not None else torch.eye(4)
    source = Source(image.float(), stored.depth.float(), K.float(), w2c.float())
    check_cameras(
        f"source camera of {image_path.name}", Cameras(source.w2c[None], source.K[None], height, width)
    )
    return source


def _first_K(first: Cameras | None, image_path: Path, height: int, width: int) -> Tensor:
    if first is None:
        raise WorldStereoError(
            "--depth: the file has no K and no camera.json is given. Pass --fov (horizontal, degrees) or an "
            "NPZ with the keys depth and K."
        )
    remedy = "store the image's own K in the depth NPZ"
    check_shape_of_picture(first, image_path, (height, width), remedy)
    return scale_K(first.K[:1], (first.height, first.width), (height, width))[0]


def check_shape_of_picture(
    cameras: Cameras, image_path: Path, size: tuple[int, int], remedy: str = "write cameras for its own shape"
) -> None:
    """Raise PathError if cameras of --camera refer to a picture of another shape than the photo of `size`."""
    height, width = size
    # One pixel of rounding is allowed when a photo was resized to whole pixels.
    if abs(width * cameras.height - height * cameras.width) > max(cameras.height, cameras.width):
        raise PathError(
            f"--camera: K refers to {cameras.height} x {cameras.width} (height x width), {image_path.name} "
            f"is {height} x {width}, another shape. Crop the image as the cameras expect, or {remedy}."
        )
