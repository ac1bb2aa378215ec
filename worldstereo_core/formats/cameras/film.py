"""Film backs: focal length and aperture in millimetres on one side, K in pixels on the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...checks import PathError
from ...geometry.trajectory import Trajectory
from .axes import check_numbers
from .exchange import Notes, intrinsics

# The film's shape may differ from the picture's by this much before pixels are taken as square instead.
_ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True)
class Film:
    """Film backs of T frames, [T] float64 in millimetres each.

    Offsets shift the part of the image plane that the film sees: to the right and upwards if positive.
    """

    focal: Tensor
    width: Tensor
    height: Tensor
    offset_x: Tensor
    offset_y: Tensor

    @staticmethod
    def of(trajectory: Trajectory, sensor_width_mm: float) -> Film:
        """The film of a trajectory whose pictures are as wide as the sensor."""
        K = intrinsics(trajectory)
        fx, fy, cx, cy = K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]
        focal = fx * sensor_width_mm / trajectory.width
        width = torch.full_like(focal, sensor_width_mm)
        height = trajectory.height * focal / fy
        return Film(
            focal,
            width,
            height,
            width * (0.5 - cx / trajectory.width),
            height * (cy / trajectory.height - 0.5),
        )

    def to_K(self, path: Path, size: tuple[int, int], notes: Notes, is_own_size: bool) -> Tensor:
        """[T, 3, 3] for pictures of ``size`` (height, width) that fill the film's width.

        Args:
            is_own_size: the file states the size, so that a film of another shape means pixels that are not
                square. Else such pixels are taken as square, with a note.

        Raises: PathError if a focal length or an aperture is not above 0.
        """
        for name, values in (
            ("focal length", self.focal),
            ("horizontal aperture", self.width),
            ("vertical aperture", self.height),
            ("aperture offset", torch.stack([self.offset_x, self.offset_y], dim=1)),
        ):
            check_numbers(path, name, values)
            if "offset" not in name and (values <= 0).any():
                bad = int(values.argmin())
                raise PathError(
                    f"{path.name}: the {name} of frame {bad} is {values[bad].item():g}, expected millimetres "
                    "above 0. Export the camera again."
                )
        height, width = size
        fx = self.focal / self.width * width
        fy = self.focal / self.height * height
        uneven = (fy / fx - 1).abs() > _ASPECT_TOLERANCE
        if not is_own_size and uneven.any():
            bad = int(uneven.nonzero()[0])
            notes.add(
                f"{path.name}: the film of frame {bad} is {self.width[bad].item():.4g} x "
                f"{self.height[bad].item():.4g} mm, which is not the shape of {width} x {height} pixels; its "
                "width was kept, pixels are square."
            )
            fy = torch.where(uneven, fx, fy)
        K = torch.eye(3, dtype=torch.float64).repeat(len(fx), 1, 1)
        K[:, 0, 0], K[:, 1, 1] = fx, fy
        K[:, 0, 2] = width / 2 - self.offset_x / self.focal * fx
        K[:, 1, 2] = height / 2 + self.offset_y / self.focal * fy
        return K
