"""What every camera format shares: settings, results, and the finishing checks.

A reader turns a file into a ``CameraFile``: a trajectory in our conventions and notes about everything that
the file did not say, that was repaired or that was left out. A writer returns the notes about what its
format cannot hold. Nothing of that kind happens without a note.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ...checks import PathError
from ...geometry.cameras import Cameras, check_cameras
from ...geometry.poses import invert_se3
from ...geometry.trajectory import DEFAULT_FPS, Trajectory
from .axes import from_file_axes, rotation_from_quaternion, to_file_axes

MAX_FRAMES = 1_000_000
# Two frame times may differ by this share of a frame and still count as evenly spaced; float32 times at
# 100,000 frames are off by a few thousandths.
_EVEN_TOLERANCE = 0.02


@dataclass(frozen=True)
class FileSettings:
    """Conventions of a file that the file itself may not state. What a file states is believed over these.

    Attributes:
        fps: frames per second. None: the file's, else 16.
        size: (height, width) in pixels that intrinsics refer to.
        sensor_width_mm: width of the film or sensor, which ties focal lengths in millimetres to the field of
            view.
        up_axis: which axis of the file's world points up: "y", "z", or "-y" (our own: y points down). None:
            the format's usual one.
        unit_scale: scene units per unit of the file, e.g. 0.01 for a file in centimetres and a scene in
            metres.
            None: what the file states, else the format's usual one.
        rotation_order: for formats with Euler angles: "ZXY" turns about z first and y last (Nuke's order).
        first_frame: number of the first frame where a format numbers its frames. None: the format's usual
            one.
    """

    fps: float | None = None
    size: tuple[int, int] | None = None
    sensor_width_mm: float = 36.0
    up_axis: str | None = None
    unit_scale: float | None = None
    rotation_order: str = "ZXY"
    first_frame: int | None = None

    def __post_init__(self) -> None:
        for label, value in (
            ("fps", self.fps),
            ("sensor width (mm)", self.sensor_width_mm),
            ("unit scale", self.unit_scale),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise PathError(
                    f"{label}: got {value}, expected a finite number above 0. Correct the number."
                )
        if self.size is not None and not all(int(side) == side and side >= 1 for side in self.size):
            raise PathError(f"size: got {self.size}, expected (height, width) in whole pixels. Correct it.")
        if self.up_axis not in (None, "y", "z", "-y"):
            raise PathError(f"up axis: got {self.up_axis!r}, expected y, z or -y. Choose one of them.")
        if sorted(self.rotation_order) != ["X", "Y", "Z"]:
            raise PathError(
                f"rotation order: got {self.rotation_order!r}, expected the letters X, Y and Z in some "
                "order, such as ZXY. Take the order that the other program shows."
            )


DEFAULTS = FileSettings()


@dataclass(frozen=True, eq=False)
class CameraFile:
    """What was read: the trajectory, the name of the format, and notes on what was assumed or repaired."""

    trajectory: Trajectory
    format: str
    notes: tuple[str, ...] = ()


@dataclass
class Notes:
    """Collects notes in the order they arise, each once."""

    lines: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        if text not in self.lines:
            self.lines.append(text)

    def done(self) -> tuple[str, ...]:
        return tuple(self.lines)


@dataclass(frozen=True)
class Lens:
    """Intrinsics of T frames in pixels of a height x width picture; numbers or [T] tensors."""

    fx: Tensor | float
    fy: Tensor | float
    cx: Tensor | float
    cy: Tensor | float

    def to_K(self, num_frames: int) -> Tensor:
        K = torch.eye(3, dtype=torch.float64).repeat(num_frames, 1, 1)
        K[:, 0, 0], K[:, 1, 1] = torch.as_tensor(self.fx), torch.as_tensor(self.fy)
        K[:, 0, 2], K[:, 1, 2] = torch.as_tensor(self.cx), torch.as_tensor(self.cy)
        return K


def finish(
    path: Path,
    format: str,
    c2w: Tensor,
    K: Tensor,
    size: tuple[int, int],
    fps: float,
    notes: Notes,
    *,
    camera_axes: str,
    up_axis: str,
    unit_scale: float,
) -> CameraFile:
    """Convert poses in a file's axes to ours and check the result.

    Args:
        path: the file, for messages and names.
        format: name of the format.
        c2w: [T, 4, 4] float64 rigid camera-to-world matrices in the file's axes and units.
        K: [T, 3, 3] float64, pixels of ``size``.
        size: (height, width), pixels.
        camera_axes: "opencv" (y down, z forward) or "opengl" (y up, z backward).
        up_axis: "y", "z" or "-y", the file's world.
        unit_scale: scene units per file unit.
    """
    w2c = invert_se3(from_file_axes(c2w, camera_axes, up_axis, unit_scale))
    cameras = Cameras(w2c.float(), K.float(), size[0], size[1])
    check_cameras(path.name, cameras)
    return CameraFile(
        Trajectory(cameras, fps=fps, name=path.stem or path.name, source=path.name), format, notes.done()
    )


def file_poses(trajectory: Trajectory, camera_axes: str, up_axis: str, unit_scale: float) -> Tensor:
    """[T, 4, 4] float64 camera-to-world matrices of a checked trajectory in a file's axes and units."""
    check_cameras("trajectory", trajectory.cameras)
    return to_file_axes(invert_se3(trajectory.w2c.detach().cpu().double()), camera_axes, up_axis, unit_scale)


def intrinsics(trajectory: Trajectory) -> Tensor:
    """[T, 3, 3] float64 on the CPU."""
    return trajectory.K.detach().cpu().double()


def note_lens_loss(
    trajectory: Trajectory, notes: Notes, format: str, *, squareness: bool = True, centre: bool = True
) -> None:
    """Note what a format that only knows one field of view drops from K.

    Args:
        squareness: the format holds a single focal length.
        centre: the format holds no principal point.
    """
    K = intrinsics(trajectory)
    ratio = (K[:, 1, 1] / K[:, 0, 0] - 1).abs().max().item()
    if squareness and ratio > 1e-5:
        notes.add(
            f"{format} has no non-square pixels: fy differs from fx by up to {ratio:.3g} of fx, dropped."
        )
    middle = K.new_tensor([trajectory.width / 2, trajectory.height / 2])
    offset = (K[:, :2, 2] - middle).abs().max().item()
    if centre and offset > 1e-3:
        notes.add(
            f"{format} has no principal point: its offset from the middle, up to {offset:.4g} px, dropped."
        )
    skew = K[:, 0, 1].abs().max().item()
    if skew > 1e-5:
        notes.add(f"{format} has no skew: up to {skew:.4g} px, dropped.")


def choose_fps(path: Path, settings: FileSettings, notes: Notes, stated: float | None) -> float:
    """The file's frame rate if it states one, else the caller's, else 16, with a note where it matters."""
    if stated is not None:
        if not (math.isfinite(stated) and stated > 0):
            raise PathError(
                f"{path.name}: the frame rate is {stated}, expected a finite number above 0. Correct the "
                f"file."
            )
        if settings.fps is not None and abs(settings.fps - stated) > 1e-6 * stated:
            notes.add(f"{path.name} says {stated:g} frames per second; {settings.fps:g} was not used.")
        return tidy_rate(stated)  # Blender keeps rates in float32
    if settings.fps is None:
        notes.add(f"{path.name} states no frame rate; {DEFAULT_FPS:g} frames per second assumed.")
        return DEFAULT_FPS
    return settings.fps


def choose_size(
    path: Path, settings: FileSettings, notes: Notes, stated: tuple[int, int] | None
) -> tuple[int, int]:
    """The file's picture size (height, width) if it states one, else the caller's.

    Raises: PathError if neither says.
    """
    if stated is not None:
        if settings.size is not None and tuple(settings.size) != stated:
            notes.add(
                f"{path.name} says {stated[1]} x {stated[0]} pixels (width x height); "
                f"{settings.size[1]} x {settings.size[0]} was not used."
            )
        return stated
    if settings.size is None:
        raise PathError(
            f"{path.name}: states no picture size in pixels, which the intrinsics need; expected one. Give "
            "the width and height of the clip."
        )
    return int(settings.size[0]), int(settings.size[1])


def choose_up(path: Path, settings: FileSettings, notes: Notes, stated: str | None, usual: str) -> str:
    """The up axis that the file states, else the caller's, else the format's usual one."""
    if stated is not None:
        if settings.up_axis not in (None, stated):
            notes.add(f"{path.name} says that {stated} is up; {settings.up_axis} was not used.")
        return stated
    return settings.up_axis or usual


def check_frame_count(path: Path, count: int) -> None:
    if count < 1:
        raise PathError(f"{path.name}: holds no cameras, expected at least one. Export the camera again.")
    if count > MAX_FRAMES:
        raise PathError(
            f"{path.name}: holds {count} cameras, expected at most {MAX_FRAMES}. Export a shorter range."
        )


def even_rate(path: Path, field_name: str, times: Sequence[float]) -> float | None:
    """Frames per second of evenly spaced times in seconds; None for a single time.

    Raises: PathError if times do not grow or are not evenly spaced.
    """
    time = torch.tensor(times, dtype=torch.float64)
    if not torch.isfinite(time).all():
        raise PathError(f"{path.name}: {field_name} holds a time that is no finite number. Export it again.")
    if len(time) < 2:
        return None
    steps = time[1:] - time[:-1]
    if (steps <= 0).any():
        bad = int((steps <= 0).nonzero()[0]) + 1
        raise PathError(
            f"{path.name}: {field_name} of frame {bad} is {times[bad]:g} after {times[bad - 1]:g}; expected "
            "times that grow from frame to frame. Sort the frames by time and remove double ones."
        )
    step = (time[-1] - time[0]).item() / (len(time) - 1)
    even = time[0] + step * torch.arange(len(time), dtype=torch.float64)
    off = (time - even).abs()
    if off.max() > _EVEN_TOLERANCE * step:
        bad = int(off.argmax())
        raise PathError(
            f"{path.name}: {field_name} of frame {bad} is {times[bad]:g}, expected {even[bad].item():g} for "
            "evenly spaced frames. Bake the camera to one key per frame before exporting."
        )
    return tidy_rate(1 / step)


def tidy_rate(fps: float) -> float:
    """The nearest usual frame rate if it is within rounding of float32 times, else the number as it is.

    Usual rates are whole numbers, the thousandths that people type, and the broadcast family such as
    24000/1001.
    """
    usual = [float(rate) for rate in (round(fps), round(fps) * 1000 / 1001, round(fps, 3)) if rate > 0]
    nearest = min(usual, key=lambda rate: abs(rate - fps), default=fps)
    return nearest if abs(fps - nearest) < 2e-6 * fps else fps


def quaternions_to_c2w(path: Path, positions: Tensor, quaternions: Tensor, notes: Notes) -> Tensor:
    """[T, 4, 4] from positions [T, 3] and wxyz quaternions [T, 4] of roughly unit length.

    Raises: PathError for a quaternion of length 0 or numbers that are not finite.
    """
    c2w = torch.eye(4, dtype=torch.float64).repeat(len(positions), 1, 1)
    c2w[:, :3, :3] = rotation_from_quaternion(path, quaternions, notes)
    c2w[:, :3, 3] = positions
    return c2w
