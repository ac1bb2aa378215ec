"""Axes of other programs, rigid parts of their matrices, and Euler angles.

World axes are named by where up is: "y" (x right, z towards the viewer: glTF, Maya, Nuke), "z" (x right, y
away from the viewer: Blender), "-y" (y down, z away: ours). Camera axes are "opencv" (y down, z forward) or
"opengl" (y up, looking along -z: Blender, USD, glTF, Nuke).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ...checks import PathError
from ...geometry.cameras import RIGID_TOLERANCE

# Rows are the file's x, y, z in our world axes (x right, y down, z forward).
_WORLD = {
    "-y": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "y": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "z": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
}
UP_AXES = tuple(_WORLD)


class NoteTaker(Protocol):
    def add(self, text: str) -> None: ...


def file_from_ours(up_axis: str) -> Tensor:
    """[3, 3] float64 rotation from our world to a world with that up axis."""
    return torch.tensor(_WORLD[up_axis], dtype=torch.float64)


def _camera_flip(camera_axes: str) -> Tensor:
    sign = {"opencv": 1.0, "opengl": -1.0}[camera_axes]
    return torch.tensor([1.0, sign, sign], dtype=torch.float64)


def to_file_axes(c2w: Tensor, camera_axes: str, up_axis: str, unit_scale: float) -> Tensor:
    """[T, 4, 4] camera-to-world: from our axes and scene units to a file's."""
    world = file_from_ours(up_axis)
    moved = c2w.clone()
    moved[:, :3, :3] = world @ c2w[:, :3, :3] * _camera_flip(camera_axes)
    moved[:, :3, 3] = c2w[:, :3, 3] @ world.mT / unit_scale
    return moved


def from_file_axes(c2w: Tensor, camera_axes: str, up_axis: str, unit_scale: float) -> Tensor:
    """[T, 4, 4] camera-to-world: from a file's axes and units to ours."""
    world = file_from_ours(up_axis)
    moved = c2w.clone()
    moved[:, :3, :3] = world.mT @ c2w[:, :3, :3] * _camera_flip(camera_axes)
    moved[:, :3, 3] = c2w[:, :3, 3] @ world * unit_scale
    return moved


def check_numbers(path: Path, field: str, values: Tensor) -> None:
    """Raise PathError if a [T, ...] tensor is not finite, naming file, field and frame."""
    finite = torch.isfinite(values).reshape(len(values), -1).all(dim=1)
    if not finite.all():
        bad = int((~finite).nonzero()[0])
        number = values[bad].reshape(-1)
        number = number[~torch.isfinite(number)][0].item()
        raise PathError(
            f"{path.name}: {field} of frame {bad} holds {number} ({int((~finite).sum())} of {len(finite)} "
            "frames are affected); expected finite numbers. Export the camera again."
        )


def rigid_part(path: Path, field: str, matrices: Tensor, notes: NoteTaker) -> Tensor:
    """The rotations and translations of [T, 4, 4] transforms that may carry an even scale.

    An even scale says nothing about a camera, so it is taken off and noted.

    Raises: PathError if a matrix is not finite, is transposed, mirrored, flat or sheared.
    """
    check_numbers(path, field, matrices)
    row = matrices.new_tensor([0.0, 0.0, 0.0, 1.0])
    row_error = (matrices[:, 3] - row).abs().amax(dim=1)
    if (row_error > RIGID_TOLERANCE).any():
        bad = int(row_error.argmax())
        raise PathError(
            f"{path.name}: {field} of frame {bad} ends in the row {_short(matrices[bad, 3])}, expected "
            "[0, 0, 0, 1]. It may be transposed: the translation belongs in the last column."
        )
    rotation = matrices[:, :3, :3]
    determinant = torch.linalg.det(rotation)
    mirrored = determinant < 0
    if mirrored.any():
        bad = int(mirrored.nonzero()[0])
        raise PathError(
            f"{path.name}: {field} of frame {bad} is mirrored (determinant {determinant[bad].item():.3g}), "
            "so its axes are left-handed; expected a rotation. Undo negative scales and convert to "
            "right-handed axes."
        )
    scale = determinant.clamp(min=0) ** (1 / 3)
    flat = scale < 1e-9
    if flat.any():
        bad = int(flat.nonzero()[0])
        raise PathError(
            f"{path.name}: {field} of frame {bad} has the scale 0, so the camera has no direction; expected "
            "a rotation. Export the camera again."
        )
    scaled = (scale - 1).abs() > RIGID_TOLERANCE
    if scaled.any():
        bad = int(scaled.nonzero()[0])
        notes.add(
            f"{path.name}: {field} is scaled in {int(scaled.sum())} of {len(scaled)} frames (frame {bad} by "
            f"{scale[bad].item():.6g}); the scale was removed, positions kept."
        )
    rotation = rotation / scale[:, None, None]
    shear = (rotation @ rotation.mT - torch.eye(3, dtype=rotation.dtype)).abs().amax(dim=(1, 2))
    if (shear > 2 * RIGID_TOLERANCE).any():
        bad = int(shear.argmax())
        raise PathError(
            f"{path.name}: {field} of frame {bad} is not rigid: its axes differ in length or are not "
            f"perpendicular (largest entry of R R^T - 1: {shear[bad].item():.3g}), expected at most "
            f"{RIGID_TOLERANCE:g}. Remove uneven scale and shear and export again."
        )
    rigid = matrices.clone()
    rigid[:, :3, :3] = rotation
    return rigid


def _short(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]


def rotation_from_quaternion(
    path: Path, quaternions: Tensor, notes: NoteTaker, field: str = "quaternion"
) -> Tensor:
    """[T, 3, 3] from wxyz quaternions [T, 4]; other lengths than 1 are normalised and noted.

    Raises: PathError if a quaternion has length 0 or is not finite.
    """
    check_numbers(path, field, quaternions)
    length = quaternions.norm(dim=1)
    if (length < 1e-9).any():
        bad = int(length.argmin())
        raise PathError(
            f"{path.name}: {field} of frame {bad} has length {length[bad].item():.3g}, so it is no rotation; "
            "expected length 1. Export the camera again."
        )
    off = (length - 1).abs() > RIGID_TOLERANCE
    if off.any():
        bad = int(off.nonzero()[0])
        notes.add(
            f"{path.name}: {field} of {int(off.sum())} of {len(off)} frames was not of length 1 (frame "
            f"{bad}: {length[bad].item():.6g}); normalised."
        )
    w, x, y, z = (quaternions / length[:, None]).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def turn(axis: str, angle: Tensor) -> Tensor:
    """[T, 3, 3] right-handed rotations by angles [T] in radians about "X", "Y" or "Z"."""
    i, j = {"X": (1, 2), "Y": (2, 0), "Z": (0, 1)}[axis]
    rotation = torch.eye(3, dtype=angle.dtype).repeat(len(angle), 1, 1)
    rotation[:, i, i] = rotation[:, j, j] = torch.cos(angle)
    rotation[:, j, i] = torch.sin(angle)
    rotation[:, i, j] = -rotation[:, j, i]
    return rotation


def euler_to_matrix(angles: Tensor, order: str) -> Tensor:
    """[T, 3, 3] from angles [T, 3] about x, y, z in radians, applied in ``order``.

    "ZXY" turns about z first, then x, then y: the matrix is Ry Rx Rz.
    """
    rotation = torch.eye(3, dtype=angles.dtype)
    for axis in order:
        rotation = turn(axis, angles[:, "XYZ".index(axis)]) @ rotation
    return rotation


def matrix_to_euler(rotation: Tensor, order: str) -> Tensor:
    """Angles [T, 3] about x, y, z in radians whose rotations, applied in ``order``, give [T, 3, 3].

    The angles run on from frame to frame without jumps of a full turn. Where the middle angle is a right
    angle the first and the last turn about the same axis, and the first is set to 0.
    """
    first, middle, last = ("XYZ".index(axis) for axis in order)
    # The matrix is R_last R_middle R_first; the sign is that of this permutation of x, y, z.
    sign = 1.0 if (last, middle, first) in ((0, 1, 2), (1, 2, 0), (2, 0, 1)) else -1.0
    cosine = torch.hypot(rotation[:, last, last], rotation[:, last, middle])
    locked = cosine < 1e-7
    angles = torch.zeros(len(rotation), 3, dtype=rotation.dtype)
    angles[:, middle] = torch.atan2(sign * rotation[:, last, first], cosine)
    angles[:, first] = torch.where(
        locked, 0.0, torch.atan2(-sign * rotation[:, last, middle], rotation[:, last, last])
    )
    angles[:, last] = torch.where(
        locked,
        torch.atan2(sign * rotation[:, first, middle], rotation[:, middle, middle]),
        torch.atan2(-sign * rotation[:, middle, first], rotation[:, first, first]),
    )
    return torch.from_numpy(np.unwrap(angles.numpy(), axis=0))
